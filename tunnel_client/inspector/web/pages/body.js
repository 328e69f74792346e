// A body, shown as one of several: as what it is, as text, as bytes, as the page that it is.

import { ApiError, ask, tell } from "./api.js";
import { asForm, LOADED } from "./body_forms.js";
import { button, element } from "./elements.js";
import { size, visible } from "./wording.js";

const WAYS = { shown: "Shown", text: "Text", hex: "Hex", page: "Page" };
const PAGES = /^(text\/html|application\/xhtml\+xml|image\/svg\+xml|text\/xml|application\/xml)/i;

export class BodyView {
  #part;
  #exchange;
  #way = "shown";
  #known = "";
  #content = element("div", { class: "content", tabindex: "0", role: "group" });
  #facts = element("p", { class: "facts" });
  #ways = element("div", { class: "ways" });
  #turn = 0; // an answer to an earlier question than the last is not shown
  #base;
  #isFrame;
  element;

  /** `part` is request or answer; a frame has an address of its own, and is shown in one way. */
  constructor(part, exchange, frame = null) {
    this.#part = part;
    this.#exchange = exchange;
    this.#isFrame = frame !== null;
    this.#base = frame ?? `${exchange.base}/${part}/body`;
    this.#content.setAttribute("aria-label", `Body of the ${part}`);
    this.element = element("div", { class: "body" }, this.#facts, this.#ways, this.#content);
  }

  /** Show the body as it is now; it is asked for anew where more of it has come. */
  update(body) {
    const known = JSON.stringify(body);
    if (known === this.#known) return;
    this.#known = known;
    this.element.hidden = body === null;
    if (body === null) return;
    this.#facts.textContent = factsOf(body);
    this.#offer(body);
    if (body.kept) this.#show();
    else this.#content.replaceChildren(note(body.why ?? (body.size ? "It is not kept." : "It is empty.")));
  }

  #offer(body) {
    this.#ways.hidden = !body.kept || this.#isFrame;
    const isPage = PAGES.test(body.type ?? "");
    const ways = Object.entries(WAYS).filter(([way]) => way !== "page" || isPage);
    this.#ways.replaceChildren(
      ...ways.map(([way, text]) => this.#wayButton(way, text)),
      button("Download", () => this.#download()),
    );
  }

  #wayButton(way, text) {
    const press = () => {
      this.#way = way;
      for (const other of this.#ways.querySelectorAll("[aria-pressed]")) {
        other.setAttribute("aria-pressed", other === made);
      }
      this.#show();
    };
    const made = button(text, press, { "aria-pressed": `${way === this.#way}` });
    return made;
  }

  async #show() {
    const turn = (this.#turn += 1);
    this.element.setAttribute("aria-busy", "true");
    let made;
    try {
      made = this.#way === "page" ? await this.#page() : await this.#form();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      made = this.#refused(error);
    }
    if (turn !== this.#turn) return;
    this.element.removeAttribute("aria-busy");
    this.#content.replaceChildren(made);
  }

  async #form() {
    const way = this.#way;
    const more = (from) => ask(`${this.#base}?as=${way}&from=${from}&count=${LOADED[way]}`);
    const shown = way === "shown" ? await ask(this.#base) : await more(0);
    return asForm({ form: way, ...shown }, {
      unmaskAll: this.#isFrame ? null : () => this.#unmaskAll(),
      more,
    });
  }

  /** A captured page is shown where it can do nothing: by its own address, with a policy that
   * makes it inert wherever it is opened, and in a frame that holds it besides. */
  async #page() {
    const { url } = await this.#capability({});
    return element("iframe", { sandbox: "", src: url, title: "The captured page, which does nothing" });
  }

  #refused(error) {
    const said = note(error.message);
    if (error.code === "masked") said.append(" ", button("Show the whole body", () => this.#unmaskAll()));
    return said;
  }

  async #unmaskAll() {
    await this.#exchange.unmask({ part: this.#part, what: "body" });
    this.#show();
  }

  #capability(question) {
    return tell(`${this.#exchange.base}/page`, { part: this.#part, ...question });
  }

  async #download() {
    try {
      const { url } = await this.#capability({ download: true });
      const link = element("a", { href: url, download: "" });
      link.click();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#content.replaceChildren(this.#refused(error));
    }
  }
}

function factsOf({ size: bytes, kept, whole, why, coding, type }) {
  const said = [`Body, ${size(bytes)}`];
  if (type) said.push(visible(type));
  if (coding && coding !== "identity") said.push(`coded as ${visible(coding)}`);
  if (kept && !whole) said.push(why ?? `its first ${size(kept)} are kept`);
  return said.join(" · ");
}

function note(text) {
  return element("p", { class: "dim" }, text);
}
