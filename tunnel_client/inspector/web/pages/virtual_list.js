// A list of any length. Only the rows that can be seen are in the document, and they are used
// again; each has the same height, so that a place in the list is a place on the screen.
//
// It is a grid for those who do not see it: the one element that has the focus names the row that
// is selected, and every row says which of how many it is.

import { element } from "./elements.js";

const AROUND = 2; // rows above and below what is seen, for a scroll of a few pixels
// Browsers end an element somewhere above 16 million pixels. Beyond this the scroll bar is scaled.
const HEIGHT_MAX = 8_000_000;

/**
 * Args: `grid`, the element with role=grid that scrolls, with a header that stays and a `.pad` for
 * the rows; `rowHeight` in pixels; `columns`, how many cells a row has; `draw(row, cells, at)` fills a row; `chosen(at, how)` is
 * told of a selection by "key", "click" or "open".
 */
export class VirtualList {
  #grid;
  #header;
  #pad;
  #options;
  #pool = [];
  #due = false;
  #count = 0;
  #drawnTop = 0;
  selected = -1;
  follows = false;

  constructor(grid, options) {
    this.#grid = grid;
    this.#options = options;
    this.#header = grid.querySelector(".header");
    this.#pad = grid.querySelector(".pad");
    this.#grid.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#grid.addEventListener("click", (event) => this.#clicked(event));
    this.#grid.addEventListener("keydown", (event) => this.#pressed(event));
    new ResizeObserver(() => this.draw()).observe(this.#grid);
  }

  get count() {
    return this.#count;
  }

  /** So many rows there are now; it is drawn at the next frame. */
  set count(count) {
    this.#count = count;
    this.draw();
  }

  /** Whether its last row can be seen. */
  get isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#grid;
    return scrollTop + clientHeight >= scrollHeight - this.#options.rowHeight;
  }

  draw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => this.#paint());
  }

  goToEnd() {
    this.follows = true;
    this.draw();
  }

  /** Select a row and bring it into sight. */
  select(at, how = "key") {
    if (this.#count === 0) return;
    this.selected = Math.max(0, Math.min(this.#count - 1, at));
    if (this.selected < this.#count - 1) this.follows = false;
    this.#reveal(this.selected);
    this.draw();
    this.#options.chosen?.(this.selected, how);
  }

  /** Rows above went away or came: what is seen stays where it is. */
  shift(rows) {
    if (!this.follows) this.#grid.scrollTop += rows * this.#options.rowHeight * this.#scale;
  }

  focus() {
    this.#grid.focus();
  }

  get #height() {
    return this.#count * this.#options.rowHeight;
  }

  /** Pixels in which rows can be seen. */
  get #room() {
    return this.#grid.clientHeight - this.#header.offsetHeight;
  }

  /** Pixels of the scroll bar for one of the list. */
  get #scale() {
    const room = this.#room;
    if (this.#height <= HEIGHT_MAX) return 1;
    return (HEIGHT_MAX - room) / (this.#height - room);
  }

  #reveal(at) {
    const { rowHeight } = this.#options;
    const room = this.#room;
    const top = this.#grid.scrollTop / this.#scale;
    const row = at * rowHeight;
    if (row < top) this.#grid.scrollTop = row * this.#scale;
    else if (row + rowHeight > top + room) {
      this.#grid.scrollTop = (row + rowHeight - room) * this.#scale;
    }
  }

  #paint() {
    this.#due = false;
    const { rowHeight, draw } = this.#options;
    this.#pad.style.height = `${Math.min(this.#height, HEIGHT_MAX)}px`;
    if (this.follows) this.#grid.scrollTop = this.#grid.scrollHeight;
    const scrolled = this.#grid.scrollTop;
    const top = scrolled / this.#scale;
    const first = Math.max(0, Math.floor(top / rowHeight) - AROUND);
    const seen = Math.ceil(this.#room / rowHeight) + 2 * AROUND;
    const last = Math.min(this.#count, first + seen);
    this.#fit(last - first);
    this.#pool.forEach((row, place) => {
      const at = first + place;
      row.style.transform = `translateY(${at * rowHeight - top + scrolled}px)`;
      row.setAttribute("aria-rowindex", at + 2); // the header is the first
      row.setAttribute("aria-selected", at === this.selected);
      row.id = `${this.#grid.id}-${at}`;
      row.dataset.at = at;
      draw(row, row.children, at);
    });
    this.#tell(first, last);
    this.#options.drawn?.(first, last);
  }

  #fit(rows) {
    while (this.#pool.length > rows) this.#pool.pop().remove();
    while (this.#pool.length < rows) {
      const row = element("div", { role: "row" });
      for (let cell = 0; cell < this.#options.columns; cell += 1) {
        row.append(element("span", { role: "gridcell" }));
      }
      this.#pad.append(row);
      this.#pool.push(row);
    }
  }

  #tell(first, last) {
    this.#grid.setAttribute("aria-rowcount", this.#count + 1);
    const isDrawn = this.selected >= first && this.selected < last;
    if (isDrawn) this.#grid.setAttribute("aria-activedescendant", `${this.#grid.id}-${this.selected}`);
    else this.#grid.removeAttribute("aria-activedescendant");
  }

  #scrolled() {
    const { scrollTop } = this.#grid;
    if (scrollTop < this.#drawnTop) this.follows = false; // somebody goes up
    else if (this.isAtEnd) this.follows = true;
    this.#drawnTop = scrollTop;
    this.draw();
  }

  #clicked(event) {
    const row = event.target.closest("[role=row]");
    if (!row) return;
    this.#grid.focus({ preventScroll: true });
    this.select(Number(row.dataset.at), "click");
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.#grid) return;
    const step = this.#step(event.key);
    if (step === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") this.select(Math.max(this.selected, 0), "open");
    else this.select(this.selected < 0 ? this.#start(step) : this.selected + step);
  }

  /** The first key selects what is seen: the last row where the list follows its end. */
  #start(step) {
    if (step === -Infinity || step === Infinity) return step;
    const top = Math.ceil(this.#grid.scrollTop / this.#scale / this.#options.rowHeight);
    return this.follows ? this.#count - 1 : top;
  }

  #step(key) {
    const page = Math.max(1, Math.floor(this.#room / this.#options.rowHeight) - 1);
    const steps = {
      ...{ j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, Enter: 0 },
      ...{ PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity },
    };
    return Object.hasOwn(steps, key) ? steps[key] : null;
  }
}
