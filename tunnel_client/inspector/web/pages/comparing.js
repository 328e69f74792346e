// Two answers side by side: one exchange is marked, another is chosen, and the client says what
// differs. A secret that differs is told to, by another mask, and is not shown.

import { ask } from "./api.js";
import { element } from "./elements.js";
import { dialog } from "./replaying.js";
import { count, size, visible, visibleLines } from "./wording.js";

const SIGNS = { added: "+", removed: "−", changed: "≠", "+": "+", "-": "−", " ": " ", "@": "…" };
const CLASSES = { added: "come", removed: "gone", changed: "changed", "+": "come", "-": "gone", "@": "gap" };

export class Comparing {
  #marked = null;

  /**
   * Mark a row, or compare its answer with that of the one that is marked; that of a replay with the
   * answer of what it repeats. `notice` tells the person what to do next. Raises ApiError.
   */
  async choose(row, notice) {
    const marked = this.#marked?.run === row.run ? this.#marked : null;
    this.#marked = null;
    if (marked?.key === row.key) return notice(`Request ${row.id} is marked no more.`);
    const id = marked?.id ?? row.replay_of;
    if (id) {
      notice("");
      return show(await ask(`/api/diff?a=${id}&b=${row.id}`));
    }
    this.#marked = row;
    return notice(`Request ${row.id} is marked. Choose another, and compare its answer (d) with this one.`);
  }
}

function show(found) {
  const parts = [status(found), fields(found), folded(found), body(found.body)];
  if (found.same) parts.unshift(element("p", {}, "They are the same."));
  const content = { class: "differences", role: "region", tabindex: 0, "aria-label": "Differences" };
  const shown = element("div", content, ...parts.filter(Boolean));
  const title = `Answers of requests ${found.a} and ${found.b}`;
  return dialog(title, [shown], [{ text: "Close", value: "" }]);
}

function status({ status: said }) {
  if (!said) return null;
  const text = (value) => (value === null ? "no answer" : `${value}`);
  return element("section", {}, element("h3", {}, "Status"), table([["changed", "", text(said.before), text(said.after)]]));
}

function fields({ fields: changes }) {
  if (!changes.length) return null;
  const rows = changes.map(({ name, before, after }) => {
    const kind = before.length ? (after.length ? "changed" : "removed") : "added";
    return [kind, visible(name), before.map(visible).join("\n"), after.map(visible).join("\n")];
  });
  return element("section", {}, element("h3", {}, "Fields"), table(rows));
}

function folded({ folded: names }) {
  if (!names.length) return null;
  return element("p", { class: "dim" }, `Not counted: ${names.map(visible).join(", ")}.`);
}

function body(found) {
  const sizes = found.before_bytes === found.after_bytes ? "" : ` · ${size(found.before_bytes)} → ${size(found.after_bytes)}`;
  const problem = found.problem ? element("p", { class: "problem" }, visible(found.problem)) : null;
  const way = WAYS[found.way]?.(found);
  if (!way) return problem;
  const more = found.more ? element("p", { class: "dim" }, "There are more.") : null;
  return element("section", {}, element("h3", {}, `Body${sizes}`), problem, way, more);
}

const WAYS = {
  json: ({ changes }) => {
    if (!changes.length) return element("p", {}, "The same JSON, written otherwise.");
    return table(changes.map(({ path, kind, before, after }) => [kind, pathOf(path), before ?? "", after ?? ""]));
  },
  lines: ({ rows, hidden }) => {
    if (hidden) return element("p", {}, "They differ in masked values alone.");
    const lines = rows.map(([sign, before, after, line]) =>
      element("div", { class: CLASSES[sign] ?? "" }, `${SIGNS[sign]} `, sign === "@" ? gap(before, after) : visibleLines(line)),
    );
    return element("pre", { class: "lines" }, ...lines);
  },
  bytes: ({ first, before_bytes: before, after_bytes: after }) =>
    element("p", {}, `${count(before, "byte")} and ${count(after, "byte")}; the first that differs is at ${first}.`),
};

function gap(before, after) {
  return `line ${before}${before === after ? "" : `, now ${after}`}`;
}

/** user.items[2]["a b"] */
function pathOf(path) {
  const said = path.map((each) => {
    if (typeof each === "number") return `[${each}]`;
    return /^[\w$-]+$/.test(each) ? `.${each}` : `[${JSON.stringify(each)}]`;
  });
  return visible(said.join("").replace(/^\./, "")) || "all of it";
}

function table(rows) {
  const head = element("tr", {}, ...["±", "Where", "First", "Second"].map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([kind, where, before, after]) =>
    element(
      ...["tr", { class: CLASSES[kind] }, element("td", {}, SIGNS[kind])],
      ...[where, visibleLines(before), visibleLines(after)].map((text) => element("td", {}, text)),
    ),
  );
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}
