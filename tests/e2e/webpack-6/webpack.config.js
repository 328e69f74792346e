module.exports = {
  mode: 'development',
  devServer: {
    // Version 6 writes its own port into the page otherwise.
    client: { webSocketURL: 'auto://0.0.0.0:0/ws' },
  },
}
