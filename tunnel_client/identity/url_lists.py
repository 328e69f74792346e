"""URLs in fields that hold more than one, or more than an URL: each by its field's own grammar.

A grammar is two patterns: one that the whole value must match, and one that finds the URLs in it,
as its groups, and passes over what only looks like one: quoted texts, state tokens. A value that is
not of its grammar crosses as it came, since nobody knows where an URL begins in it. No pattern goes
back over what it has taken (possessive quantifiers), so the time grows with the length alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from tunnel_client.identity.own_urls import UrlTranslation

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110 5.6.2
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*+"'  # RFC 9110 5.6.4
# The inside of a quoted text that may be an URL. No URL needs an escape.
_INSIDE: Final = rb'"([^"\\]*+)"'
_OWS: Final = rb"[ \t]*+"
_COMMAS: Final = rb"[ \t]*+,[ \t,]*+"  # RFC 9110 5.6.1: members of a list may be empty


@dataclass(frozen=True, slots=True)
class UrlList:
    """The grammar of a field that has URLs in it.

    Attributes:
        whole: the form of a value.
        part: a part of it, with the URL as its group, if it is one.
    """

    whole: re.Pattern[bytes]
    part: re.Pattern[bytes]

    def __call__(self, value: bytes, to: UrlTranslation) -> bytes:
        """The value with its URLs translated; the very value if it is not of this grammar.

        Only an URL with a host in it is ever translated.
        """
        if b"//" not in value or self.whole.fullmatch(value) is None:
            return value
        return self.part.sub(partial(_put, to), value)


def whole_url(value: bytes, to: UrlTranslation) -> bytes:
    """A field that is one URL."""
    return to.url(value)


def refresh(value: bytes, to: UrlTranslation) -> bytes:
    """A Refresh: `5; url="..."`."""
    found = _REFRESH.fullmatch(value)
    return found[1] + to.url(found[2]) + found[3] if found else value


def challenges(value: bytes, to: UrlTranslation) -> bytes:
    """A WWW-Authenticate: parameters of its Bearer and DPoP challenges.

    The realm of Bearer is where a registry gives tokens out, `resource_metadata` where an MCP
    server says who does (RFC 9728 5.1). The realm of Digest is hashed with the password, and stays.
    """
    if b"//" not in value or _CHALLENGES.fullmatch(value) is None:
        return value
    return _WITH_URLS.sub(lambda found: _challenge(found, to), value)


def _put(to: UrlTranslation, found: re.Match[bytes]) -> bytes:
    """The part with its URL translated."""
    group = found.lastindex
    if group is None:
        return found[0]
    part, url = found[0], found[group]
    translated = to.url(url)
    if translated is url:
        return part
    at = found.start()
    return part[: found.start(group) - at] + translated + part[found.end(group) - at :]


def _challenge(found: re.Match[bytes], to: UrlTranslation) -> bytes:
    if found[1] is None:  # a quoted text of another challenge
        return found[0]
    parameter = _URLS_OF[found[2].lower()]
    return found[1] + parameter.sub(partial(_put, to), found[3])


# `5; url="..."`, as the HTML standard reads it: what stands before the URL, the URL, the rest.
_REFRESH: Final = re.compile(
    rb"([ \t]*[0-9.]++[ \t]*[;,]?[ \t]*(?:[Uu][Rr][Ll][ \t]*=[ \t]*)?[\"']?)([^\"']*+)(.*+)",
    re.DOTALL,
)

# --- Link, RFC 8288 3: the target of each, and its context where it has another (`anchor`) ---

# A value that is no token, as in `type=text/css`, is read as RFC 8288 B.3 does.
_LINK_PARAMETER: Final = (
    rb";"
    + _OWS
    + rb"(?:%b%b(?:=%b(?:%b|[^ \t;,\"<>]++))?+)?+" % (_TOKEN, _OWS, _OWS, _QUOTED)
    + _OWS
)
_LINK: Final = rb"<[^<>]*+>%b(?:%b)*+" % (_OWS, _LINK_PARAMETER)
link: Final = UrlList(
    re.compile(rb"[ \t,]*+%b(?:%b(?:%b)?+)*+" % (_LINK, _COMMAS, _LINK)),
    re.compile(rb"<([^<>]*+)>|;%b(?i:anchor)%b=%b%b|%b" % (_OWS, _OWS, _OWS, _INSIDE, _QUOTED)),
)

# --- If, RFC 4918 10.4: the resources that lists are for; the state tokens in them are names ---

_CONDITION: Final = rb"(?:(?i:Not)%b)?+(?:<[^<>]*+>|\[(?:W/)?+\"[^\"]*+\"\])%b" % (_OWS, _OWS)
_LIST: Final = rb"\(%b(?:%b)++\)%b" % (_OWS, _CONDITION, _OWS)
if_tagged: Final = UrlList(
    re.compile(rb"(?:%b)++|(?:<[^<>]*+>%b(?:%b)++)++" % (_LIST, _OWS, _LIST)),
    re.compile(rb"%b|<([^<>]*+)>" % _LIST),
)

# --- Upload-Concat, tus 1.0, Concatenation: the uploads that a final one is made of ---

upload_concat: Final = UrlList(
    re.compile(rb"final;[ ]*+[^ ]++(?:[ ]++[^ ]++)*+"),
    re.compile(rb"\Afinal;[ ]*+([^ ]++)|([^ ]++)"),
)

# --- Reporting-Endpoints, a dictionary of strings (Reporting API 3.2, RFC 9651 3.2) ---

_KEY: Final = rb"[a-z*][a-z0-9_.*-]*+"
_ITEM: Final = rb"(?:%b|[^ \t,;=\"()]++)" % _QUOTED
_ITEM_PARAMETERS: Final = rb"(?:;[ ]*+%b(?:=%b)?+)*+" % (_KEY, _ITEM)
_MEMBER: Final = rb"%b(?:=%b)?+%b" % (_KEY, _ITEM, _ITEM_PARAMETERS)
endpoints: Final = UrlList(
    re.compile(rb"%b(?:%b,%b%b)*+" % (_MEMBER, _OWS, _OWS, _MEMBER)),
    re.compile(rb"(?<![^ \t,])%b=%b|;[ ]*+%b=%b|%b" % (_KEY, _INSIDE, _KEY, _QUOTED, _QUOTED)),
)

# --- Speculation-Rules, a list of strings; Permissions-Policy, a dictionary of lists of them ---

# Each string is an URL, or an origin, but for those of parameters, which name endpoints of reports.
_STRINGS: Final = re.compile(rb";[ ]*+%b=%b|%b|%b" % (_KEY, _QUOTED, _INSIDE, _QUOTED))
_WITH_PARAMETERS: Final = _ITEM + _ITEM_PARAMETERS
rule_sets: Final = UrlList(  # HTML, 7.7.2
    re.compile(rb"%b(?:%b,%b%b)*+" % (_WITH_PARAMETERS, _OWS, _OWS, _WITH_PARAMETERS)), _STRINGS
)
_INNER_LIST: Final = rb"\([ ]*+(?:%b(?:[ ]++%b)*+[ ]*+)?+\)" % (_WITH_PARAMETERS, _WITH_PARAMETERS)
_ALLOW_LIST: Final = rb"%b(?:=(?:%b|%b))?+%b" % (_KEY, _ITEM, _INNER_LIST, _ITEM_PARAMETERS)
permissions: Final = UrlList(  # Permissions Policy 5.2
    re.compile(rb"%b(?:%b,%b%b)*+" % (_ALLOW_LIST, _OWS, _OWS, _ALLOW_LIST)), _STRINGS
)

# --- WWW-Authenticate, RFC 9110 11.6.1 ---

_PARAMETER: Final = rb"%b%b=%b(?:%b|%b)" % (_TOKEN, _OWS, _OWS, _TOKEN, _QUOTED)
_TOKEN68: Final = rb"[A-Za-z0-9._~+/-]++=*+"
_CHALLENGE: Final = rb"(?:%b|%b(?:[ ]++(?:%b|%b)?+)?+)" % (_PARAMETER, _TOKEN, _PARAMETER, _TOKEN68)
_CHALLENGES: Final = re.compile(
    rb"[ \t,]*+%b(?:%b%b)*+[ \t,]*+" % (_CHALLENGE, _COMMAS, _CHALLENGE)
)
_PARAMETERS: Final = rb"%b(?:%b%b)*+" % (_PARAMETER, _COMMAS, _PARAMETER)
_WITH_URLS: Final = re.compile(
    rb"((?<![^ \t,])((?i:Bearer|DPoP))[ ]++)(%b)|%b" % (_PARAMETERS, _QUOTED)
)


def _url_of(names: bytes) -> re.Pattern[bytes]:
    """A parameter with one of these names, or a text that is passed over."""
    return re.compile(rb"(?<![^ \t,])(?i:%b)%b=%b%b|%b" % (names, _OWS, _OWS, _INSIDE, _QUOTED))


_URLS_OF: Final = {
    b"bearer": _url_of(b"realm|resource_metadata"),
    b"dpop": _url_of(b"resource_metadata"),
}
