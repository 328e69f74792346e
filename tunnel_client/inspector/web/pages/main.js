// Where the parts of the page meet: the feed fills the list, the list chooses what the details
// show, and the keys and buttons act on it.

import { forgetToken, takeToken, token } from "./access.js";
import { ApiError, ask } from "./api.js";
import { Comparing } from "./comparing.js";
import { copy } from "./copying.js";
import { Details } from "./details.js";
import { element, place, say } from "./elements.js";
import { Exchanges } from "./exchanges.js";
import { ExchangeList } from "./exchange_list.js";
import { choose, open as openFile, save, tellOf } from "./files.js";
import { Filter } from "./filter.js";
import { help, listen } from "./keys.js";
import { Live } from "./live.js";
import { edit, replay, replayAll } from "./replaying.js";
import { clock, count, duration, size } from "./wording.js";

const NOTICE_MS = 6000;
const OFFER_MS = 20_000; // for who goes there by keys

const exchanges = new Exchanges();
let abilities = new Set(); // what the client says it can do beside showing

const replays = { can: () => can("replay"), offered: isHttp("replay") };
const actions = [
  { name: "open", text: "Open the request", keys: ["Enter"], run: open },
  { name: "replay", text: "Replay", keys: ["r"], ...replays, run: () => again(replay) },
  { name: "edit", text: "Edit and replay", keys: ["e"], ...replays, run: () => again(edit) },
  { name: "curl", text: "Copy as curl", keys: ["c"], ...copies("curl") },
  { name: "httpx", text: "Copy as Python", keys: ["p"], ...copies("httpx") },
  {
    ...{ name: "diff", text: "Compare its answer", keys: ["d"], can: () => can("diff") },
    ...{ offered: isHttp("diff"), run: compared },
  },
  {
    ...{ name: "cancel", text: "Cancel it", keys: ["x"], run: cancel },
    ...{ can: () => isGoing(details.row), offered: isGoing },
  },
  { name: "save", text: "Save what is shown as HAR", keys: ["s"], can: () => can("har"), run: saved },
  { name: "load", text: "Open a HAR", keys: ["o"], can: () => can("har"), run: loaded },
  { name: "filter", text: "Filter", keys: ["/"], run: () => filter.focus() },
  { name: "end", text: "Go to the end, and follow it", keys: ["g"], run: () => list.goToEnd() },
  { name: "leave", text: "Close, or back to the list", keys: ["Escape"], run: leave },
  { name: "help", text: "These keys", keys: ["?"], run: () => help(actions) },
  { name: "next", keys: ["j", "ArrowDown"], isHidden: true, run: () => list.step(1) },
  { name: "previous", keys: ["k", "ArrowUp"], isHidden: true, run: () => list.step(-1) },
];

const details = new Details(actions, notice);
const list = new ExchangeList(exchanges, chosen);
const filter = new Filter(filtered, (error) => notice(error.message));
const comparing = new Comparing();
const live = new Live({ message, lost, refused });

// --- what comes ---

function message({ run, first_id: firstId, rows, snapshot, ...facts }, isNewRun) {
  if (run !== exchanges.run) {
    exchanges.begin(run, clock(Date.now()));
    if (isNewRun) filter.forget();
    learn();
  } else if (snapshot) exchanges.forgetRun();
  place("lost").hidden = true;
  const added = exchanges.take(rows);
  exchanges.dropBefore(firstId);
  if (rows.length) filter.news();
  list.update(added);
  details.changed(rows, run);
  state(facts);
  methods(rows);
}

function lost() {
  place("lost").hidden = false;
  say(place("connection"), "client away");
  place("connection").className = "bad";
}

function refused() {
  forgetToken();
  document.body.classList.add("locked");
  place("locked").hidden = false;
}

/** What the client shares, and what it can do. */
async function learn() {
  try {
    const { target, can: able } = await ask("/api/run");
    abilities = new Set(able ?? []);
    say(place("target"), target ? `→ ${target}` : "");
    place("replay-all").hidden = !can("replay-all");
    place("save").hidden = place("load").hidden = !can("har");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) refused();
  }
}

