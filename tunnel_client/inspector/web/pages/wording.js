// How sizes, times and states are said: the same everywhere on the page.

const UNITS = ["kB", "MB", "GB", "TB"];

/** A size as people read it: 87 B, 1.2 kB. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < UNITS.length - 1);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** A duration: 0.4 ms, 12 ms, 1.2 s, 3 min 4 s. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 9.95) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** The time of day of a moment, in the zone of who looks at it. */
export function clock(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? "" : CLOCK.format(date);
}

/** A count and its noun: 1 request, 12 requests. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

const WAITS = {
  visitor: ["visitor …", "Waits for the visitor, to send its body or to read the answer."],
  tunnel: ["tunnel …", "Waits for the tunnel, which is connecting or busy with what came before."],
  app: ["app …", "Waits for the app, to be there or to answer."],
  open: ["open", "Open: either side may send at any time."],
};

/** What an exchange waits for, in a word; "" where it is over. */
export function waits(state) {
  return WAITS[state]?.[0] ?? "";
}

/** The same in a sentence. */
export function waitsSentence(state) {
  return WAITS[state]?.[1] ?? "";
}

/** The kind of a row for its colour and its sign: waits, open, failed, ok, moved, wrong, broken. */
export function outcome(row) {
  if (row.error) return "failed";
  if (row.state === "open") return "open";
  if (row.status === null) return row.state === "over" ? "failed" : "waits";
  if (row.status < 300) return "ok";
  if (row.status < 400) return "moved";
  return row.status < 500 ? "wrong" : "broken";
}

// Control characters, and those that turn the direction of the text around them or join letters
// unseen: what is captured must not rearrange the line that it stands in.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** One line of captured text, its unseen characters said by their numbers. */
export function visible(text) {
  return text.replace(UNSEEN, (found) => {
    const code = found.codePointAt(0).toString(16).padStart(2, "0");
    return found <= "\xff" ? `\\x${code}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** The same for a text of many lines, whose line ends and tabs stay. */
export function visibleLines(text) {
  return text.split("\n").map((line) => line.split("\t").map(visible).join("\t")).join("\n");
}
