import { greeting } from './greeting.js'

function show(text) {
  document.querySelector('h1').textContent = text
}

show(greeting)

if (module.hot) {
  module.hot.accept('./greeting.js', () => show(greeting))
}
