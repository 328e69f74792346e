// localtunnel's server opens one more port for each client, on all interfaces, and has no option
// for it. Loaded before it, this keeps the port on 127.0.0.1.
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  return typeof args[0] === "function" || args.length === 0
    ? listen.call(this, 0, "127.0.0.1", ...args)
    : listen.apply(this, args);
};
