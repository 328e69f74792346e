// A request as a command or as code, in the clipboard. Its secrets are masked until the person asks
// for them, once for each copy.

import { askText } from "./api.js";
import { button, element } from "./elements.js";
import { dialog } from "./replaying.js";
import { count } from "./wording.js";

/**
 * Copy it. `notice` tells the person what became of that, and `told` runs what is to be done then.
 * Raises ApiError.
 */
export async function copy(row, form, { notice, told }, withSecrets = false) {
  const path = `/api/exchanges/${row.id}/${form}${withSecrets ? "?secrets=1" : ""}`;
  const { text, masked } = await askText(path);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    await byHand(text);
    return;
  }
  if (!masked) notice(withSecrets ? "Copied, with its secrets." : "Copied.");
  else {
    const again = () => told(() => copy(row, form, { notice, told }, true));
    notice(`Copied. ${count(masked, "secret")} in it ${masked === 1 ? "is" : "are"} masked.`, button("Copy with secrets", again));
  }
}

/** Without https, or without leave, a browser lets nobody copy but by hand. */
async function byHand(text) {
  const attributes = { readonly: true, rows: 12, "aria-label": "What was to be copied" };
  const area = element("textarea", attributes, text);
  const closed = dialog("Copy it by hand", [area], [{ text: "Close", value: "" }]);
  area.focus();
  area.select();
  await closed;
}
