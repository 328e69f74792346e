"""All HTTP cases, by what they are about."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_answers import ANSWERS
from tests.conformance.http_answers_edges import EDGES
from tests.conformance.http_requests import REQUESTS
from tests.conformance.http_requests_refused import REFUSED
from tests.conformance.recorded_answers import RECORDED
from tests.conformance.websocket_script import Case

GROUPS: Final[dict[str, list[Case]]] = {**REFUSED, **REQUESTS, **ANSWERS, **EDGES, **RECORDED}
CASES: Final = [case for cases in GROUPS.values() for case in cases]
