// What is known of the exchange that is selected: what was asked beside what was answered, where
// the time went, and what can be done with it. It is asked for anew while it goes on.

import { ApiError, ask, tell } from "./api.js";
import { button, element, place, say } from "./elements.js";
import { FramesView } from "./frames.js";
import { HalfView } from "./half.js";
import { timingBar } from "./timing.js";
import { clock, duration, outcome, size, visible, waitsSentence } from "./wording.js";

const ANEW_MS = 300;

export class Details {
  #actions;
  #notice;
  #row = null;
  #shown = null; // the views of the exchange that is shown
  #timer = null;
  #isStale = false;

  /** `actions` are those of keys.js; `notice` tells the person something in a line. */
  constructor(actions, notice) {
    this.#actions = actions;
    this.#notice = notice;
    place("close").addEventListener("click", () => this.closed());
  }

  /** Called when the person closes it. */
  closed = () => {};

  get row() {
    return this.#row;
  }

  get isOpen() {
    return !place("details").hidden;
  }

  show(row, isOfThisRun) {
    place("details").hidden = false;
    document.body.classList.add("has-details");
    if (this.#row?.key === row.key) return;
    this.#row = row;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#isStale = false;
    this.#shown = isOfThisRun ? viewsOf(row, (question) => this.#unmask(row, question)) : null;
    place("halves").replaceChildren(...(this.#shown?.elements ?? [gone()]));
    place("timing").replaceChildren();
    say(place("warning"), "");
    this.#headline();
    if (isOfThisRun) this.#load();
  }

  hide() {
    place("details").hidden = true;
    document.body.classList.remove("has-details");
    this.#row = null;
    this.#shown = null;
  }

  /** Rows changed; if this is one of them, the rest of it did, too. */
  changed(rows, run) {
    if (!this.#row || this.#row.run !== run || !rows.some(({ id }) => id === this.#row.id)) return;
    this.#headline();
    this.#isStale = true;
    this.#timer ??= setTimeout(() => this.#load(), ANEW_MS);
  }

  focus() {
    place("details").focus();
  }

  async #load() {
    const [row, views] = [this.#row, this.#shown];
    this.#isStale = false;
    try {
      const found = await ask(`/api/exchanges/${row.id}`);
      if (row === this.#row) this.#fill(found, views);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (row === this.#row) say(place("warning"), error.message);
    }
    if (row !== this.#row) return;
    this.#timer = this.#isStale ? setTimeout(() => this.#load(), ANEW_MS) : null;
  }

  #fill(found, views) {
    views.request.update(found.request);
    views.answer.update(found.answer, found.informational);
    views.frames?.update();
    place("timing").replaceChildren(timingBar(found.timing, found));
    say(place("warning"), found.signature?.message ?? "");
  }

  #headline() {
    const row = this.#row;
    place("title").className = outcome(row);
    place("title").replaceChildren(
      element("b", {}, row.status === null ? (row.error ? "failed" : "…") : `${row.status}`),
      ` ${visible(row.method)} `,
      element("span", {}, visible(row.path)),
    );
    say(place("summary"), summaryOf(row));
    say(place("waits"), row.error ?? waitsSentence(row.state));
    this.#offer();
  }

  /** Buttons are made anew only where others are wanted: the focus stays on one that stays. */
  #offer() {
    const offered = this.#actions.filter((action) => action.offered?.(this.#row));
    const names = offered.map(({ name }) => name).join();
    if (place("actions").dataset.names === names) return;
    place("actions").dataset.names = names;
    place("actions").replaceChildren(
      ...offered.map(({ text, keys, run }) =>
        button(text, run, { "aria-keyshortcuts": keys?.[0], title: keys ? `Key ${keys[0]}` : null }),
      ),
    );
  }

  /** Show one masked value; null where the client refuses. */
  async #unmask(row, question) {
    try {
      return (await tell(`/api/exchanges/${row.id}/unmask`, question)).value;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#notice(error.message);
      return null;
    }
  }
}

function viewsOf(row, unmask) {
  const exchange = { base: `/api/exchanges/${row.id}`, unmask };
  const request = new HalfView("Request", "request", exchange);
  const answer = new HalfView("Answer", "answer", exchange);
  const heads = element("div", { class: "sides" }, request.element, answer.element);
  if (row.kind !== "websocket") return { request, answer, elements: [heads] };
  const frames = new FramesView(exchange);
  const folded = element("details", { class: "heads" }, element("summary", {}, "Heads"), heads);
  return { request, answer, frames, elements: [frames.element, folded] };
}

function gone() {
  return element("p", { class: "dim" }, "This was in a run of the client that is over; only its line is left.");
}

function summaryOf(row) {
  const said = [clock(row.began), duration(row.ms)];
  said.push(`${size(row.bytes_in ?? 0)} asked, ${size(row.bytes_out ?? 0)} answered`);
  if (row.visitor) said.push(`by ${visible(row.visitor)}`);
  if (row.replay_of) said.push(`replay of request ${row.replay_of}`);
  if (row.imported) said.push("imported from a file");
  return said.filter(Boolean).join(" · ");
}
