"""What a new Rails app checks in development, without Ruby: a stand-in, of our own writing.

* `config.hosts`: Host and, if it is there, the last X-Forwarded-Host must be under `.localhost` or
  an address (ActionDispatch::HostAuthorization); else 403, "Blocked hosts".
* `protect_from_forgery`: Origin, if there is one, must be `request.base_url`, which is made of
  X-Forwarded-Proto and -Host where they are there (Rack::Request); else 422.
* `redirect_to root_url` is absolute, from the same base URL.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

names: list[str] = []
PAGE = """<!doctype html>
<title>Rails-like app</title>
<h1>{base}</h1>
<form method="post"><input name="name"><button>Remember</button></form>
<p id="names">{names}</p>
"""
Start = Callable[[str, list[tuple[str, str]]], object]


def allowed(host: str) -> bool:
    if re.fullmatch(r"([a-z0-9-]+\.)?localhost(:\d+)?", host, re.IGNORECASE):
        return True
    try:
        ipaddress.ip_address(re.sub(r":\d+$", "", host).strip("[]"))
    except ValueError:
        return False
    return True


def last(value: str) -> str:
    return value.rpartition(",")[2].strip()


def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    host = environ["HTTP_HOST"]
    forwarded = last(environ.get("HTTP_X_FORWARDED_HOST", ""))
    base = f"{last(environ.get('HTTP_X_FORWARDED_PROTO', '')) or 'http'}://{forwarded or host}"
    blocked = [name for name in (host, forwarded) if name and not allowed(name)]
    if blocked:
        return answer(start, "403 Forbidden", f"Blocked hosts: {', '.join(blocked)}")
    if environ["REQUEST_METHOD"] != "POST":
        return answer(start, "200 OK", PAGE.format(base=base, names=", ".join(names)))
    if environ.get("HTTP_ORIGIN", base) != base:
        return answer(start, "422 Unprocessable Content", f"Origin is not {base}")
    form = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    names.extend(parse_qs(form)["name"])
    return answer(start, "302 Found", "", ("Location", f"{base}/"))


def answer(start: Start, status: str, page: str, *fields: tuple[str, str]) -> Iterable[bytes]:
    body = page.encode()
    length = ("Content-Length", str(len(body)))
    start(status, [("Content-Type", "text/html; charset=utf-8"), length, *fields])
    return [body]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        print(f"listens on http://localhost:{server.server_port}/", flush=True)
        server.serve_forever()
