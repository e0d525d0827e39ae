"""Connections to Redis: a bounded number of them, each used for one call at a time, none of them after anything went wrong.

The library's own pool is not used: it takes a connection back under a lock, and whoever is cancelled while waiting there loses
it for good; and a call through it costs half as much again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define, field, frozen
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError, ResponseError

from llmgw import Secret
from llmgw.state import Away, Late

Reply = Any
"""Bytes, a whole number, None, or a list of these."""


@frozen
class Address:
    """Where Redis is.

    Args:
        shown: for people: neither a path of this machine nor who logs in.
    """

    shown: str
    _options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, url: str) -> Address:
        """Read a URL.

        Raises:
            ValueError: it is none, or holds a password; the message does not show it.
        """
        try:
            options: dict[str, Any] = dict(parse_url(url))
            kind = options.get("connection_class", Connection)
            kind(**{name: value for name, value in options.items() if name != "connection_class"})
        except (ValueError, TypeError, AttributeError, RedisError):
            raise ValueError("this is no URL of a Redis: write redis://HOST:PORT/DATABASE") from None
        if "password" in options:
            raise ValueError("a password must not stand in the file: write password: env:NAME and export NAME")
        place = "a socket" if "path" in options else f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return cls(f"Redis at {place}", options)

    def connection(self, username: str | None, password: Secret | None) -> AbstractConnection:
        """A connection, not yet made.

        Args:
            username: instead of the one in the URL.
            password: where one is asked for.
        """
        options: dict[str, Any] = {"protocol": 2, **self._options}
        if username is not None:
            options["username"] = username
        if password is not None:
            options["password"] = password.reveal()
        # Nothing is tried twice here and nothing has its own time: whoever calls has a deadline for all of it
        options |= {"retry": Retry(NoBackoff(), 0), "socket_timeout": None, "socket_connect_timeout": None}
        kind: type[AbstractConnection] = options.pop("connection_class", Connection)
        return kind(**options)


@define(eq=False)
class Connections:
    """Asks Redis, one command for one round trip.

    Args:
        make: a new connection, not yet made.
        timeout: seconds for all that a call waits for: a connection of its own, the network, Redis.
        size: of connections, at most.
    """

    make: Callable[[], AbstractConnection] = field(repr=False)
    timeout: float
    size: int
    _free: list[AbstractConnection] = field(factory=list, init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)
    _slots: asyncio.Semaphore = field(
        init=False, repr=False, default=Factory(lambda self: asyncio.Semaphore(self.size), takes_self=True)
    )

    async def ask(self, *command: bytes | str | int | float) -> Reply:
        """Send a command; its reply.

        Raises:
            ResponseError: Redis would not do it.
            Away: there was no reply in time; Late where that is not Redis' fault.
        """
        scope = asyncio.timeout(self.timeout)
        try:
            async with scope, self._slots:
                return await self._ask(command)
        except ResponseError:
            raise
        except TimeoutError:
            raise self._timed_out(scope.when() or 0.0) from None
        except (RedisError, OSError) as error:
            raise Away(_told(error)) from None

    def _timed_out(self, end: float) -> Away:
        # When the whole loop stood still the reply has most likely come, and nobody was there to read it
        late = asyncio.get_running_loop().time() - end
        return (Late if late > self.timeout / 2 else Away)(f"no reply within {self.timeout:g} seconds")

    async def close(self) -> None:
        """Close those that nobody uses now; the others when their calls are over."""
        self._closed = True
        await self._drop()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn

    async def _ask(self, command: tuple[bytes | str | int | float, ...]) -> Reply:
        if self._free:
            try:
                return await self._ask_over(self._free.pop(), command)
            except Disconnected:  # Redis has closed it since it was last used, and those that are older too
                await self._drop()
        return await self._ask_over(self.make(), command)

    async def _ask_over(self, connection: AbstractConnection, command: tuple[bytes | str | int | float, ...]) -> Reply:
        try:
            await connection.send_command(*command)  # connects first where it must
            reply: Reply = await connection.read_response()
        except ResponseError:  # a reply like any other
            await self._keep(connection)
            raise
        except BaseException:  # also when cancelled: the reply may still come, and would be taken for the next call's
            await connection.disconnect(nowait=True)
            raise
        await self._keep(connection)
        return reply

    async def _keep(self, connection: AbstractConnection) -> None:
        if self._closed:
            await connection.disconnect(nowait=True)
        else:
            self._free.append(connection)

    async def _drop(self) -> None:
        while self._free:
            await self._free.pop().disconnect(nowait=True)


def _told(error: Exception) -> str:
    """Why there was no reply; what the library says of a socket would tell its path."""
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    return (getattr(cause, "strerror", None) or str(error))[:200] or type(error).__name__
