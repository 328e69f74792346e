// Questions to the client by its JSON API (docs/inspector-api.md), each with the token.

import { token } from "./access.js";

/** An answer that is none: `code` for programs, the message for people. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const AWAY = "The client does not answer. Look whether it still runs in its terminal.";

/** Ask, and return the answer's JSON; null where it has none. Raises ApiError. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const answer = await send(path, method, body, signal);
  return answer.status === 204 ? null : answer.json();
}

/** Ask for a text, such as a curl command, and how many values are masked in it. Raises ApiError. */
export async function askText(path) {
  const answer = await send(path, "GET");
  return { text: await answer.text(), masked: Number(answer.headers.get("x-masked")) };
}

/** POST JSON. Raises ApiError. */
export function tell(path, body = {}) {
  return ask(path, { method: "POST", body });
}

/** Ask, and return the answer as fetch has it. Raises ApiError. */
export async function send(path, method, body, signal) {
  const answer = await fetched(path, method, body, signal);
  if (answer.ok) return answer;
  throw await problem(answer);
}

async function fetched(path, method, body, signal) {
  const headers = { Authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = body === undefined ? undefined : JSON.stringify(body);
  try {
    return await fetch(path, { method, headers, body: sent, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "away", AWAY);
  }
}

async function problem(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // An answer that is not ours says what its status says.
  }
  const message = said.message ?? `The client answered ${answer.status}.`;
  return new ApiError(answer.status, said.error ?? "unknown", message);
}
