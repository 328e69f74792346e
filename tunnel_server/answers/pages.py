"""The two HTML pages of the service: an error, and the landing page.

They are whole in themselves: no image, nothing loaded. The policy allows the one style sheet below,
by its hash, and nothing else, so that even a fault in the escaping could run nothing.

Only the page of an error that passes has a script, allowed by its hash too: it asks the same
address again until the app answers, and then loads it. It may, for the person asked with GET; what
came with another method is never sent again by a page of ours.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Final

from tunnel_server.answers.texts import ErrorText, Side

_STYLE: Final = """
:root { color-scheme: light dark; --fg: #1c2430; --dim: #5b6675; --bg: #f5f7fa; --card: #fff;
  --line: #dde3ea; --good: #1a7f4b; --bad: #c2410c; --code: #eef2f7; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6eaf0; --dim: #9aa6b5; --bg: #11161d;
  --card: #1a212b; --line: #2d3744; --good: #4cc38a; --bad: #ff9166; --code: #11161d; } }
*, ::before, ::after { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--bg); color: var(--fg);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 38rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; padding: clamp(1.25rem, 5vw, 2.5rem); overflow-wrap: anywhere; }
h1 { font-size: clamp(1.35rem, 5vw, 1.75rem); line-height: 1.25; margin: 0 0 .75rem;
  overflow-wrap: break-word; }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: 0 0 .5rem; }
.dim, footer { color: var(--dim); }
footer { margin-top: 1.75rem; padding-top: 1rem; border-top: 1px solid var(--line);
  font-size: .875rem; }
.way { display: flex; list-style: none; margin: 0 0 1.75rem; padding: 0; font-size: .8125rem;
  text-align: center; color: var(--dim); }
.way li { flex: 1; position: relative; }
.way li::before { content: ""; display: block; width: .875rem; height: .875rem;
  margin: 0 auto .4rem;
  border-radius: 50%; border: 2px solid var(--line); background: var(--card); position: relative;
  z-index: 1; }
.way li + li::after { content: ""; position: absolute; top: calc(.4375rem - 1px);
  right: 50%; width: 100%; height: 2px; background: var(--line); }
.way .good::before { background: var(--good); border-color: var(--good); }
.way .good + .good::after, .way .good + .bad::after { background: var(--good); }
.way .bad { color: var(--bad); font-weight: 600; }
.way .bad::before { background: var(--bad); border-color: var(--bad); }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { margin: .5rem 0 0; padding: .75rem 1rem; background: var(--code); border-radius: 8px;
  border: 1px solid var(--line); white-space: pre-wrap; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")

# HEAD is what costs an app least; what it answers does not matter, a 405 neither, as long as it is
# the app that answers. So a redirect is not followed: it may lead to another origin, which would
# look like a failure. 502 to 504 without Tunnel-Error are a proxy's, in front of this service or of
# the app, whose backend is still away. A tab that nobody looks at asks nothing.
_SCRIPT: Final = """
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const shown = () => new Promise((done) =>
  document.addEventListener("visibilitychange", done, { once: true }));
const isBack = async () => {
  try {
    const answer = await fetch(location.href, { method: "HEAD", cache: "no-store",
      redirect: "manual", signal: AbortSignal.timeout?.(60000) });
    return !answer.headers.has("Tunnel-Error") && ![502, 503, 504].includes(answer.status);
  } catch {
    return false;
  }
};
(async () => {
  document.getElementById("waits").hidden = false;
  for (let ms = 1000; ; ms = Math.min(ms * 1.5, 5000)) {
    await pause(ms);
    while (document.hidden) await shown();
    if (await isBack()) break;
  }
  location.reload();
})();
"""
_SCRIPT_HASH: Final = b64encode(sha256(_SCRIPT.encode()).digest()).decode("ascii")

# No frame-ancestors: there is nothing to click, and a developer whose page has another tunnel in a
# frame should see what is wrong with it.
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
).encode("ascii")
WAITING_POLICY: Final = CONTENT_SECURITY_POLICY + (
    f"; script-src 'sha256-{_SCRIPT_HASH}'; connect-src 'self'"
).encode("ascii")
_WAITS: Final = f"""\
<p id="waits" class="dim" hidden>This page loads again by itself once the app answers.</p>
<script>{_SCRIPT}</script>"""

# An empty reference is this very address, and a link asks with GET.
_WAS_SENT: Final = """\
<p>What you sent has not reached the app. <a href="">Open this address again</a>, or go back to
where you came from and send it once more.</p>"""

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{main}
</main>
</body>
</html>
"""

# What a visitor calls the stations of a request.
_STATIONS: Final = {
    Side.VISITOR: "Your request",
    Side.SERVICE: "Tunnel service",
    Side.TUNNEL: "Tunnel",
    Side.APP: "App",
}


def error_page(
    code: str, text: ErrorText, status: int, cause: str, name: str | None, *, safe: bool = True
) -> bytes:
    """The page of an error; `cause` and `name` may be anything, they are escaped.

    Args:
        safe: the request was a GET or HEAD, so that asking again does nothing. If the error passes,
            the page does so, and needs WAITING_POLICY.
    """
    parts = [
        _way(text.side),
        f"<h1>{escape(text.title)}</h1>",
        f"<p>{escape(cause)}</p>",
        "<h2>What to do</h2>",
        f"<p>{escape(text.next_step)}</p>",
    ]
    if text.owner_step:
        parts.append(f'<p class="dim">{escape(text.owner_step)}</p>')
    if text.passes:
        parts.append(_WAITS if safe else _WAS_SENT)
    tunnel = f" &middot; tunnel <code>{escape(name)}</code>" if name else ""
    parts.append(f"<footer>{status} <code>{escape(code)}</code>{tunnel}</footer>")
    return _page(text.title, parts)


def landing(title: str, about: str, steps: Iterable[tuple[str, str]], footer: str) -> bytes:
    """The landing page; each step is its heading and a command."""
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(about)}</p>"]
    for heading, command in steps:
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(f"<pre><code>{escape(command)}</code></pre>")
    parts.append(f"<footer>{escape(footer)}</footer>")
    return _page(title, parts)


def _way(broken: Side) -> str:
    """The stations of a request, good up to the one that is broken; beyond it nothing is known."""
    items = []
    state = ' class="good"'
    for side, label in _STATIONS.items():
        if side is broken:
            spoken = '<span class="hidden">: the fault is here</span>'  # colour alone says nothing
            items.append(f'<li class="bad">{label}{spoken}</li>')
            state = ""
        else:
            items.append(f"<li{state}>{label}</li>")
    return f'<ol class="way">{"".join(items)}</ol>'


def _page(title: str, parts: list[str]) -> bytes:
    filled = _PAGE.format(title=escape(title), style=_STYLE, main="\n".join(parts))
    return filled.encode("utf-8", "replace")
