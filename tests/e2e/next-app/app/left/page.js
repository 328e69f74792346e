export default function Left() {
  return <h1>left</h1>
}
