"""Pages with htmx that name their own URLs in fields, as url_for of many frameworks does."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
PAGE = """<!doctype html><title>htmx</title>
<meta name="htmx-config" content='{"includeIndicatorStyles": false}'>
<script src="/htmx.js"></script>
<p id="path">PATH</p><p id="said"></p>
<button id="current" hx-get="/current" hx-target="#said">current</button>
<button id="push" hx-get="/push" hx-target="#said">push</button>
<button id="location" hx-get="/location" hx-target="#said">location</button>
<button id="redirect" hx-post="/redirect" hx-target="#said">redirect</button>
"""


class Handler(BaseHTTPRequestHandler):
    """Answers as if it were on no machine but its own."""

    def do_GET(self) -> None:
        own = f"http://{self.headers['Host']}"
        fields = {
            "/push": {"HX-Push-Url": f"{own}/pushed"},
            "/location": {"HX-Location": json.dumps({"path": f"{own}/there", "target": "#said"})},
            "/redirect": {"HX-Redirect": f"{own}/redirected"},
        }
        answers = {
            "/htmx.js": (HERE / "node_modules/htmx.org/dist/htmx.min.js").read_text(),
            "/current": self.headers.get("HX-Current-URL", ""),
            "/push": "pushed",
            "/there": "there",
        }
        policy = f"default-src 'none'; script-src {own}/htmx.js; connect-src {own}"
        kind = "text/javascript" if self.path == "/htmx.js" else "text/html"
        body = answers.get(self.path, PAGE.replace("PATH", self.path)).encode()
        self.send_response(200)
        for name, value in fields.get(self.path, {}).items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()


with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(f"http://localhost:{server.server_port}", flush=True)
    server.serve_forever()
