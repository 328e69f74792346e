"""The API of replays: one, changed or not, and many in order."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.replaying.replay_job import REQUESTS_MAX, ReplayJob
from tunnel_client.inspector.replaying.replayed_request import (
    ReplayChanges,
    ReplayRefused,
    replayed_request,
)
from tunnel_client.inspector.web.answers import NOT_FOUND, ApiError, answer, bad, posted
from tunnel_client.inspector.web.api import kept
from tunnel_client.inspector.web.entry import Rejection
from tunnel_client.inspector.web.rows import signature_of
from tunnel_client.inspector.web.view import InspectorView
from tunnel_client.origin.replay import IDEMPOTENT

NOT_IDEMPOTENT: Final = "not-idempotent"
NO_REPLAY: Final = "no-replay"
JOB_RUNS: Final = Rejection(409, "job-runs", "replays are being sent: stop them, or wait")
_JOB_ID_BYTES: Final = 8


class ReplaysApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view
        self._replays = view.replays
        self._job: tuple[str, ReplayJob] | None = None

    def __repr__(self) -> str:
        return f"<ReplaysApi {self._replays!r}>"

    async def replay(self, request: Request) -> Response:
        """Send one again."""
        exchange, said = kept(self._view, request), await posted(request)
        changes, to = _changes(said), _text(said, "to")
        try:
            sent = replayed_request(exchange, changes, self._view.facts.key)
            target = None if to is None else self._replays.other_app(to)
            if said.get("confirm") is not True:
                self._ask_first(exchange, sent.opened.method)
            return answer({"id": self._replays.begin(sent, target)}, 201)
        except ReplayRefused as error:
            raise ApiError(Rejection(409, NO_REPLAY, str(error))) from None

    async def replay_all(self, request: Request) -> Response:
        """Send many again, in order."""
        said = await posted(request)
        ids = said.get("ids")
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            raise bad("ids takes a list of whole numbers")
        if not 0 < len(ids) <= REQUESTS_MAX:
            raise bad(f"ids takes 1 to {REQUESTS_MAX:,} of them")
        if self._job is not None and not self._job[1].is_over:
            raise ApiError(JOB_RUNS)
        if said.get("confirm") is not True:
            self._ask_first_of_all(ids)
        job = ReplayJob(self._view.store, self._replays, ids, self._view.facts.key)
        try:
            self._replays.start(job.run)
        except ReplayRefused as error:
            raise ApiError(Rejection(409, NO_REPLAY, str(error))) from None
        self._job = secrets.token_hex(_JOB_ID_BYTES), job
        return answer({"job": self._job[0], "total": job.total}, 201)

    async def job(self, request: Request) -> Response:
        """The counts of those that are sent in order."""
        job = self._job_of(request)
        counts = {"total": job.total, "done": job.done, "failed": job.failed}
        return answer({**counts, "over": job.is_over})

    async def stop_job(self, request: Request) -> Response:
        """Send no more of them."""
        self._job_of(request).stop()
        return Response(status_code=204)

    def _ask_first(self, exchange: KeptExchange, method: bytes) -> None:
        """Raise ApiError for what somebody has to be asked about before it is sent."""
        twice = None
        if method not in IDEMPOTENT:
            name = method.decode("ascii", "replace")
            twice = f"{name} may do once more what it did before, such as a payment"
        _confirm(self._stale(exchange), twice)

    def _ask_first_of_all(self, ids: list[int]) -> None:
        """The same of many."""
        found = [each for each in map(self._view.store.get, ids) if each is not None]
        stale = sum(self._stale(each) is not None for each in found)
        twice = sum(each.opened.method not in IDEMPOTENT for each in found)
        of = f"of {len(ids)}"
        _confirm(
            f"{stale} {of} were signed so long ago that they will be refused" if stale else None,
            f"{twice} {of} may do once more what they did, such as a payment" if twice else None,
        )

    def _stale(self, exchange: KeptExchange) -> str | None:
        """Say that its signature is too old by now; None: it is not, or has none."""
        signed = signature_of(exchange)
        return None if signed is None else signed.message(self._view.store.now_s)

    def _job_of(self, request: Request) -> ReplayJob:
        if self._job is None or self._job[0] != request.path_params["job"]:
            raise ApiError(NOT_FOUND)
        return self._job[1]


def _confirm(*whys: str | None) -> None:
    """Raise ApiError if there is a reason to ask."""
    if why := ". ".join(filter(None, whys)):
        raise ApiError(Rejection(409, NOT_IDEMPOTENT, f"{why}: say confirm: true to send it"))


def _changes(said: dict[str, Any]) -> ReplayChanges:
    """Return what is to be changed. Raises ApiError."""
    fields, body = said.get("fields"), said.get("body")
    if fields is not None and not _are_fields(fields):
        raise bad("fields takes a list of [name, value]")
    if body is not None and not (isinstance(body, dict) and isinstance(body.get("text"), str)):
        raise bad('body takes {"text": "..."}')
    return ReplayChanges(
        _text(said, "method"),
        _text(said, "target"),
        None if fields is None else [(name, value) for name, value in fields],
        None if body is None else body["text"].encode("utf-8", "surrogatepass"),
    )


def _are_fields(said: Any) -> bool:
    return isinstance(said, list) and all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(part, str) for part in each)
        for each in said
    )


def _text(said: dict[str, Any], name: str) -> str | None:
    found = said.get(name)
    if found is not None and not isinstance(found, str):
        raise bad(f"{name} takes a text")
    return found
