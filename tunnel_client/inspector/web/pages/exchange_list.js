// The list of exchanges: its columns, what stands in a row, and the count of new ones for who is
// looking at something further up.

import { place, say } from "./elements.js";
import { VirtualList } from "./virtual_list.js";
import { clock, count, duration, outcome, size, visible, waits, waitsSentence } from "./wording.js";

const ROW_HEIGHT = 26;
const COLUMNS = 7; // status, method, path, type, size, duration, time

export class ExchangeList {
  #exchanges;
  #list;
  #chosen;
  #key = null; // of the row that is selected: its place changes
  #new = 0;
  #firstKey = null;
  #before = null; // the rows that were shown last

  /** `chosen(row, how)` is told of a selection. */
  constructor(exchanges, chosen) {
    this.#exchanges = exchanges;
    this.#chosen = chosen;
    this.#list = new VirtualList(place("grid"), {
      rowHeight: ROW_HEIGHT,
      columns: COLUMNS,
      draw: (element, cells, at) => this.#draw(element, cells, at),
      chosen: (at, how) => this.#select(at, how),
      drawn: () => this.#drawn(),
    });
    this.#list.follows = true;
    place("new").addEventListener("click", () => this.#list.goToEnd());
  }

  /** The row that is selected; undefined: none, or it is gone. */
  get row() {
    return this.#exchanges.shown[this.#list.selected];
  }

  /** Rows came, changed or went, or the filter did. */
  update(added = 0) {
    const rows = this.#exchanges.shown;
    const isThere = rows[this.#list.selected]?.key === this.#key;
    if (!isThere) this.#list.selected = rows.findIndex(({ key }) => key === this.#key);
    if (rows.length && this.#firstKey !== rows[0].key) this.#shifted(rows);
    this.#new = this.#list.follows ? 0 : this.#new + added;
    this.#list.count = rows.length;
  }

  /** Select the exchange with this number, where it is shown. */
  select(id, how) {
    const key = this.#exchanges.get(id)?.key;
    const at = this.#exchanges.shown.findIndex((row) => row.key === key);
    if (key && at >= 0) this.#list.select(at, how);
  }

  /** Go on by some rows, from anywhere on the page. */
  step(rows) {
    this.#list.select(this.#list.selected < 0 ? this.#list.count - 1 : this.#list.selected + rows);
  }

  unselect() {
    this.#key = null;
    this.#list.selected = -1;
    this.#list.draw();
  }

  focus() {
    this.#list.focus();
  }

  goToEnd() {
    this.#list.goToEnd();
  }

  #select(at, how) {
    const row = this.#exchanges.shown[at];
    this.#key = row.key;
    this.#chosen(row, how);
  }

  /** Where the oldest ones made room, what is looked at stays in its place. */
  #shifted(rows) {
    if (this.#before) {
      const gone = this.#before.findIndex(({ key }) => key === rows[0].key);
      if (gone > 0) this.#list.shift(-gone);
    }
    this.#firstKey = rows[0].key;
    this.#before = rows;
  }

  #drawn() {
    if (this.#list.follows) this.#new = 0;
    place("new").hidden = this.#new === 0;
    say(place("new"), `${this.#new.toLocaleString("en")} new`);
    const shown = this.#exchanges.shown.length;
    const all = this.#exchanges.count;
    say(place("count"), shown < all ? `${shown.toLocaleString("en")} of ${count(all, "request")}` : count(all, "request"));
    place("empty").hidden = shown > 0;
    place("empty-filter").hidden = all === 0;
    place("empty-yet").hidden = all > 0;
  }

  #draw(element, cells, at) {
    const row = this.#exchanges.shown[at];
    if (row.line) {
      element.className = "line";
      fill(cells, ["", "", row.line, "", "", "", ""]);
      return;
    }
    const isOld = row.run !== this.#exchanges.run;
    element.className = `${outcome(row)}${isOld ? " old" : ""}`;
    fill(cells, texts(row));
    cells[0].title = row.error ?? waitsSentence(row.state);
    cells[2].title = visible(row.path);
  }
}

function fill(cells, said) {
  said.forEach((text, at) => {
    if (cells[at].textContent !== text) cells[at].textContent = text;
  });
}

function texts(row) {
  return [
    statusText(row),
    row.kind === "websocket" ? "WS" : visible(row.method),
    `${row.replay_of ? "↻ " : ""}${row.imported ? "⤓ " : ""}${visible(row.path)}`,
    row.kind === "websocket" ? messages(row) : shortType(row.type),
    size(row.kind === "http" ? row.bytes_out : (row.bytes_in ?? 0) + (row.bytes_out ?? 0)),
    row.state === "over" ? duration(row.ms) : waits(row.state),
    clock(row.began),
  ];
}

function statusText(row) {
  if (row.error && row.status === null) return "failed";
  return row.status === null ? "…" : `${row.status}`;
}

function messages(row) {
  return `${(row.messages_in ?? 0).toLocaleString("en")} ↑ ${(row.messages_out ?? 0).toLocaleString("en")} ↓`;
}

/** text/html; charset=utf-8 is html. */
function shortType(type) {
  if (!type) return "";
  const [kind] = type.split(";");
  return visible(kind.replace(/^(text|application|image)\//, "").replace(/^x-/, "").trim());
}
