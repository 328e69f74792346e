"""Apps that are odd in one way each. MODE says which."""

import os
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

PORT, MODE = int(os.environ["PORT"]), os.environ["MODE"]
OWN = f"http://localhost:{PORT}"
FORM = "<form method=post action=/f><button>Send</button></form>"
first_foreign = []
answers = []


def links(*urls):
    return "<!doctype html>" + "".join(f"<a href='{url}/x'>x</a>" for url in urls) + FORM


def unauthorized(environ, url):
    return "401 Unauthorized", links(url)


def sso(environ, url):
    return "302 Found", "", ("Location", f"https://sso.example/?back={url}/")


def proxies(environ, url):
    """It refuses a proxy that it does not know, as Home Assistant does."""
    if "HTTP_X_FORWARDED_FOR" in environ:
        return "400 Bad Request", "a proxy that nobody knows"
    return "200 OK", links(url)


def https_once(environ, url):
    """It redirects the first question to https, and no other."""
    answers.append(url)
    if len(answers) == 1:
        return "302 Found", "", ("Location", f"https://localhost:{PORT}/")
    return "200 OK", ""


def https_login(environ, url):
    """It wants https everywhere, and a login at its first page."""
    path = environ["PATH_INFO"]
    if not url.startswith("https:"):
        return "301 Moved Permanently", "", ("Location", f"https://{environ['HTTP_HOST']}{path}")
    if path == "/":
        return "302 Found", "", ("Location", f"{url}/login")
    return "200 OK", links(url)


def slow(environ, url):
    threading.Event().wait(2)
    return "200 OK", links(url)


def every_second(environ, url):
    answers.append(url)
    return "200 OK", links(*[url] * (len(answers) % 2))


def remembers(environ, url):
    """It calls itself what it was first called by a stranger."""
    if url != OWN:
        first_foreign.append(url)
    return "200 OK", links((first_foreign or [url])[0])


def pinned(environ, url):
    """Its links are made of Host, and its forms take an Origin on localhost alone."""
    if environ["REQUEST_METHOD"] == "POST" and environ.get("HTTP_ORIGIN") != OWN:
        return "403 Forbidden", "an Origin of somebody else"
    return "200 OK", links(url)


def app(environ, start_response):
    scheme = environ.get("HTTP_X_FORWARDED_PROTO", "http")
    status, body, *fields = globals()[MODE](environ, f"{scheme}://{environ['HTTP_HOST']}")
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), *fields])
    return [body.encode()]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


make_server("localhost", PORT, app, Server, Quiet).serve_forever()
