// The time that an exchange took, as a bar: who was waited for, and how long.

import { element } from "./elements.js";
import { duration } from "./wording.js";

/** Show the parts of the timing; those that have not begun are not there. */
export function timingBar(timing, { reused, retried }) {
  const parts = partsOf(timing);
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  const legend = element("dl", { class: "legend" });
  for (const { name, text, ms } of parts) {
    const part = element("i", { class: name });
    part.style.flexGrow = Math.max(ms, 0.001);
    bar.append(part);
    legend.append(
      element("div", { class: name }, element("dt", {}, text), element("dd", {}, duration(ms))),
    );
  }
  const notes = [];
  if (reused) notes.push("by a connection that was open already");
  if (retried) notes.push("sent again: the app had closed the connection");
  const note = notes.length ? element("p", { class: "dim" }, `${notes.join("; ")}.`) : null;
  return element("div", { class: "timing" }, bar, legend, note);
}

// Each begins at the first of these marks that is there, and ends at the next part's beginning.
const PARTS = [
  { name: "before", text: "in the tunnel", marks: ["began"] },
  { name: "connect", text: "connecting to the app", marks: ["connecting"] },
  { name: "send", text: "sending", marks: ["head_sent"] },
  { name: "app", text: "waiting for the app", marks: ["body_sent"] },
  { name: "receive", text: "answer", marks: ["answer_head"] },
];

/** The parts with their milliseconds; what took less than can be told is left out. */
export function partsOf(timing) {
  const marks = { began: 0, ...timing };
  const there = PARTS.map((part) => ({ ...part, at: marks[part.marks[0]] ?? null }));
  const begun = there.filter(({ at }) => at !== null);
  const last = begun.at(-1)?.at ?? 0;
  const end = marks.ended ?? marks.last_byte ?? last;
  return begun
    .map((part, index) => ({ ...part, ms: Math.max(0, (begun[index + 1]?.at ?? end) - part.at) }))
    .filter(({ ms, name }) => ms >= 0.05 || name === "app");
}
