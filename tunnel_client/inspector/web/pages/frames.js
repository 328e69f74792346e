// The frames of a WebSocket. The page holds those around what is looked at, by pages of 200; there
// may be 100,000 of them and more.

import { ApiError, ask } from "./api.js";
import { BodyView } from "./body.js";
import { element, say } from "./elements.js";
import { VirtualList } from "./virtual_list.js";
import { count, duration, size, visible } from "./wording.js";

const PAGE = 200;
const PAGES_MAX = 20;
const ROW_HEIGHT = 24;
const NAMES = ["Time", "From", "Kind", "Size", "Content"];
const KINDS = { 0: "continued", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };
const FROM = { visitor: "→ visitor", app: "← app", tunnel: "· tunnel" };

export class FramesView {
  #base;
  #first = 0;
  #total = 0;
  #pages = new Map(); // number of a page -> its frames; the one used last stands last
  #asked = new Set();
  #list;
  #facts = element("p", { class: "facts", role: "status" });
  #payload = element("div", { class: "payload", hidden: true });
  #exchange;
  element;

  constructor(exchange) {
    this.#exchange = exchange;
    this.#base = `${exchange.base}/frames`;
    const header = element("div", { class: "header", role: "row", "aria-rowindex": "1" });
    for (const name of NAMES) header.append(element("span", { role: "columnheader" }, name));
    const grid = element("div", {
      ...{ id: "frames", role: "grid", tabindex: "0", class: "grid frames" },
      ...{ "aria-label": "Frames", "aria-rowcount": "1" },
    });
    grid.append(header, element("div", { class: "pad", role: "rowgroup" }));
    this.element = element("div", { class: "socket" }, this.#facts, grid, this.#payload);
    this.#list = new VirtualList(grid, {
      ...{ rowHeight: ROW_HEIGHT, columns: NAMES.length },
      draw: (row, cells, at) => this.#draw(row, cells, this.#first + at),
      drawn: (from, to) => this.#need(this.#first + from, this.#first + to),
      chosen: (at) => this.#show(this.#first + at),
    });
    this.#list.follows = true;
  }

  /** More have come: those behind the last that is known are asked for. */
  update() {
    const last = Math.floor(this.#total / PAGE);
    this.#pages.delete(last);
    this.#load(last);
  }

  focus() {
    this.#list.focus();
  }

  #need(from, to) {
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page += 1) {
      const frames = this.#pages.get(page);
      if (frames === undefined) this.#load(page);
      else {
        this.#pages.delete(page);
        this.#pages.set(page, frames);
      }
    }
  }

  /** A page that is scrolled past is not asked for: one question at a time, and then what is seen. */
  async #load(page) {
    if (this.#asked.size) return;
    this.#asked.add(page);
    try {
      this.#take(page, await ask(`${this.#base}?from=${page * PAGE}&count=${PAGE}`));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.#facts, error.message);
      return;
    } finally {
      this.#asked.delete(page);
    }
    this.#list.draw();
  }

  #take(page, { total, first, frames }) {
    const begin = page * PAGE;
    const byNumber = new Array(PAGE).fill(null);
    for (const frame of frames) byNumber[frame.n - begin] = frame;
    this.#pages.set(page, byNumber);
    while (this.#pages.size > PAGES_MAX) this.#pages.delete(this.#pages.keys().next().value);
    if (first !== this.#first) this.#list.shift(this.#first - first);
    const grew = total > this.#total && total > (page + 1) * PAGE && this.#list.follows;
    [this.#first, this.#total] = [first, total];
    this.#list.count = total - first;
    if (grew) this.#pages.delete(Math.floor((total - 1) / PAGE));
    const gone = first ? `; the first ${first.toLocaleString("en")} are no longer kept` : "";
    say(this.#facts, `${count(total, "frame")}${gone}`);
  }

  #frame(number) {
    return this.#pages.get(Math.floor(number / PAGE))?.[number % PAGE];
  }

  #draw(row, cells, number) {
    const frame = this.#frame(number);
    row.className = classOf(frame);
    const said = frame ? textsOf(frame) : ["", "", "", "", "…"];
    said.forEach((text, at) => {
      if (cells[at].textContent !== text) cells[at].textContent = text;
    });
    cells[2].title = frame ? flagsOf(frame) : "";
  }

  #show(number) {
    const frame = this.#frame(number);
    this.#payload.hidden = !frame || isGap(frame);
    if (this.#payload.hidden) return;
    const payload = new BodyView("frame", this.#exchange, `${this.#base}/${number}`);
    payload.update({ size: frame.decoded_size ?? frame.size, kept: frame.size, whole: true });
    this.#payload.replaceChildren(element("h3", {}, `Frame ${number + 1}`), payload.element);
  }
}

function isGap(frame) {
  return frame.gap > 0 || frame.opcode === null;
}

function classOf(frame) {
  if (!frame) return "waits";
  if (isGap(frame)) return "gap";
  return `from-${frame.from}${frame.opcode >= 8 ? " control" : ""}${frame.problem ? " problem" : ""}`;
}

function textsOf(frame) {
  const at = duration(frame.at_ms);
  if (isGap(frame)) {
    const gap = frame.gap > 0 ? `${size(frame.gap)} were dropped here` : "something was dropped here";
    return [at, FROM[frame.from] ?? "", "gap", "", frame.problem ? `${gap}: ${frame.problem}` : gap];
  }
  const kind = `${KINDS[frame.opcode] ?? `opcode ${frame.opcode}`}${frame.fin ? "" : " …"}`;
  return [at, FROM[frame.from] ?? frame.from, kind, sizesOf(frame), contentOf(frame)];
}

function sizesOf({ size: wire, decoded_size: decoded }) {
  return decoded === null || decoded === undefined || decoded === wire ? size(wire) : `${size(decoded)} of ${size(wire)}`;
}

function contentOf({ text, close, problem }) {
  if (problem) return problem;
  if (close) return `${close.code}${close.reason ? ` ${visible(close.reason)}` : ""}`;
  return visible(text ?? "");
}

/** FIN and RSV1, in words. */
function flagsOf({ fin, rsv1, size: wire, decoded_size: decoded }) {
  const compressed = rsv1 ? `; RSV1: compressed, ${size(wire)} on the wire, ${size(decoded)} decoded` : "";
  return `${fin ? "FIN: the message ends here" : "no FIN: the message goes on"}${compressed}`;
}
