"""Asks every client for a key of the gateway's own: the single one, or one that stands under a client's name."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Iterator, Sequence

from attrs import define, field

from llmgw import Config, Exchange, Principal, Secret, Unauthorized, hookimpl
from llmgw.config import SINGLE_KEY, ClientKey


@define(eq=False)
class AuthKey:
    """Asks every client for a key: that in LLM_INTERACTIVE_PROXY_API_KEY, when it is set, or one of ``auth.keys``.

    It is taken from wherever a client puts it: ``Authorization: Bearer``, ``x-api-key``, ``x-goog-api-key`` or ``?key=``. No
    client's credential is ever sent on to a provider. Who shows a key of ``auth.keys`` may reach and use what stands there; who
    shows the single key may do everything.

    Args:
        key: the single key.
    """

    key: Secret = Secret.env("LLM_INTERACTIVE_PROXY_API_KEY")
    _doors: Sequence[tuple[bytes, Principal]] | None = field(default=None, init=False, repr=False)

    def sits_out(self, config: Config) -> str | None:
        """Without a key there is nothing to ask for, and the gateway then serves this machine only."""
        return None if self.key.is_set or config.auth.keys else f"{self.key.name} is not set"

    @hookimpl
    def authenticate(self, exchange: Exchange) -> Awaitable[Principal] | None:
        """Let in whoever shows a key."""
        return self._check(exchange)

    async def _check(self, exchange: Exchange) -> Principal:
        if self._doors is None:
            self._doors = list(self._opening(exchange.gateway.config))
        shown = list(_shown(exchange))
        # SECURITY: every candidate is compared with every key, in constant time, so that the time tells nothing
        matches = [
            principal
            for one in shown
            for expected, principal in self._doors
            if hmac.compare_digest(one.encode(errors="surrogateescape"), expected)
        ]
        if matches:
            return matches[0]
        if not shown:
            raise Unauthorized("This gateway asks for its key: set it as your client's API key (Authorization: Bearer KEY).")
        if exchange.gateway.config.auth.keys:
            raise Unauthorized("The key is none of this gateway's. Use the one that whoever runs it gave you.")
        raise Unauthorized(f"The key is not this gateway's. Use the value of {self.key.name} that it was started with.")

    def _opening(self, config: Config) -> Iterator[tuple[bytes, Principal]]:
        """Named keys before the single one: where both are the same, the narrower word holds."""
        for name, one in config.auth.keys.items():
            yield _bytes(one.key), _principal(name, one)
        if self.key.is_set:
            yield _bytes(self.key), Principal(SINGLE_KEY)


def _principal(name: str, one: ClientKey) -> Principal:
    return Principal(name, models=one.models, routes=one.routes, limits=one.limits)


def _bytes(key: Secret) -> bytes:
    return key.reveal().encode(errors="surrogateescape")


def _shown(exchange: Exchange) -> Iterator[str]:
    headers = exchange.head.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield token.strip()
    for one in (headers.get("x-api-key"), headers.get("x-goog-api-key"), exchange.head.query.get("key")):
        if one:
            yield one