function state({ counts, connection, url }) {
  say(place("url"), url ?? "");
  if (connection) {
    const trip = connection.rtt_ms ? `, ${duration(connection.rtt_ms)}` : "";
    say(place("connection"), `${connection.state}${trip}`);
    place("connection").className = connection.state === "connected" ? "good" : "bad";
  }
  say(place("dropped"), counts.dropped ? `${count(counts.dropped, "request")} no longer kept` : "");
  place("dropped").title = `${size(counts.used_bytes)} of ${size(counts.memory_bytes)} are used`;
}

/** The methods that were seen, to choose from. */
function methods(rows) {
  const select = place("method");
  for (const { method } of rows) {
    if ([...select.options].some(({ value }) => value === method)) continue;
    select.append(element("option", { value: method.slice(0, 40) }, method.slice(0, 40)));
  }
}

// --- what the person does ---

function can(ability) {
  return abilities.has(ability);
}

function isHttp(ability) {
  return (row) => can(ability) && row.kind === "http" && row.run === exchanges.run;
}

function copies(form) {
  return { can: () => can(form), offered: isHttp(form), run: () => copied(form) };
}

function isGoing(row) {
  return Boolean(row) && row.state !== "over" && row.run === exchanges.run;
}

function chosen(row, how) {
  if (row.line) return;
  if (details.isOpen || how !== "key") {
    details.show(row, row.run === exchanges.run);
    live.show(row.run === exchanges.run ? row.id : null);
  }
  if (how === "open") details.focus();
}

function open() {
  if (list.row) chosen(list.row, "open");
}

function leave() {
  if (place("filter").contains(document.activeElement) || !details.isOpen) list.focus();
  else closeDetails();
}

function closeDetails() {
  details.hide();
  live.show(null);
  list.focus();
}

function filtered() {
  exchanges.filter(filter.passes);
  list.update();
}

async function again(send) {
  const row = details.row ?? list.row;
  if (!row || !isHttp("replay")(row)) return;
  await told(async () => {
    const id = await send(row);
    if (id !== null) notice(`Sent again as request ${id}.`);
  });
}

async function copied(form) {
  const row = details.row ?? list.row;
  if (!row || !isHttp(form)(row)) return;
  await told(() => copy(row, form, { notice, told }));
}

async function compared() {
  const row = details.row ?? list.row;
  if (row && isHttp("diff")(row)) await told(() => comparing.choose(row, notice));
}

function saved() {
  const shown = exchanges.shown.filter(({ line, run }) => !line && run === exchanges.run).length;
  return told(async () => notice((await save(filter.wanted, shown)) ?? ""));
}

async function loaded() {
  const file = await choose();
  if (file) await told(async () => tellOf(await openFile(file), notice));
}

function cancel() {
  const { id } = details.row;
  return told(() => ask(`/api/exchanges/${id}/cancel`, { method: "POST", body: {} }));
}

/** Do it, and tell the person where the client refuses. */
async function told(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    notice(error.message);
  }
}

let noticed = null;
/** Tell the person something, with a button where there is more to do: it stays as long. */
function notice(text, offer = null) {
  clearTimeout(noticed);
  place("notice").replaceChildren(...[text, offer].filter(Boolean));
  offer?.addEventListener("click", () => {
    place("notice").replaceChildren();
    (details.isOpen ? details : list).focus();
  });
  noticed = setTimeout(() => place("notice").replaceChildren(), offer ? OFFER_MS : NOTICE_MS);
}

async function clear() {
  await told(() => ask("/api/exchanges", { method: "DELETE" }));
  exchanges.forgetEarlier();
  list.update();
}

details.closed = closeDetails;
place("clear").addEventListener("click", clear);
place("save").addEventListener("click", saved);
place("load").addEventListener("click", loaded);
place("help").addEventListener("click", () => help(actions));
place("clear-filter").addEventListener("click", () => place("filter").reset());
place("replay-all").addEventListener("click", () => told(async () => notice(await replayAll(exchanges.shown))));
listen(actions);
takeToken();
filtered();
if (token()) live.start();
else refused();
list.focus();
