"""Asks every client for the gateway's own key."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Iterator

from attrs import define

from llmgw import Exchange, Principal, Secret, Unauthorized, hookimpl


@define(eq=False)
class AuthKey:
    """Asks every client for the key in LLM_INTERACTIVE_PROXY_API_KEY, when that is set.

    It is taken from wherever a client puts it: ``Authorization: Bearer``, ``x-api-key``, ``x-goog-api-key`` or ``?key=``. No
    client's credential is ever sent on to a provider.

    Args:
        key: the one key.
    """

    key: Secret = Secret.env("LLM_INTERACTIVE_PROXY_API_KEY")

    def sits_out(self) -> str | None:
        """Without a key there is nothing to ask for, and the gateway then serves this machine only."""
        return None if self.key.is_set else f"{self.key.name} is not set"

    @hookimpl
    def authenticate(self, exchange: Exchange) -> Awaitable[Principal] | None:
        """Let in whoever shows the key."""
        return self._check(exchange)

    async def _check(self, exchange: Exchange) -> Principal:
        expected = self.key.reveal().encode(errors="surrogateescape")
        shown = list(_shown(exchange))
        # SECURITY: every candidate is compared, in constant time, so that the time tells nothing
        matches = [hmac.compare_digest(one.encode(errors="surrogateescape"), expected) for one in shown]
        if any(matches):
            return Principal("key")
        if not shown:
            raise Unauthorized("This gateway asks for its key: set it as your client's API key (Authorization: Bearer KEY).")
        raise Unauthorized(f"The key is not this gateway's. Use the value of {self.key.name} that it was started with.")


def _shown(exchange: Exchange) -> Iterator[str]:
    headers = exchange.head.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield token.strip()
    for one in (headers.get("x-api-key"), headers.get("x-goog-api-key"), exchange.head.query.get("key")):
        if one:
            yield one
