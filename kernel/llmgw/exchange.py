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
from llmgw.model import Loss, Request
from llmgw.stages import Attempt, Backend, Dialect, Guard, Head, Observer, Principal, Target

if TYPE_CHECKING:
    from llmgw.gateway import Gateway


class ClientLeft(Exception):
    """Control flow: the client's socket is closed, and nobody is there to hear of anything more."""


class ClientStalled(GatewayFault):
    """The client does not take what it is sent; nothing more can be written to it, not even this."""


_SESSION_HEADERS = ("x-session-id", "session-id", "session_id")
"""In which clients of all dialects may name their conversation."""
_LONGEST_ID = 256
"""Characters of a name that a client may make up."""

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
        asked: the model's name as the client sent it.
        attempts: the account of what was tried.
        remarks: why the route went as it did, for the log and for ``llmgw explain``.
        headers: of the gateway's own, for the response, good or bad; names in lower case.
        endings: called when the exchange is over, the last one first, with its error: ``CancelledError`` when the client left.
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
    asked: str = ""
    attempts: list[Attempt] = field(factory=list)
    remarks: list[str] = field(factory=list, repr=False)
    headers: dict[str, str] = field(factory=dict, repr=False)
    endings: list[Callable[[BaseException | None], Awaitable[None]]] = field(factory=list, repr=False)
    losses: list[Loss] = field(factory=list)
    reply_headers: Mapping[str, str] = field(factory=dict, repr=False)
    rivals: Sequence[Dialect] = field(default=(), repr=False)
    notes: dict[str, Any] = field(factory=dict, repr=False)

    observers: list[Observer] = field(factory=list, repr=False)
    reads_events: bool = field(default=False, repr=False)
    """Whether somebody looks at events, so that frames cannot be relayed unread."""
    committed: bool = field(default=False, repr=False)
    """Whether something of meaning went to the client: no other attempt can be made."""

    # The kernel's own; plugins leave these alone.
    attempt: Attempt | None = field(default=None, repr=False)
    """The one under way or the last one."""
    names: int = field(default=0, repr=False)
    """Names that were resolved."""
    until: float | None = field(default=None, repr=False)
    """On the monotonic clock, when the attempt under way must have come to something."""
    lanes: list[Exchange] = field(factory=list, repr=False)
    """Of attempts at the same time, what is each one's own."""
    _guards: Sequence[Guard] | None = field(default=None, repr=False)
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
    _lost: int | None = field(default=None, repr=False, init=False)
    """What was lost before the first attempt."""

    def backend(self, target: Target) -> Backend | None:
        """The back-end that a target names."""
        return self.gateway.backends.get(target.backend)

    def relays(self, dialect: Dialect) -> bool:
        """Whether a provider's frames in this dialect may go to the client unread."""
        return not self.reads_events and dialect.name == self.dialect.name

    @property
    def guards(self) -> Sequence[Guard]:
        """Those of the plugins that have something to guard in this exchange."""
        if self._guards is None:
            gateway = self.gateway
            opened = gateway.hook.open_guard(exchange=self) if gateway.implements("open_guard") else ()
            self._guards = [one for one in opened if one is not None]
        return self._guards

    def conversation(self, request: Request) -> str | None:
        """Which conversation this is: by a plugin's word, a header of the client's, or how the history begins."""
        if self.session is not None:
            return self.session
        for name in (*_SESSION_HEADERS, *self.dialect.session_headers):
            if value := self.head.headers.get(name):
                return f"{name}:{value[:_LONGEST_ID]}"
        return self.dialect.conversation(request)

    def remark(self, text: str) -> None:
        """Note why the route goes as it does."""
        self.remarks.append(text)

    # ---- attempts

    def begin(self, target: Target) -> Attempt:
        """Open the account of an attempt; what an earlier one left behind is forgotten."""
        now = self.gateway.clock.monotonic()
        self.target = target
        self.attempt = Attempt(target, now)
        self.attempts.append(self.attempt)
        self.reply_headers = {}
        if self._lost is None:
            self._lost = len(self.losses)
        del self.losses[self._lost :]
        self.until = None if target.patience is None else now + target.patience
        return self.attempt

    def lane(self) -> Exchange:
        """One of several attempts at the same time: the exchange, but for what is an attempt's own."""
        own = Exchange(
            self.gateway,
            self.dialect,
            self.head,
            self.peer,
            id=self.id,
            started=self.started,
            principal=self.principal,
            session=self.session,
            asked=self.asked,
            attempts=self.attempts,
            remarks=self.remarks,
            headers=self.headers,
            endings=self.endings,
            losses=list(self.losses),
            rivals=self.rivals,
            notes=self.notes,
            observers=self.observers,
            reads_events=self.reads_events,
            moved_at=self.gateway.clock.monotonic(),
        )
        self.lanes.append(own)
        return own

    def adopt(self, lane: Exchange) -> None:
        """Go on with what this lane has got."""
        self.target, self.attempt, self.reply_headers = lane.target, lane.attempt, lane.reply_headers
        self.losses[:] = lane.losses
        self.lanes[:] = [lane]
        lane.task = self.task
        lane.committed = True
        lane.until = None

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
