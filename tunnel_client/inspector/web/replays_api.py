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
        asking = self._asking(ids)
        if asking and said.get("confirm") is not True:
            raise _not_idempotent(f"{asking} of {len(ids)} may do once more what they did before")
        job = ReplayJob(self._view.store, self._replays, ids, self._view.facts.key)
        self._job = secrets.token_hex(_JOB_ID_BYTES), job
        try:
            self._replays.start(job.run)
        except ReplayRefused as error:
            raise ApiError(Rejection(409, NO_REPLAY, str(error))) from None
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
        signed = signature_of(exchange)
        stale = None if signed is None else signed.message(self._view.store.now_s)
        twice = None
        if method not in IDEMPOTENT:
            name = method.decode("ascii", "replace")
            twice = f"{name} may do once more what it did before, such as a payment"
        if why := ". ".join(filter(None, (stale, twice))):
            message = f"{why}: say confirm: true to send it"
            raise ApiError(Rejection(409, NOT_IDEMPOTENT, message))

    def _job_of(self, request: Request) -> ReplayJob:
        if self._job is None or self._job[0] != request.path_params["job"]:
            raise ApiError(NOT_FOUND)
        return self._job[1]

    def _asking(self, ids: list[int]) -> int:
        found = (self._view.store.get(each) for each in ids)
        return sum(each is not None and _may_harm(each) for each in found)


def _may_harm(exchange: KeptExchange) -> bool:
    return exchange.opened.method not in IDEMPOTENT


def _not_idempotent(why: str) -> ApiError:
    message = f"{why}, such as a payment: say confirm: true to send it"
    return ApiError(Rejection(409, NOT_IDEMPOTENT, message))


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
