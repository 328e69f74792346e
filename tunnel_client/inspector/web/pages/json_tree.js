// A JSON value as a tree that opens and closes. Below what is closed nothing is made, so a value of
// a megabyte costs what is looked at.
//
// A node is a list: its kind, and what it holds (docs/inspector-api.md). Numbers are texts, since 64
// bits do not fit into a number here, and objects lists of pairs, since names may be doubled.

import { button, element } from "./elements.js";
import { visible } from "./wording.js";

const STEP = 100; // members that are made at a time
const OPEN_DEPTH = 2;
const OPEN_MEMBERS = 30;

/** Make the tree. */
export function jsonTree(tree) {
  return element("div", { class: "tree" }, node(null, tree, 0));
}

function node(key, [kind, value], depth) {
  if (kind === "object") return branch(key, "{}", "key", value, depth);
  if (kind !== "array") return leaf(key, kind, value);
  return branch(key, "[]", "item", value.map((item, at) => [at, item]), depth);
}

function branch(key, [open, close], noun, members, depth) {
  const many = `${members.length} ${noun}${members.length === 1 ? "" : "s"}`;
  const summary = element("summary", {}, label(key), `${open} `, dim(many), ` ${close}`);
  const made = element("details", {}, summary);
  let isFilled = false;
  const fill = () => {
    if (made.open && !isFilled) {
      isFilled = true;
      add(made, members, 0, depth);
    }
  };
  made.addEventListener("toggle", fill);
  made.open = depth < OPEN_DEPTH && members.length <= OPEN_MEMBERS;
  fill();
  return made;
}

function add(into, members, from, depth) {
  for (const [key, value] of members.slice(from, from + STEP)) {
    into.append(node(key, value, depth + 1));
  }
  const left = members.length - from - STEP;
  if (left <= 0) return;
  const more = button(`${left} more`, () => {
    more.remove();
    add(into, members, from + STEP, depth);
    into.querySelector(`:scope > :nth-child(${from + STEP + 2})`)?.focus();
  });
  into.append(more);
}

const TEXTS = {
  string: (text) => `"${visible(text)}"`,
  masked: (text) => text,
  number: (digits) => digits,
  cut: () => "more, which is not shown",
};

function leaf(key, kind, value) {
  const text = TEXTS[kind]?.(value) ?? kind; // true, false and null are their own kinds
  return element("div", { class: "leaf" }, label(key), element("span", { class: kind }, text));
}

/** Fill a place with what stands for a secret, and return the button that shows the secret. */
export function masked(where, shown, ask) {
  where.className = "masked";
  where.textContent = shown;
  const show = button("show", async () => {
    const value = await ask();
    if (value === null) return;
    where.textContent = visible(value);
    show.remove();
  });
  show.classList.add("show");
  return show;
}

function label(key) {
  if (key === null) return null;
  return element("span", { class: "key" }, `${visible(String(key))}: `);
}

function dim(text) {
  return element("span", { class: "dim" }, text);
}
