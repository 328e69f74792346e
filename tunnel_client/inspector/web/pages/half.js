// One side of an exchange: the line and the fields of its head, its body, its trailers.

import { BodyView } from "./body.js";
import { element } from "./elements.js";
import { masked } from "./json_tree.js";
import { visible } from "./wording.js";

export class HalfView {
  #title;
  #part;
  #head = element("div", { class: "head" });
  #said = "";
  #body;
  #unmask;
  element;

  /** `exchange` has `base`, the address of its API, and `unmask(question)`; `part` is a half. */
  constructor(title, part, exchange) {
    this.#title = title;
    this.#part = part;
    this.#unmask = (question) => exchange.unmask({ part, ...question });
    this.#body = new BodyView(part, exchange);
    const heading = element("h3", {}, title);
    this.element = element("section", { class: "half", "aria-label": title });
    this.element.append(heading, this.#head, this.#body.element);
  }

  /** Show the half as it is now; what has not changed is left alone. */
  update(half, informational = []) {
    const said = JSON.stringify([half?.line, half?.fields, half?.trailers, informational]);
    if (said !== this.#said) {
      this.#said = said;
      this.#head.replaceChildren(...this.#headOf(half, informational));
    }
    this.#body.update(half?.body ?? null);
  }

  *#headOf(half, informational) {
    for (const { line } of informational) yield element("p", { class: "start-line dim" }, visible(line));
    if (!half?.line) {
      yield element("p", { class: "dim" }, `${this.#title}: nothing has come yet.`);
      return;
    }
    yield this.#line(half.line);
    yield this.#fields(half.fields, "field");
    if (half.trailers?.length) {
      yield element("h4", {}, "Trailers");
      yield this.#fields(half.trailers);
    }
  }

  #line(text) {
    const said = element("code", {}, visible(text));
    const line = element("p", { class: "start-line" }, said);
    if (text.includes("••••")) line.append(masked(said, visible(text), () => this.#ask("query")));
    return line;
  }

  /** Without a `what` there is nothing to ask for: those stay masked. */
  #fields(fields, what) {
    const list = element("dl", { class: "fields" });
    fields.forEach(([name, value, isMasked], index) => {
      const said = element("span", {}, visible(value));
      const place = element("dd", {}, said);
      if (isMasked && what) place.append(masked(said, visible(value), () => this.#ask(what, index)));
      list.append(element("dt", {}, visible(name)), place);
    });
    return list;
  }

  #ask(what, index) {
    return this.#unmask(index === undefined ? { what } : { what, index });
  }
}
