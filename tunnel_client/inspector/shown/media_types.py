"""Content-Type and Content-Disposition: a value and its parameters (RFC 9110 5.6.6)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# A quoted one may hold what would end a plain one. Browsers escape quotes as %22, others by \.
_PARAMETER: Final = re.compile(r';\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))')
_ESCAPED: Final = re.compile(r"\\(.)")
_LONGEST_CHARS: Final = 8192  # what is behind is no type


class MediaType(NamedTuple):
    """A media type.

    Fields:
        name: in lower case; "": none was said.
        parameters: names in lower case; of one that comes twice, the first.
    """

    name: str
    parameters: dict[str, str]

    @property
    def is_json(self) -> bool:
        """Whether it is JSON or builds upon it (RFC 6839 3.1)."""
        kind, _, sub = self.name.partition("/")
        return kind == "application" and (sub in _JSONS or sub.endswith("+json"))

    @property
    def is_text(self) -> bool:
        """Whether people can read it."""
        kind, _, sub = self.name.partition("/")
        is_xml = sub.endswith(("+xml", "+yaml", "+text")) or sub in _TEXTS
        return kind == "text" or (kind in ("application", "image") and is_xml)


_JSONS: Final = frozenset({"json", "manifest", "json5", "csp-report", "reports"})
_TEXTS: Final = frozenset(
    {"javascript", "x-javascript", "ecmascript", "xml", "xhtml", "yaml", "x-yaml", "toml"}
    | {"graphql", "sql", "x-ndjson", "jsonl", "x-sh"}
)


def media_type(value: str) -> MediaType:
    """Read a value. Never raises."""
    value = value[:_LONGEST_CHARS]
    name = value.partition(";")[0].strip().lower()
    parameters: dict[str, str] = {}
    for said in _PARAMETER.finditer(value):
        plain = said[3].strip() if said[3] is not None else _ESCAPED.sub(r"\1", said[2])
        parameters.setdefault(said[1].lower(), plain)
    return MediaType(name, parameters)
