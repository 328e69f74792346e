// HAR files: what the list shows is saved as one, and the exchanges of one come back as rows of
// their own. The file is read here, and given to the client in portions that it takes.

import { ApiError, send, tell } from "./api.js";
import { element, place, say } from "./elements.js";
import { dialog } from "./replaying.js";
import { count, size } from "./wording.js";

const FILE_MAX_BYTES = 100 * 1024 * 1024;
const PORTION_MAX_BYTES = 1_000_000; // the client takes 1 MiB, with what stands around
const PORTION_MAX_ENTRIES = 500;
const TOLD_MAX = 20; // of what was refused
const TOO_LONG = "is over 1 MB without its bodies";

/** Save what passes this filter; the answer's text for the person, or null. Raises ApiError. */
export async function save(wanted, shown) {
  const said = element("p", {}, `${count(shown, "request")}, with bodies and messages, in one file.`);
  const buttons = [
    { text: "Save, secrets masked", value: "masked" },
    { text: "Save with secrets", value: "secrets" },
    { text: "Cancel", value: "" },
  ];
  const chosen = await dialog("Save as HAR?", [said], buttons);
  if (!chosen) return null;
  const { everywhere, ...rest } = wanted;
  const filter = everywhere ? rest : { ...rest, where: "row" };
  const query = new URLSearchParams(chosen === "secrets" ? { ...filter, secrets: 1 } : filter);
  const answer = await send(`/api/har?${query}`, "GET");
  const name = /filename="([\w.-]+)"/.exec(answer.headers.get("content-disposition"))?.[1];
  const url = URL.createObjectURL(await answer.blob());
  element("a", { href: url, download: name ?? "inspector.har" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  return `Saved as ${name}.`;
}

/** Let the person choose a file; null: none was chosen. */
export function choose() {
  return new Promise((chosen) => {
    const input = place("file");
    input.value = "";
    input.onchange = () => chosen(input.files[0] ?? null);
    input.oncancel = () => chosen(null);
    input.click();
  });
}

/** Give the entries of a file to the client, and tell what became of them. Raises ApiError. */
export async function open(file) {
  const entries = await entriesOf(file);
  const bar = element("progress", { max: entries.length, value: 0, "aria-label": "Entries read" });
  const said = element("p", { role: "status" });
  let isStopped = false;
  const closed = dialog("Opening a HAR", [bar, said], [{ text: "Stop", value: "stop" }]);
  closed.then(() => (isStopped = true));
  const result = { taken: 0, refused: [], cut: 0 };
  try {
    for (const { first, portion, cut } of portions(entries, result.refused)) {
      const { ids, refused } = await tell("/api/har/entries", { first, entries: portion });
      result.taken += ids.length;
      result.cut += cut;
      result.refused.push(...refused.filter(({ entry }) => portion[entry - first] !== null));
      bar.value = first + portion.length;
      say(said, `${bar.value.toLocaleString("en")} of ${entries.length.toLocaleString("en")}`);
      if (isStopped) break;
    }
  } finally {
    if (!isStopped) place("dialog").close();
  }
  await closed;
  return result;
}

/** Say what became of a file: a line, and a dialog where something in it was refused. */
export async function tellOf({ taken, refused, cut }, notice) {
  const without = cut ? ` Left out, as it is too long: what ${cut} of them had as a body.` : "";
  notice(`${count(taken, "request")} imported.${without}`);
  if (!refused.length) return;
  const lines = refused.slice(0, TOLD_MAX).map(({ field, message }) =>
    element("li", {}, element("code", {}, field), ` ${message}`),
  );
  const more = refused.length - lines.length;
  const list = element("ul", {}, ...lines, more > 0 ? element("li", {}, `and ${more} more`) : null);
  await dialog(`Entries that were refused: ${refused.length}`, [list], [{ text: "Close", value: "" }]);
}

async function entriesOf(file) {
  if (file.size > FILE_MAX_BYTES) throw problem(`It has ${size(file.size)}; 100 MB are read.`);
  let said = null;
  try {
    said = JSON.parse(await file.text());
  } catch (error) {
    throw problem(`It is no JSON: ${error.message}`);
  }
  const entries = said?.log?.entries;
  if (!Array.isArray(entries)) throw problem("It is no HAR: there is no list `log.entries` in it.");
  return entries;
}

function problem(message) {
  return new ApiError(0, "no-har", message);
}

/** Entries in portions that the client takes; of a longer one the bodies are left out, or all. */
function* portions(entries, refused) {
  let [first, portion, bytes, cut] = [0, [], 0, 0];
  for (const [at, entry] of entries.entries()) {
    const [sent, sentBytes] = fitting(entry);
    if (portion.length && (bytes + sentBytes > PORTION_MAX_BYTES || portion.length === PORTION_MAX_ENTRIES)) {
      yield { first, portion, cut };
      [first, portion, bytes, cut] = [at, [], 0, 0];
    }
    if (sent === null) refused.push({ field: `log.entries[${at}]`, message: TOO_LONG });
    else cut += sent === entry ? 0 : 1;
    portion.push(sent);
    bytes += sentBytes;
  }
  if (portion.length) yield { first, portion, cut };
}

function fitting(entry) {
  const bytes = bytesOf(entry);
  if (bytes <= PORTION_MAX_BYTES) return [entry, bytes];
  const sent = structuredClone(entry);
  delete sent.response?.content?.text;
  delete sent._webSocketMessages;
  if (bytesOf(sent) > PORTION_MAX_BYTES) delete sent.request?.postData?.text;
  if (bytesOf(sent) > PORTION_MAX_BYTES) return [null, 5];
  return [sent, bytesOf(sent)];
}

function bytesOf(value) {
  return new TextEncoder().encode(JSON.stringify(value)).length + 1;
}
