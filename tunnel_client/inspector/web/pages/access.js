// The token stands in the fragment of the link that the terminal prints. It moves to this tab's
// session storage, and out of the address, before anything else happens: an address gets copied,
// and stays in the history. It is no cookie: those go to every port of 127.0.0.1, and so to the
// app that is shared.

const KEY = "inspector-token";

/** Take the token out of the address, if it has one. */
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("t");
  if (!found) return;
  sessionStorage.setItem(KEY, found);
  history.replaceState(null, "", location.pathname + location.search);
}

/** The token of this tab; null: it was not opened by the link. */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** Forget a token that was refused. */
export function forgetToken() {
  sessionStorage.removeItem(KEY);
}
