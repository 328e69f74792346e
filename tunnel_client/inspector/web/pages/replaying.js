// Sending a request again: as it was, changed, or all that the list shows. The client says whether
// it can; where sending twice may do harm, it refuses until the person has said so.

import { ApiError, ask, tell } from "./api.js";
import { button, element, place, say } from "./elements.js";
import { count, visible } from "./wording.js";

const NOT_IDEMPOTENT = "not-idempotent";
const ALL_MAX = 1000;
const PROGRESS_MS = 500;

/** A dialog with this in it, which closes with Escape. Its promise has the button's value. */
export function dialog(title, content, buttons) {
  const box = place("dialog");
  place("dialog-title").textContent = title;
  place("dialog-content").replaceChildren(...content);
  place("dialog-buttons").replaceChildren(
    ...buttons.map(({ text, value }) => button(text, () => box.close(value), { value })),
  );
  box.returnValue = "";
  box.showModal();
  return new Promise((closed) => {
    box.addEventListener("close", () => closed(box.returnValue), { once: true });
  });
}

/** Send it again, with these changes; the number of the new exchange, or null. Raises ApiError. */
export async function replay(row, changes = {}) {
  const path = `/api/exchanges/${row.id}/replay`;
  try {
    return (await tell(path, changes)).id;
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== NOT_IDEMPOTENT) throw error;
    const said = element("p", {}, error.message);
    const yes = [{ text: "Send it again", value: "yes" }, { text: "Leave it", value: "" }];
    const answer = await dialog(`Send ${visible(row.method)} once more?`, [said], yes);
    return answer ? (await tell(path, { ...changes, confirm: true })).id : null;
  }
}

/** Let the person change the request, then send it. */
export async function edit(row) {
  const { request } = await ask(`/api/exchanges/${row.id}`);
  const [method, target] = request.line.split(" ");
  const fields = request.fields.map(([name, value]) => `${name}: ${value}`).join("\n");
  const inputs = {
    method: element("input", { value: method, required: true }),
    target: element("input", { value: target, required: true }),
    fields: element("textarea", { rows: 8, spellcheck: "false" }, fields),
    body: element("textarea", { rows: 8, spellcheck: "false", placeholder: "As it was" }),
    to: element("input", { placeholder: "The app that is shared" }),
  };
  const body = await bodyOf(row, request.body);
  inputs.body.value = body ?? "";
  const labels = { method: "Method", target: "Path", fields: "Fields", body: "Body", to: "To port or URL" };
  const content = Object.entries(inputs).map(([name, input]) => element("label", {}, labels[name], input));
  content.push(element("p", { class: "dim" }, "Masked values that you leave keep what they hide."));
  const buttons = [{ text: "Send", value: "send" }, { text: "Cancel", value: "" }];
  if (!(await dialog("Change and send again", content, buttons))) return null;
  return replay(row, changesOf(inputs, { method, target, fields, body }));
}

/** The body as a text; null where it is none, or holds what is masked. */
async function bodyOf(row, body) {
  if (!body?.kept || !body.whole || body.masked) return null;
  const shown = await ask(`/api/exchanges/${row.id}/request/body?as=text`);
  return shown.text ?? null;
}

function changesOf(inputs, before) {
  const changes = {};
  for (const name of ["method", "target"]) {
    if (inputs[name].value !== before[name]) changes[name] = inputs[name].value;
  }
  if (inputs.fields.value !== before.fields) changes.fields = fieldsOf(inputs.fields.value);
  if (inputs.body.value !== (before.body ?? "")) changes.body = { text: inputs.body.value };
  if (inputs.to.value) changes.to = inputs.to.value;
  return changes;
}

function fieldsOf(text) {
  const lines = text.split("\n").filter((line) => line.includes(":"));
  return lines.map((line) => {
    const [name] = line.split(":", 1);
    return [name.trim(), line.slice(name.length + 1).trim()];
  });
}

/**
 * Send all of these again, in their order, once the person has seen how many of what they are.
 * What is to be said of it behind its end; "" where nothing was sent.
 */
export async function replayAll(rows) {
  const chosen = rows.filter(({ id, kind }) => id && kind === "http").slice(0, ALL_MAX);
  const methods = new Map();
  for (const { method } of chosen) methods.set(method, (methods.get(method) ?? 0) + 1);
  const each = [...methods].map(([method, many]) => `${many} ${visible(method)}`).join(", ");
  const said = element("p", {}, `${count(chosen.length, "request")}, in order: ${each}.`);
  const buttons = [{ text: "Send them", value: "send" }, { text: "Cancel", value: "" }];
  if (!(await dialog("Send all again?", [said], buttons))) return "";
  const ids = chosen.map(({ id }) => id);
  const { job } = await tell("/api/replay-all", { ids, confirm: true });
  return watch(job, chosen.length);
}

/** Show how far it is, and say so behind its end; closing the dialog ends it between two requests. */
async function watch(job, total) {
  const bar = element("progress", { max: total, value: 0, "aria-label": "Requests sent" });
  const said = element("p", { role: "status" });
  let isClosed = false;
  const closed = dialog("Sending", [bar, said], [{ text: "Stop", value: "stop" }]);
  closed.then(() => (isClosed = true));
  let state = await ask(`/api/jobs/${job}`);
  while (!isClosed && !state.over) {
    bar.value = state.done;
    say(said, `${state.done} of ${state.total}, ${state.failed} failed`);
    await Promise.race([closed, new Promise((done) => setTimeout(done, PROGRESS_MS))]);
    if (!isClosed) state = await ask(`/api/jobs/${job}`);
  }
  const failed = state.failed ? `, ${state.failed} failed` : "";
  if (state.over) {
    if (!isClosed) place("dialog").close();
    return `Sent ${count(state.done, "request")}${failed}.`;
  }
  await ask(`/api/jobs/${job}`, { method: "DELETE" });
  state = await ask(`/api/jobs/${job}`);
  const begun = Math.min(state.done + 1, state.total); // the one under way ends by itself
  return `Stopped behind ${begun} of ${count(state.total, "request")}${failed}.`;
}
