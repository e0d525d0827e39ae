"""Whose program a provider is told that this is: this gateway, the client behind it, or the deployment's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, fields, frozen

from llmgw.version import VERSION

CLIENT: Final = "client"
"""Stands for what the client says of itself."""
OURS: Final = f"llmgw/{VERSION}"
_NAMES: Final = {"user_agent": "user-agent", "referer": "http-referer", "x_title": "x-title"}
_FRAMES: Final = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers of one connection or of one body (RFC 9110, 7.6.1 and 8)."""
_KEYS: Final = frozenset({
    "api-key", "authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key", "x-goog-api-key",
})  # fmt: skip


def _named(identity: Any, attribute: Any, headers: Mapping[str, str]) -> None:
    """SECURITY: with ``authorization: client`` a client's key for this gateway would reach the provider."""
    for name in headers:
        if name.lower() in _KEYS:
            raise ValueError(f"{name!r} shows a key, which is no part of an identity: it belongs in the back-end's own options")
        if name.lower() in _FRAMES:
            raise ValueError(f"{name!r} is HTTP's own and cannot be set")


@frozen(kw_only=True)
class Identity:
    """Headers that name a program; each is a fixed text, or ``client`` for what the client's own request has there.

    Nobody else is imitated by default: what is not set is not sent, and the user agent is this gateway's.

    Args:
        user_agent: ``User-Agent``.
        referer: ``HTTP-Referer``, by which some providers attribute requests to a program's site.
        x_title: ``X-Title``, and that program's name.
        headers: others, by name; none that shows a key or that is HTTP's own.
    """

    user_agent: str | None = None
    referer: str | None = None
    x_title: str | None = None
    headers_: dict[str, str] = field(factory=dict, alias="headers", validator=_named)

    def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """What is sent.

        Args:
            client: the client's headers.
        """
        if self == _PLAIN:  # as nearly always
            return {"user-agent": OURS}
        told = {_NAMES[one.name]: getattr(self, one.name) for one in fields(type(self)) if one.name in _NAMES}
        told |= {name.lower(): value for name, value in self.headers_.items()}
        lowered = {name.lower(): value for name, value in client.items()} if CLIENT in told.values() else {}
        out = {"user-agent": OURS}
        for name, value in told.items():
            given = lowered.get(name) or (lowered.get("referer") if name == "http-referer" else None)
            value = given if value == CLIENT else value
            if value is not None:
                out[name] = value
        return out


_PLAIN: Final = Identity()
