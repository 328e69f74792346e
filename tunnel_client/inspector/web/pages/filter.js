// The filter over the list. What stands in a row is looked at here and at once; what stands in
// heads and bodies is known to the client alone, which is asked while the person goes on typing.

import { ask } from "./api.js";
import { place } from "./elements.js";

const TYPED_MS = 120; // a pause that ends a word
const ANEW_MS = 1000; // how often the client is asked what of the changes has the text
const LIMIT = 1000; // as many as the client tells at a time

export class Filter {
  #form = place("filter");
  #changed;
  #failed;
  #found = new Set(); // ids whose heads or bodies have the text
  #text = "";
  #seq = 0;
  #timer = null;
  #asking = null;

  /** `changed` is called when other rows pass, `failed` with an error of the client. */
  constructor(changed, failed) {
    this.#changed = changed;
    this.#failed = failed;
    this.#form.addEventListener("input", () => this.#edited());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("reset", () => setTimeout(() => this.#edited()));
  }

  /** What the form says; a field that says nothing is not there. */
  get wanted() {
    const form = new FormData(this.#form);
    const said = Object.fromEntries([...form].filter(([, value]) => value !== ""));
    if (said.slow_ms) said.slow_ms = Number(said.slow_ms);
    return said;
  }

  get isOn() {
    const { everywhere, ...rest } = this.wanted;
    return Object.keys(rest).length > 0;
  }

  /** Whether a row passes, as a function of this moment's filter. */
  get passes() {
    const wanted = this.wanted;
    const tests = Object.keys(TESTS).filter((name) => name in wanted);
    const text = (wanted.text ?? "").toLowerCase();
    const found = this.#found;
    return (row) =>
      tests.every((name) => TESTS[name](row, wanted[name])) &&
      (!text || inRow(row, text) || found.has(row.id));
  }

  focus() {
    place("text").focus();
    place("text").select();
  }

  /** Something changed; where a text is looked for, the client looks again before long. */
  news() {
    if (this.#text && !this.#asking) this.#later(ANEW_MS);
  }

  /** Another run: what was found has other numbers. */
  forget() {
    this.#found = new Set();
    this.#seq = 0;
    if (this.#text) this.#later(0);
  }

  #edited() {
    const { text = "", everywhere } = this.wanted;
    const sought = everywhere ? text : "";
    if (sought !== this.#text) {
      this.#text = sought;
      this.#found = new Set();
      this.#seq = 0;
      this.#asking?.abort();
      this.#asking = null;
      clearTimeout(this.#timer);
      this.#timer = null;
      if (sought) this.#later(TYPED_MS);
    }
    this.#show();
  }

  #later(ms) {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#look();
    }, ms);
    this.#show();
  }

  async #look() {
    const asking = (this.#asking = new AbortController());
    const sought = { text: this.#text, after_seq: this.#seq, limit: LIMIT };
    try {
      const path = `/api/exchanges?${new URLSearchParams(sought)}`;
      const { seq, exchanges } = await ask(path, { signal: asking.signal });
      this.#seq = seq;
      for (const { id } of exchanges) this.#found.add(id);
      if (exchanges.length === LIMIT) this.#later(0); // and there may be more
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#failed(error);
    }
    if (this.#asking === asking) this.#asking = null;
    this.#show();
  }

  #show() {
    const isRunning = Boolean(this.#text) && (this.#asking !== null || this.#seq === 0);
    place("looking").hidden = !isRunning;
    place("clear-filter").hidden = !this.isOn;
    this.#changed();
  }
}

function inRow(row, text) {
  return row.path.toLowerCase().includes(text) || row.error?.toLowerCase().includes(text);
}

const TESTS = {
  method: (row, method) => row.method === method,
  status: (row, wanted) => row.status !== null && `${row.status}`[0] === wanted[0],
  failed: (row) => row.error !== null || row.status >= 400,
  slow_ms: (row, least) => row.ms !== null && row.ms >= least,
  kind: (row, kind) => row.kind === kind,
};
