"""Whatever leaves the inspector has no secret in it, wherever in an exchange that stands."""

from __future__ import annotations

import base64
import gzip
import json
from typing import NamedTuple
from urllib.parse import quote

import pytest
import trio
from hypothesis import given, settings, strategies as st

from tests.exchange_fakes import KEY, OK, a_head, kept_exchange
from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, snapshot_of
from tunnel_client.inspector.comparing.answers import compared
from tunnel_client.inspector.exports.copied_request import copied_request
from tunnel_client.inspector.exports.curl import curl_command
from tunnel_client.inspector.exports.har_entries import har_entry
from tunnel_client.inspector.exports.httpx_code import httpx_code
from tunnel_client.inspector.shown.masking import Masks

SECRET = "Zq7secretZq7valueZq7"
MARKED = "Zq7"


class Place(NamedTuple):
    """A place of a secret: in the target, in a field, or in a body of this type."""

    target: str = "/"
    field: str = ""
    body: str = ""
    media_type: str = "text/plain"


_NAMES = st.sampled_from(
    ["token", "access_token", "X-Api-Key", "client-secret", "password", "user[pin]", "signature"]
)


def places(name: str) -> list[Place]:
    pair = f"{quote(name)}={SECRET}"
    nested = json.dumps({"a": [1, {name: [SECRET, SECRET]}], "b": "it's"})
    form, part = "application/x-www-form-urlencoded", f'form-data; name="{name}"'
    header = name.replace("[", "-").replace("]", "")
    return [
        Place(target=f"/a?x=1&{pair}&y=2"),
        Place(field=f"{header}: {SECRET}"),
        Place(field=f"Authorization: Bearer {SECRET}"),
        Place(field=f"Cookie: theme=dark; sid={SECRET}"),
        Place(field=f"Set-Cookie: sid={SECRET}; Path=/"),
        Place(field=f"Referer: http://app.example/?{pair}"),
        Place(field=f"Location: http://app.example/#{pair}"),
        Place(body=nested, media_type="application/json"),
        Place(body=nested, media_type=""),
        Place(body=nested[:-12], media_type="application/json"),
        Place(body=f")]}}',\n{nested}", media_type="application/json"),
        Place(body=f"call({nested});", media_type="application/json"),
        Place(body=f"a=1&{pair}&b=", media_type=form),
        Place(body=f"a=1&payload={quote(nested)}", media_type=form),
        Place(body=f"id: 1\ndata: {nested}\n\n", media_type="text/event-stream"),
        Place(
            body=f"--B\r\nContent-Disposition: {part}\r\n\r\n{SECRET}\r\n--B--\r\n",
            media_type="multipart/form-data; boundary=B",
        ),
    ]


async def an_exchange(place: Place, *, is_packed: bool) -> ExchangeSnapshot:
    body = gzip.compress(place.body.encode()) if is_packed else place.body.encode()
    fields = [place.field.encode()] if place.field else []
    if place.body:
        fields.append(b"Content-Type: " + place.media_type.encode())
        fields += [b"Content-Encoding: gzip"] if is_packed else []
    line = f"POST {place.target} HTTP/1.1".encode()
    head = a_head(b"HTTP/1.1 200 OK", *fields)
    return snapshot_of(await kept_exchange(a_head(line, *fields), body, head, body))


def forms(exchange: ExchangeSnapshot, other: ExchangeSnapshot, masks: Masks) -> list[str]:
    """All that can leave of an exchange."""
    request = copied_request(exchange, "http://localhost:3000", masks)
    return [
        curl_command(request),
        httpx_code(request),
        json.dumps(har_entry(exchange, masks), ensure_ascii=False),
        json.dumps(compared(exchange, other, masks), ensure_ascii=False),
        json.dumps(compared(other, exchange, masks), ensure_ascii=False),
    ]


@given(_NAMES.flatmap(lambda name: st.sampled_from(places(name))), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_secret_leaves_in_any_form(place: Place, is_packed: bool) -> None:
    async def look() -> None:
        exchange = await an_exchange(place, is_packed=is_packed)
        other = snapshot_of(await kept_exchange(a_head(b"GET / HTTP/1.1"), b"", OK, b"{}"))
        said = "".join(forms(exchange, other, Masks(KEY)))
        assert MARKED not in said
        packed = base64.b64encode(place.body.encode()).decode()
        assert not place.body or packed not in said

    trio.run(look)


@pytest.mark.parametrize("place", places("token"))
async def test_the_places_hold_a_secret_that_is_told_when_asked_for(place: Place) -> None:
    exchange = await an_exchange(place, is_packed=False)
    assert MARKED in "".join(forms(exchange, exchange, Masks(KEY, is_on=False)))
