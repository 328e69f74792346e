"""A claim without a name gets the one that its client would have: the same at each start.

Nobody asked for that name by hand, so it ends no other client: while one of the same owner serves
under it, the claim gets a made-up name, and is told where that client runs. One that is away
(its machine was switched off, its program was killed) is no reason for another name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from protocol.mux.messages import Claim
from protocol.names import is_legal_name
from tunnel_server.owners.stored_tokens import filled, may_have
from tunnel_server.tunnels.registry import Registry

# As many as an install key's own name ends with, which nobody can guess.
_STEM_CHARS: Final = 8


def with_default_within(claim: Claim, patterns: tuple[str, ...]) -> Claim:
    """The claim; one without a name, by a token that may have these alone, with such a default.

    It is the client's own where that is let through. Else the first pattern with a `*` says it, and
    the end of the client's own stands there: so it is the same at each start. A pattern without
    any is a name already.
    """
    if claim.name or not patterns or (claim.default and may_have(patterns, claim.default)):
        return claim
    stem = (claim.default or "")[-_STEM_CHARS:].strip("-")
    return claim._replace(default=_first_legal(filled(patterns, stem or "*")))


def made_up_within(claim: Claim, patterns: tuple[str, ...], registry: Registry) -> Claim:
    """The claim; one that has no name yet, by such a token, gets a made-up one if it may."""
    if claim.name or not patterns:
        return claim
    name = registry.free_name()
    if not may_have(patterns, name):
        stem = name[-_STEM_CHARS:]
        name = _first_legal(each for each in filled(patterns, stem) if stem in each)
    return claim._replace(name=name, default=name)


def _first_legal(names: Iterable[str]) -> str:
    return next(filter(is_legal_name, names), "")


def with_stable_name(
    claim: Claim, owner: str, registry: Registry, may_have: Callable[[Claim], bool]
) -> tuple[Claim, str | None]:
    """The claim with the name that it gets, and what to tell its owner.

    Args:
        claim: may have a name; then it is what comes back.
        may_have: whether the owner may have the name of a claim, held or not.
    """
    if claim.name or not claim.default or not is_legal_name(claim.default):
        return claim, None
    named = claim._replace(name=claim.default)
    if registry.owner_of(named.name) not in (None, owner) or not may_have(named):
        return claim, None
    holder = registry.find(named.name)
    if holder is None or holder.carrier.away or holder.instance == claim.instance:
        return named, None
    taken = f"{named.name} is in use by another client of yours{registry.where(holder)}"
    return claim, f"{taken}; --subdomain gives this one a name that stays"
