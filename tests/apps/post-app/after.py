"""A WSGI app that works on for 5 ms behind its answer, as those that write a log or a mail do.

Meanwhile uWSGI's connection is open and idle; then it closes it, without having said so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any


class Answer:
    def __init__(self, said: bytes) -> None:
        self._said = said

    def __iter__(self) -> Iterator[bytes]:
        yield self._said

    def close(self) -> None:
        time.sleep(0.005)  # noqa: TID251  # an app of its own, without trio


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Answer:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    said = f"{environ['REQUEST_METHOD']} {len(body)}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return Answer(said)


if __name__ == "__main__":
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", int(sys.argv[1]), application)
