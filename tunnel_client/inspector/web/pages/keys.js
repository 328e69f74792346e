// Every action of the page with its key, in one table: the buttons are made of it, and the help.

import { element } from "./elements.js";
import { dialog } from "./replaying.js";

const SELECTION = [
  { keys: ["j", "ArrowDown"], text: "Next request, or frame" },
  { keys: ["k", "ArrowUp"], text: "Previous one" },
  { keys: ["Home", "End"], text: "First, last: the list follows its end there" },
];

/**
 * Listen for the keys of these actions, each { name, text, keys, run, can, offered }, wherever no
 * text is being written and no dialog is open.
 */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const isWriting = event.target.closest?.("input, textarea, select");
    if (isWriting && event.key !== "Escape") return;
    const isPressing = event.key === "Enter" && event.target.closest?.("button, summary, a");
    const found = actions.find(({ keys }) => keys?.includes(event.key));
    if (!found || isPressing || found.can?.() === false) return;
    event.preventDefault();
    found.run();
  });
}

/** Show what the keys do. */
export function help(actions) {
  const list = element("dl", { class: "keys" });
  const there = actions.filter(({ keys, can }) => keys && can?.() !== false);
  for (const { keys, text } of [...SELECTION, ...there.filter(({ isHidden }) => !isHidden)]) {
    const caps = keys.map((key) => element("kbd", {}, key.replace(/^Arrow/, "")));
    list.append(element("dt", {}, ...caps), element("dd", {}, text));
  }
  return dialog("Keys", [list], [{ text: "Close", value: "" }]);
}
