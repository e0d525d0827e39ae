"""One client request and all that answers it."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field

from llmgw.errors import GatewayError, GatewayFault, UpstreamTimeout
from llmgw.model import Loss
from llmgw.stages import Backend, Dialect, Head, Observer, Principal, Target

if TYPE_CHECKING:
    from llmgw.gateway import Gateway


class ClientLeft(Exception):
    """Control flow: the client's socket is closed, and nobody is there to hear of anything more."""


class ClientStalled(GatewayFault):
    """The client does not take what it is sent; nothing more can be written to it, not even this."""


_COUNT = itertools.count(1)
_process = ""


def _new_process() -> None:
    global _process
    _process = secrets.token_hex(4)


_new_process()
os.register_at_fork(after_in_child=_new_process)


def _next_id() -> str:
    return f"{_process}-{next(_COUNT):x}"


@define(eq=False)
class Exchange:
    """One client request and all that answers it; plugins read it, and write ``notes``.

    Args:
        gateway: the generation it began on and ends on.
        dialect: the client's.
        head: what stood above the body.
        peer: the client's address.
        id: unique over processes; in logs and in the response's ``x-llmgw-exchange``.
        started: on the gateway's monotonic clock.
        principal: who is calling, once known.
        session: which conversation, once known.
        target: of the attempt under way or the last one.
        attempts: targets tried so far.
        losses: what did not come across as it was.
        reply_headers: of the provider, those that the client's dialect lets through.
        rivals: further dialects that the client may speak, where nothing it has said yet tells which.
        notes: what plugins want to tell each other or the log; keys are ``plugin.word``.
    """

    gateway: Gateway = field(repr=False)
    dialect: Dialect = field(repr=False)
    head: Head
    peer: str = ""
    id: str = field(factory=_next_id)
    started: float = 0.0
    principal: Principal | None = None
    session: str | None = None
    target: Target | None = None
    attempts: list[Target] = field(factory=list)
    losses: list[Loss] = field(factory=list)
    reply_headers: Mapping[str, str] = field(factory=dict, repr=False)
    rivals: Sequence[Dialect] = field(default=(), repr=False)
    notes: dict[str, Any] = field(factory=dict, repr=False)

    observers: list[Observer] = field(factory=list, repr=False)
    reads_events: bool = field(default=False, repr=False)
    """Whether somebody looks at events, so that frames cannot be relayed unread."""
    committed: bool = field(default=False, repr=False)
    """Whether something of meaning went to the client: no other attempt can be made."""

    # The transport and the pulse share these; plugins leave them alone.
    task: asyncio.Task[Any] | None = field(default=None, repr=False)
    waiting: bool = field(default=False, repr=False)
    """Whether the provider is being waited for."""
    writing: bool = field(default=False, repr=False)
    """Whether the client is being written to."""
    reads: int = field(default=0, repr=False)
    writes: int = field(default=0, repr=False)
    beats: int = field(default=0, repr=False)
    moves: tuple[int, ...] | None = field(default=None, repr=False)
    """How far it was when the pulse last looked, and when it had last moved on."""
    moved_at: float = field(default=0.0, repr=False)
    written: int = field(default=0, repr=False)
    """What the client had got when the pulse last looked, heartbeats too, and when it had last got something."""
    written_at: float = field(default=0.0, repr=False)
    more: bool = field(default=False, repr=False)
    """Whether further events came in the same read, so that writing can wait for ``flush``."""
    flush: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    beat: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    relay: Callable[[bytes], Awaitable[None]] | None = field(default=None, repr=False)
    """Writes to the client, once the reply has begun, frames that nobody wants to look at."""
    _interruption: GatewayError | None = field(default=None, repr=False, init=False)

    def backend(self, target: Target) -> Backend | None:
        """The back-end that a target names."""
        return self.gateway.backends.get(target.backend)

    def relays(self, dialect: Dialect) -> bool:
        """Whether a provider's frames in this dialect may go to the client unread."""
        return not self.reads_events and dialect.name == self.dialect.name

    # ---- ending it from outside

    def interrupt(self, error: GatewayError) -> None:
        """End what the exchange is doing; ``interruption`` tells it why it was cancelled."""
        if self.task is not None and self._interruption is None:
            self._interruption = error
            self.task.cancel()

    def interruption(self, *, of: Literal["provider", "all"]) -> GatewayError | None:
        """Why this task was cancelled, if by ``interrupt``; the cancellation is then taken back.

        Args:
            of: ``provider`` takes only the provider's silence, which another target may cure.
        """
        error = self._interruption
        if error is None or (of == "provider" and not isinstance(error, UpstreamTimeout)):
            return None
        self._interruption = None
        if self.task is not None:
            self.task.uncancel()
        return error

    # ---- telling observers; one that raises is dropped by the pipeline's opener

    def saw(self, leg: Literal["client", "provider"], direction: Literal["in", "out"], data: bytes) -> None:
        """Tell observers of bytes at a socket."""
        for observer in self.observers:
            observer.wire(leg, direction, data)
