"""Whether a provider can be asked at a URL and with headers as they are configured, found without asking it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from yarl import URL

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2."""
_ILLEGAL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What no header's value may hold (RFC 9110, 5.5), and what cannot be written at all."""
_HOST = re.compile(r"[^\s\x00-\x1f\x7f]+")


def problems(url: str, headers: Mapping[str, str]) -> list[str]:
    """What is wrong with a base URL and with the headers that are sent there; no message shows a value, which may be a key.

    Args:
        url: as configured, before a path.
        headers: by name.
    """
    return [*_url_problems(url), *_header_problems(headers)]


def _url_problems(url: str) -> Iterator[str]:
    try:
        read = URL(url)
    except ValueError:
        yield "base_url is no URL"
        return
    if read.scheme not in ("http", "https"):
        yield "base_url does not begin with http:// or https://"
    elif not _HOST.fullmatch(read.host or ""):
        yield "base_url names no host"
    if "@" in read.raw_authority:
        yield "base_url holds a user or a password: a key belongs in the environment"
    if "?" in url or "#" in url:
        yield "base_url has a query or a fragment, behind which no path can stand"


def _header_problems(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            yield f"a header cannot be called {name[:40]!r}"
        if _ILLEGAL.search(value):
            yield f"the value of the header {name[:40]!r} holds a line break or another character that no header may hold"
