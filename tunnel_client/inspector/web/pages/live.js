// The live feed: one WebSocket a tab, since those do not count for the six connections that a
// browser opens to one host. Where it ends the page tries again each second.

import { token } from "./access.js";

const AGAIN_MS = 1000;
const NO_TOKEN = 1008; // the close code of a token that is missing or wrong

/**
 * Follow what happens, for as long as the page is open.
 *
 * `told` has `message(news, isNewRun)`, `lost()` and `refused()`. A client that was started again
 * counts anew, and tells all from its beginning to a page that comes from another run.
 */
export class Live {
  #told;
  #run = null;
  #seq = null;
  #isLost = false;
  #socket = null;
  #shown = null;

  constructor(told) {
    this.#told = told;
  }

  start() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/live`);
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ token: token(), since: this.#seq, run: this.#run }));
      if (this.#shown !== null) this.show(this.#shown);
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code }) => this.#ended(code);
  }

  #take(news) {
    const isNewRun = this.#run !== null && news.run !== this.#run;
    this.#run = news.run;
    this.#seq = news.seq;
    this.#isLost = false;
    this.#told.message(news, isNewRun);
  }

  /** The client keeps the bodies of this exchange while it is looked at; null: of none. */
  show(id) {
    this.#shown = id;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ show: id }));
  }

  #ended(code) {
    if (code === NO_TOKEN) {
      this.#told.refused();
      return;
    }
    if (!this.#isLost) this.#told.lost();
    this.#isLost = true;
    setTimeout(() => this.start(), AGAIN_MS);
  }
}
