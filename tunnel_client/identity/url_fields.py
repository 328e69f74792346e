"""The table of the fields that hold URLs or hosts of the app, with the grammar of each.

On the way to the app what names the public origin comes to name the app, as Host does; on the way
back the other way round, in informational answers too. docs/identity.md shows this table, and a
test holds the two together. Host, Origin, Access-Control-Allow-Origin and the X-Forwarded fields
are not in it: `rewriting` has their rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from protocol.http.fields import Fields
from protocol.http.limits import HEAD_MAX_BYTES
from tunnel_client.identity.json_urls import hx_location, report_to
from tunnel_client.identity.own_urls import ToOwn, ToPublic
from tunnel_client.identity.policies import features, policy
from tunnel_client.identity.url_lists import (
    challenges,
    endpoints,
    if_tagged,
    link,
    permissions,
    refresh,
    rule_sets,
    upload_concat,
    whole_url,
)

VALUE_MAX_BYTES: Final = 8_192
"""No value grows past it: most servers and proxies take lines of so many bytes, and not more."""

Way = TypeVar("Way", ToOwn, ToPublic)
Asked = Callable[[bytes, ToOwn], bytes]
Answered = Callable[[bytes, ToPublic], bytes]


class UrlField(NamedTuple):
    """A field that holds URLs.

    Fields:
        name: as it is written.
        asked: how a request's value is translated; None: it is not.
        answered: the same of an answer.
    """

    name: str
    asked: Asked | None
    answered: Answered | None


def cookie(value: bytes, to: ToPublic) -> bytes:
    """A Set-Cookie (RFC 6265 4.1.1)."""
    return to.own.translate_cookie(value, to.public)


URL_FIELDS: Final = (
    UrlField("Content-Location", whole_url, whole_url),  # RFC 9110 8.7
    UrlField("Content-Security-Policy", None, policy),
    UrlField("Content-Security-Policy-Report-Only", None, policy),
    UrlField("Destination", whole_url, None),  # RFC 4918 10.3
    UrlField("Feature-Policy", None, features),  # Permissions Policy before 2020
    UrlField("HX-Current-URL", whole_url, None),  # htmx
    UrlField("HX-Location", None, hx_location),
    UrlField("HX-Push", None, whole_url),  # htmx 1
    UrlField("HX-Push-Url", None, whole_url),
    UrlField("HX-Redirect", None, whole_url),
    UrlField("HX-Replace-Url", None, whole_url),
    UrlField("If", if_tagged, None),
    UrlField("Link", link, link),
    UrlField("Location", None, whole_url),
    UrlField("OData-EntityId", None, whole_url),  # OData 4, part 1, 8.3.4
    UrlField("Operation-Location", None, whole_url),  # Microsoft's REST guidelines
    UrlField("Permissions-Policy", None, permissions),
    UrlField("Permissions-Policy-Report-Only", None, permissions),
    UrlField("Ping-From", whole_url, None),  # HTML: <a ping>
    UrlField("Ping-To", whole_url, None),
    UrlField("Referer", whole_url, None),  # RFC 9110 10.1.3
    UrlField("Refresh", None, refresh),
    UrlField("Report-To", None, report_to),
    UrlField("Reporting-Endpoints", None, endpoints),
    UrlField("Service-Worker-Allowed", None, whole_url),  # of another origin it refuses the worker
    UrlField("Set-Cookie", None, cookie),
    UrlField("SourceMap", None, whole_url),  # ECMA-426
    UrlField("Speculation-Rules", None, rule_sets),
    UrlField("Turbolinks-Location", None, whole_url),
    UrlField("Turbolinks-Referrer", whole_url, None),
    UrlField("Upload-Concat", upload_concat, upload_concat),  # an answer to HEAD has it, too
    UrlField("WWW-Authenticate", None, challenges),
    UrlField("X-Inertia-Location", None, whole_url),
    UrlField("X-Pingback", None, whole_url),  # Pingback 1.0, 2.2
    UrlField("X-PJAX-URL", None, whole_url),
    UrlField("X-SourceMap", None, whole_url),
    UrlField("X-Up-Location", whole_url, whole_url),  # Unpoly
    UrlField("X-XHR-Redirected-To", None, whole_url),  # Turbolinks before 5
    UrlField("X-XHR-Referer", whole_url, None),
)

ASKED: Final = {
    field.name.lower().encode("ascii"): field.asked for field in URL_FIELDS if field.asked
}
ANSWERED: Final = {
    field.name.lower().encode("ascii"): field.answered for field in URL_FIELDS if field.answered
}


class HeadRoom:
    """The room for one head's fields to grow in: together they never grow past the limit of a head.

    Args:
        fields: of the head, as they came.
    """

    __slots__ = ("_fields", "_left_bytes")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._left_bytes: int | None = None  # None: nothing has grown, as nearly always

    def __repr__(self) -> str:
        return f"<HeadRoom of {len(self._fields)} fields left={self._left_bytes}>"

    def translated(self, grammar: Callable[[bytes, Way], bytes], value: bytes, to: Way) -> bytes:
        """The value translated by its grammar; the very value if it or the head would be too long.

        A value that does not fit takes no room from those behind it.
        """
        changed = grammar(value, to)
        grown = len(changed) - len(value)
        if grown <= 0:
            return changed
        if self._left_bytes is None:
            self._left_bytes = HEAD_MAX_BYTES - sum([len(n) + len(v) + 4 for n, v in self._fields])
        if len(changed) > VALUE_MAX_BYTES or grown > self._left_bytes:
            return value
        self._left_bytes -= grown
        return changed
