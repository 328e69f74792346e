// The forms in which a body is shown, one function for each that the client names.

import { button, element } from "./elements.js";
import { jsonTree } from "./json_tree.js";
import { size, visible, visibleLines } from "./wording.js";

// What is asked for at a time, in characters and in rows: as much as is laid out without a pause.
export const LOADED = { text: 65_536, hex: 512 };
const ROW_BYTES = 16;

/** Make what shows this; `asks` has what it may ask the client for. */
export function asForm(shown, asks) {
  const made = (FORMS[shown.form] ?? FORMS.none)(shown, asks);
  const whole = element("div", { class: "form" }, made);
  if (shown.problem) whole.prepend(element("p", { class: "problem" }, `${shown.problem}.`));
  if (shown.masked && asks.unmaskAll) whole.prepend(maskedNote(shown.masked, asks));
  if (shown.cut) whole.append(dim("There is more: download it to see all."));
  return whole;
}

function maskedNote(many, { unmaskAll }) {
  const said = many === 1 ? "One value is masked. " : `${many} values are masked. `;
  return element("p", { class: "dim" }, said, button("Show all", unmaskAll, { class: "show" }));
}

const FORMS = {
  none: ({ problem }) => (problem ? "" : dim("There is nothing to show.")),
  json: ({ tree }) => jsonTree(tree),
  form: ({ pairs }) => {
    const list = element("dl", { class: "fields" });
    for (const [name, value, isMasked] of pairs) {
      const said = element("dd", { class: isMasked && "masked" }, visible(value));
      list.append(element("dt", {}, visible(name)), said);
    }
    return list;
  },
  multipart: ({ parts }) => element("ol", { class: "parts" }, ...parts.map(partOf)),
  sse: ({ events }) => element("ol", { class: "events" }, ...events.map(eventOf)),
  image: ({ type, url }) => {
    const picture = element("img", { alt: `The captured image, ${visible(type)}`, src: url });
    return element("figure", {}, picture, element("figcaption", { class: "dim" }, visible(type)));
  },
  text: textOf,
  hex: hexOf,
};

function partOf({ name, file_name: file, type, size_bytes: bytes, text, is_masked: isMasked }) {
  const title = file ? `${name}, file ${file}` : name;
  const facts = [type && visible(type), size(bytes)].filter(Boolean).join(" · ");
  const part = element("li", {}, element("b", {}, visible(title)), " ", dim(facts));
  if (text === null) return part;
  part.append(element("pre", { class: isMasked && "masked" }, visibleLines(text)));
  return part;
}

function eventOf({ event, id, data, comment }) {
  const facts = [event || "message", id && `id ${id}`].filter(Boolean).join(" · ");
  const isComment = data === null && comment !== null;
  const title = dim(isComment ? "comment" : visible(facts));
  return element("li", {}, title, element("pre", {}, visibleLines(data ?? comment ?? "")));
}

function textOf({ text, chars }, { more }) {
  const said = element("pre", { class: "text" }, visibleLines(text));
  if (chars === undefined) return said; // the whole of it
  return growing(said, text.length, chars, async (from) => {
    const found = await more(from);
    said.append(visibleLines(found.text));
    return from + LOADED.text;
  });
}

/** Rows of an address, sixteen bytes, and what of them can be printed. */
function hexOf({ rows, size: bytes }, { more }) {
  if (rows === undefined) return dim("These are bytes that have no form; Hex shows them.");
  const said = element("pre", { class: "hex" }, hexLines(rows));
  return growing(said, rows.length, bytes / ROW_BYTES, async (from) => {
    said.append(hexLines((await more(from)).rows));
    return from + LOADED.hex;
  });
}

function hexLines(rows) {
  const line = ([offset, digits, printed]) =>
    `${offset.toString(16).padStart(8, "0")}  ${digits.padEnd(3 * ROW_BYTES - 1)}  ${printed}\n`;
  return rows.map(line).join("");
}

/** What is said, and a button that adds to it until the end is reached. */
function growing(said, from, end, add) {
  const whole = element("div", {}, said);
  let next = from;
  if (next >= end) return whole;
  const further = button("More", async () => {
    next = await add(next);
    if (next >= end) further.remove();
  });
  whole.append(further);
  return whole;
}

function dim(text) {
  return element("p", { class: "dim" }, text);
}
