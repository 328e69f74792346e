"""All cases of WebSocket and of other upgrades, by what they are about."""

from __future__ import annotations

from typing import Final

from tests.conformance.other_upgrades import OTHER_UPGRADES
from tests.conformance.recorded_upgrades import RECORDED
from tests.conformance.websocket_ends import (
    AROUND_CLOSES,
    CLOSES,
    FINS,
    RESETS,
)
from tests.conformance.websocket_frames import (
    CONTROLS,
    CUT_HEADERS,
    CUTS,
    EXAMPLES,
    FRAGMENTS,
    LENGTHS,
    MASKS,
    RSV,
)
from tests.conformance.websocket_handshakes import HANDSHAKES
from tests.conformance.websocket_illegal import ILLEGAL
from tests.conformance.websocket_plain import NO_UPGRADES
from tests.conformance.websocket_refusals import REFUSED_UPGRADES
from tests.conformance.websocket_script import Case
from tests.conformance.websocket_segments import SAME_SEGMENT
from tests.conformance.websocket_wrong_answers import WRONG_ANSWERS

GROUPS: Final[dict[str, list[Case]]] = {
    "handshakes": HANDSHAKES,
    "bytes in the segment of a head": SAME_SEGMENT,
    "requests that ask for no WebSocket": NO_UPGRADES,
    "refusals": REFUSED_UPGRADES,
    "wrong answers": WRONG_ANSWERS,
    "lengths": LENGTHS,
    "examples of the RFCs": EXAMPLES,
    "fragments": FRAGMENTS,
    "control frames": CONTROLS,
    "masks": MASKS,
    "RSV bits": RSV,
    "cuts": [*CUTS, *CUT_HEADERS],
    "Close": CLOSES,
    "around a Close": AROUND_CLOSES,
    "FIN": FINS,
    "RST": RESETS,
    "illegal frames": ILLEGAL,
    "upgrades to anything else": OTHER_UPGRADES,
    "upgrades as recorded": RECORDED,
}
CASES: Final = [case for cases in GROUPS.values() for case in cases]
