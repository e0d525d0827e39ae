"""Keeps state in Redis, for several machines."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager

from attrs import Attribute, define, field
from attrs.validators import ge, gt

from llmgw import Gateway, Report, Secret, StateStore, hookimpl
from llmgw.errors import ConfigError
from llmgw.state import Degrading
from llmgw_state_redis.connections import Address, Connections
from llmgw_state_redis.store import RedisStore


def _is_url(_: object, attribute: Attribute[str], value: str) -> None:
    Address.read(value)


@define(eq=False, kw_only=True)
class StateRedis:
    """Keeps counters, cooldowns and sessions in Redis, which all workers on all machines share.

    One Redis of version 6 or later, alone or with replicas, but no cluster: a step may touch keys of several slots. When it
    cannot be used, each worker serves on with its own memory, says so once, and comes back to Redis by itself.

    Args:
        url: ``redis://HOST:PORT/DATABASE``, ``rediss://`` for TLS, or ``unix:///PATH``; without a password. What TLS needs
            stands in its query, as ``?ssl_ca_certs=/etc/ssl/redis.pem``.
        username: of Redis' access control list.
        password: where Redis asks for one, as ``env:REDIS_PASSWORD``.
        prefix: of all keys, so that other programs may use the same database.
        timeout: seconds for which a call waits, in all.
        retry: seconds after which a Redis that could not be used is tried again.
        connections: at most, of each worker.
    """

    url: str = field(default="redis://127.0.0.1:6379/0", validator=_is_url)
    username: str | None = None
    password: Secret | None = None
    prefix: str = "llmgw:"
    timeout: float = field(default=0.5, validator=gt(0.0))
    retry: float = field(default=5.0, validator=ge(0.0))
    connections: int = field(default=50, validator=ge(1))
    _store: Degrading | None = field(default=None, init=False)

    @hookimpl
    def state_store(self, gateway: Gateway) -> StateStore | None:
        """Redis; its first user connects, since workers are forked before."""
        if self.password is not None and not self.password.is_set:
            raise ConfigError(f"{self.password.name} is not set: export it, or leave the option out @ state-redis.password")
        address = Address.read(self.url)
        pool = Connections(lambda: address.connection(self.username, self.password), self.timeout, self.connections)
        self._store = Degrading(RedisStore(pool, address.shown, self.prefix), gateway.clock, self.retry)
        return self._store

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[None] | None:
        """Closes the connections; None where another plugin keeps the state."""
        return None if self._store is None else self._store.held()

    @hookimpl
    def status(self, gateway: Gateway) -> Awaitable[Report] | None:
        """Where state is kept."""
        return None if self._store is None else self._store.report()
