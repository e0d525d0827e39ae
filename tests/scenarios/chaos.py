"""Providers that fail in every class, and what must become of an exchange with them.

What a provider does with a request follows from the exchange's number alone, so that an oracle that knows nothing of the
gateway's code can tell beforehand what is asked of whom, and what the client gets.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count, permutations
from typing import Any, Final, Literal

from attrs import define, field, frozen

from llmgw import Clock

Dialect = Literal["chat", "anthropic"]
Policy = Literal["plain", "twice", "few", "strict", "via"]
Place = Literal["fine", "before", "opening", "after"]

# ---- what a provider may do ---------------------------------------------------------------------


@frozen
class Fate:
    """What a provider does with one request.

    Args:
        name: of the class.
        kind: of the failure, as the policy knows it; None where all is well.
        place: before a reply has begun, in its opening, in which nothing is said yet, or after the client got something.
        status: of the provider's answer, where it is an error.
        told: the type, the code and the words of that error, for each dialect.
        retry_after: which the answer names.
        streams: whether it happens to streams.
        wholes: whether it happens to whole replies.
        repeated: whether a kept connection's end looks like this, so that the gateway may ask once more.
    """

    name: str
    kind: str | None = None
    place: Place = "before"
    status: int | None = None
    told: Mapping[Dialect, tuple[str, str | None, str]] = field(factory=dict, repr=False)
    retry_after: int | None = None
    streams: bool = True
    wholes: bool = True
    repeated: bool = False


def _refusal(
    name: str,
    status: int,
    kind: str,
    chat: tuple[str, str | None],
    anthropic: str,
    words: str = "it cannot be",
    retry_after: int | None = None,
) -> Fate:
    told: dict[Dialect, tuple[str, str | None, str]] = {"chat": (*chat, words), "anthropic": (anthropic, None, words)}
    return Fate(name, kind, status=status, told=told, retry_after=retry_after)


_BUSY: Final[Mapping[Dialect, tuple[str, str | None, str]]] = {
    "chat": ("server_error", "server_is_overloaded", "too busy"),
    "anthropic": ("overloaded_error", None, "too busy"),
}
_INVALID = "invalid_request_error"

FINE: Final = Fate("fine", place="fine")
FATES: Final = (
    _refusal("invalid", 400, "invalid_request", (_INVALID, None), _INVALID),
    _refusal("unauthorized", 401, "authentication", (_INVALID, "invalid_api_key"), "authentication_error"),
    _refusal("unpaid", 402, "billing", ("billing", None), "billing_error"),
    _refusal("no quota", 429, "billing", ("insufficient_quota", "insufficient_quota"), "billing_error"),
    _refusal("forbidden", 403, "permission", (_INVALID, None), "permission_error"),
    _refusal("no model", 404, "model_not_found", (_INVALID, "model_not_found"), "not_found_error", "model: there is none"),
    _refusal("request timeout", 408, "timeout", (_INVALID, None), "timeout_error"),
    _refusal("too large", 413, "request_too_large", (_INVALID, None), "request_too_large"),
    _refusal("too long", 400, "context_length", (_INVALID, "context_length_exceeded"), _INVALID, "the prompt is too long"),
    _refusal("rate limit", 429, "rate_limited", ("rate_limit_error", "rate_limit_exceeded"), "rate_limit_error"),
    _refusal("rate limit, later", 429, "rate_limited", ("rate_limit_error", None), "rate_limit_error", retry_after=9),
    _refusal("server error", 500, "upstream_error", ("server_error", None), "api_error"),
    _refusal("unavailable", 503, "overloaded", ("server_error", None), "overloaded_error"),
    _refusal("gateway timeout", 504, "timeout", ("server_error", None), "timeout_error"),
    _refusal("overloaded", 529, "overloaded", ("server_error", None), "overloaded_error"),
    Fate("policy", "content_policy", status=400, told={
        "chat": (_INVALID, "content_policy_violation", "not this"), "anthropic": (_INVALID, "content_policy", "not this"),
    }),
    Fate("html page", "upstream_error", status=502),
    Fate("closed", "upstream_error", repeated=True),
    Fate("reset", "upstream_error", repeated=True),
    Fate("garbage", "upstream_error"),
    Fate("empty", "upstream_error", status=200),
    Fate("error under 200", "overloaded", status=200, told=_BUSY),
    Fate("silent", "timeout"),
    Fate("half a body", "upstream_error", "opening", streams=False),
    Fate("half a body, then silent", "timeout", "opening", streams=False),
    Fate("first event an error", "overloaded", "opening", told=_BUSY, wholes=False),
    Fate("opening, then an error", "overloaded", "opening", told=_BUSY, wholes=False),
    Fate("opening, then cut", "upstream_error", "opening", wholes=False),
    Fate("opening, then silent", "timeout", "opening", wholes=False),
    Fate("cut within a word", "upstream_error", "after", wholes=False),
    Fate("error in the middle", "overloaded", "after", told=_BUSY, wholes=False),
    Fate("no end mark", "upstream_error", "after", wholes=False),
    Fate("silent in the middle", "timeout", "after", wholes=False),
    Fate("fine, then closed", place="fine"),
    Fate("fine and slow", place="fine"),
)  # fmt: skip
_SILENT: Final = frozenset(fate.name for fate in FATES if "silent" in fate.name)
BY_NAME: Final = {fate.name: fate for fate in (FINE, *FATES)}
UNREACHABLE: Final = Fate("refused connection", "upstream_error")


@frozen
class Fates:
    """Draws what becomes of each request.

    Args:
        seed: of everything.
        fine: how often of a hundred times all is well.
        among: what else there is.
    """

    seed: int
    fine: int = 35
    among: tuple[Fate, ...] = FATES

    def of(self, marker: int, backend: str, nth: int, *, stream: bool, rounds: bool) -> Fate:
        """What becomes of the nth attempt of an exchange at this provider.

        Args:
            marker: the exchange's number.
            backend: which provider.
            nth: attempt, from 0 on.
            stream: whether a stream is asked for.
            rounds: whether it may be asked again: a repeated request could not be told from another round, and silence would
                make it uncertain how long a target has rested.
        """
        drawn = random.Random(f"{self.seed}:{marker}:{backend}:{nth}")
        if drawn.randrange(100) < self.fine:
            return FINE
        fitting = [
            fate
            for fate in self.among
            if (fate.streams if stream else fate.wholes) and not (rounds and (fate.repeated or fate.name in _SILENT))
        ]
        fate = drawn.choice(fitting)
        return drawn.choice(fitting) if fate.name in _SILENT and drawn.random() < 0.5 else fate  # silence takes long


# ---- time ---------------------------------------------------------------------------------------


@define(eq=False)
class Ticking:
    """A clock that goes on a little with each turn of the event loop: a slow machine makes no provider silent.

    Args:
        now: monotonic.
        tick: how much passes at once.
    """

    now: float = 1000.0
    tick: float = 0.1
    _sleepers: list[tuple[float, asyncio.Event]] = field(factory=list)

    @property
    def clock(self) -> Clock:
        """What a gateway is handed."""
        return Clock(monotonic=lambda: self.now, time=lambda: 1_700_000_000.0 + self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let time pass while the context lasts."""
        ticking = asyncio.ensure_future(self._run())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            self.now += self.tick
            due = [event for until, event in self._sleepers if until <= self.now]
            self._sleepers = [one for one in self._sleepers if one[0] > self.now]
            for event in due:
                event.set()


# ---- the providers ------------------------------------------------------------------------------

WORDS: Final = 5
_MARKER: Final = re.compile(rb"chaos (\d+)")
_numbers = count(1)


@frozen
class Asked:
    """A line of a provider's log.

    Args:
        number: over all providers, in the order in which requests came.
        marker: of the exchange.
        backend: who was asked.
        model: for which.
        key: that was shown.
        fate: what became of it.
        at: when it came, on the gateway's clock.
    """

    number: int
    marker: int
    backend: str
    model: str
    key: str
    fate: Fate
    at: float = 0.0

    @property
    def text(self) -> str:
        """What is said in answer to this very request, and to none other."""
        return "".join(self.words)

    @property
    def words(self) -> list[str]:
        """The same, in pieces."""
        return [f"<{self.number}.{index}>" for index in range(WORDS)]


Rule = Callable[[int, str, str], Fate | None]


@define(eq=False)
class ChaosProvider:
    """Does with each request what its fate is.

    Args:
        name: of the back-end that reaches it.
        dialect: that it speaks.
        fates: what becomes of requests.
        keys: those that are let in.
        rule: what becomes of one with this number, model and key whatever was drawn; None leaves it to the fates.
        now: the gateway's time.
    """

    name: str
    dialect: Dialect
    fates: Fates
    keys: Sequence[str] = ()
    rule: Rule = field(default=lambda marker, model, key: None)
    now: Callable[[], float] = field(default=lambda: 0.0)
    log: list[Asked] = field(factory=list)
    base_url: str = ""
    hasty: int = 0
    """Kept connections that it closed without a word."""
    faults: list[str] = field(factory=list)
    _attempts: Counter[int] = field(factory=Counter)
    _open: set[asyncio.StreamWriter] = field(factory=set)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ChaosProvider]:
        """Serve on a free port while the context lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in tuple(self._open):
                writer.transport.abort()

    @property
    def options(self) -> dict[str, Any]:
        """Of the back-end that reaches it."""
        type_, below = ("openai-compatible", "/v1") if self.dialect == "chat" else ("anthropic", "")
        return {"type": type_, "base_url": self.base_url + below, "keys": [f"env:{name}" for name in self.env]}

    @property
    def env(self) -> dict[str, str]:
        """The keys, by the variables they are in."""
        return {f"{self.name.upper()}_{number}": key for number, key in enumerate(self.keys)}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (asked := await self._read(reader)) is not None:
                if not await _Answer(self, *asked, reader, writer).give():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has left
        finally:
            self._open.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[Asked, bool] | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        found = _MARKER.search(body)
        if found is None:
            self.faults.append(f"no marker in {body[:200]!r}")
            return None
        marker, tree = int(found[1]), json.loads(body)
        stream, rounds = bool(tree.get("stream")), tree["model"].startswith("twice")
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        fate = self.rule(marker, tree["model"], key)
        if fate is None:
            fate = self.fates.of(marker, self.name, self._attempts[marker], stream=stream, rounds=rounds)
            self._attempts[marker] += not fate.repeated
        asked = Asked(next(_numbers), marker, self.name, tree["model"], key, fate, self.now())
        self.log.append(asked)
        return asked, stream


@define
class _Answer:
    """One answer on its way."""

    provider: ChaosProvider
    asked: Asked
    stream: bool
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def give(self) -> bool:
        """Whether the connection can be used again."""
        fate, speech = self.asked.fate, Speech(self.provider.dialect, self.asked)
        match fate.name:
            case "closed":
                return False
            case "reset":
                one = self.writer.get_extra_info("socket")
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
                return False
            case "garbage":
                self.writer.write(b"SSH-2.0-OpenSSH_9.2\r\nwhat is this?\r\n")
                return False
            case "silent":
                return await self._hang()
            case "empty":
                return await self._whole(b"")
            case "html page":
                return await self._whole(b"<html><title>502 Bad Gateway</title></html>", "text/html")
            case _ if fate.place == "before":
                return await self._whole(speech.error)
            case _ if self.stream:
                return await self._streamed(speech)
            case "half a body" | "half a body, then silent":
                self._head("application/json", f"content-length: {len(speech.whole)}")
                self.writer.write(speech.whole[: len(speech.whole) // 2])
                await self.writer.drain()
                return await self._hang() if "silent" in fate.name else False
            case _:
                return await self._whole(speech.whole) and self._kept()

    async def _hang(self) -> bool:
        await self.reader.read(1)
        return False

    def _kept(self) -> bool:
        hasty = self.asked.fate.name == "fine, then closed"
        self.provider.hasty += hasty
        return not hasty

    def _head(self, content_type: str, framing: str) -> None:
        fate = self.asked.fate
        later = "" if fate.retry_after is None else f"retry-after: {fate.retry_after}\r\n"
        head = f"HTTP/1.1 {fate.status or 200} Chaos\r\ncontent-type: {content_type}\r\n{framing}\r\n{later}\r\n"
        self.writer.write(head.encode())

    async def _whole(self, body: bytes, content_type: str = "application/json") -> bool:
        self._head(content_type, f"content-length: {len(body)}")
        if self.asked.fate.name == "fine and slow":
            await asyncio.sleep(0.005)
        self.writer.write(body)
        await self.writer.drain()
        return True

    async def _streamed(self, speech: Speech) -> bool:
        fate, drawn = self.asked.fate, random.Random(self.asked.number)
        self._head("text/event-stream", "transfer-encoding: chunked")
        block = b""
        for frame in speech.frames():
            block += frame
            if fate.name == "fine and slow" or drawn.random() < 0.3:
                await self._chunk(block)
                await asyncio.sleep(0.002 if fate.name == "fine and slow" else 0)
                block = b""
        await self._chunk(block)
        if "silent" in fate.name:
            return await self._hang()
        if "cut" in fate.name:
            return False
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()
        return self._kept()

    async def _chunk(self, block: bytes) -> None:
        if block:
            self.writer.write(b"%x\r\n%b\r\n" % (len(block), block))
            await self.writer.drain()


@frozen
class Speech:
    """What a provider says, in its dialect."""

    dialect: Dialect
    asked: Asked

    @property
    def error(self) -> bytes:
        """An error that names the request it is for."""
        return json.dumps(self._error).encode()

    @property
    def _error(self) -> dict[str, Any]:
        kind, code, words = self.asked.fate.told[self.dialect]
        told: dict[str, Any] = {"type": kind, "message": f"{words} <{self.asked.number}.error>"}
        if self.dialect == "chat":
            return {"error": {**told, "param": None, "code": code}}
        return {"type": "error", "error": {**told, "details": {"error_code": code}} if code else told}

    @property
    def whole(self) -> bytes:
        """A whole reply."""
        text, model = self.asked.text, self.asked.model
        if self.dialect == "chat":
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
            tree: dict[str, Any] = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
            return json.dumps({**tree, "usage": usage}).encode()
        message = self._message | {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
        return json.dumps(message).encode()

    @property
    def _message(self) -> dict[str, Any]:
        usage = {"input_tokens": 4, "output_tokens": 3}
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": self.asked.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    def frames(self) -> Iterator[bytes]:
        """The frames of a stream, as far as it comes."""
        match self.asked.fate.name:
            case "first event an error":
                yield self._frame(self._error)
                return
            case "opening, then an error":
                yield from self._opening()
                yield self._frame(self._error)
                return
            case "opening, then cut" | "opening, then silent":
                yield from self._opening()
                return
            case _:
                pass
        yield from self._opening()
        words = list(self._words())
        match self.asked.fate.name:
            case "cut within a word":
                yield from words[:3]
                yield words[3][: len(words[3]) // 2]
            case "error in the middle":
                yield from words[:3]
                yield self._frame(self._error)
            case "silent in the middle":
                yield from words[:3]
            case "no end mark":
                yield from words
            case _:
                yield from words
                yield from self._closing()

    def _frame(self, tree: dict[str, Any]) -> bytes:
        name = f"event: {tree['type']}\n" if self.dialect == "anthropic" else ""
        return f"{name}data: {json.dumps(tree)}\n\n".encode()

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        tree = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": self.asked.model, "choices": [choice]}
        return self._frame(tree)

    def _opening(self) -> Iterator[bytes]:
        if self.dialect == "chat":
            yield self._chunk({"role": "assistant", "content": ""})
        else:
            yield self._frame({"type": "message_start", "message": self._message})
            yield self._frame({"type": "ping"})

    def _words(self) -> Iterator[bytes]:
        for index, word in enumerate(self.asked.words):
            if self.dialect == "chat":
                yield self._chunk({"content": word})
                continue
            block = {"type": "text", "text": ""}
            begins = b"" if index else self._frame({"type": "content_block_start", "index": 0, "content_block": block})
            delta = {"type": "text_delta", "text": word}
            yield begins + self._frame({"type": "content_block_delta", "index": 0, "delta": delta})

    def _closing(self) -> Iterator[bytes]:
        if self.dialect == "chat":
            yield self._chunk({}, "stop")
            yield b"data: [DONE]\n\n"
            return
        yield self._frame({"type": "content_block_stop", "index": 0})
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        yield self._frame({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 3}})
        yield self._frame({"type": "message_stop"})


# ---- what clients ask ---------------------------------------------------------------------------


@frozen
class Plan:
    """One exchange, as it is meant.

    Args:
        marker: its number.
        client: the dialect that is spoken.
        stream: whether a stream is asked for.
        chain: the groups of targets, one after the other; the back-ends of a race stand in one group.
        by_chance: whether the first group is in an order by chance.
        policy: whose word the models' names begin with.
        handicap: seconds of the second and third in a race.
        leaves: seconds after which the client leaves; None stays.
    """

    marker: int
    client: Dialect
    stream: bool
    chain: tuple[tuple[str, ...], ...]
    by_chance: bool = False
    policy: Policy = "plain"
    handicap: float = 0.0
    leaves: float | None = None

    @property
    def model(self) -> str:
        """Of this exchange alone, so that what others learn of a target does not touch it."""
        return f"{self.policy}-{self.marker}"

    @property
    def name(self) -> str:
        """What the client asks for."""
        match self.policy:
            case "plain":
                return self.joined
            case "via":  # an alias of the deployment
                return f"{'-'.join(group[0] for group in self.chain)}-{self.marker}"
            case _:
                return self.model

    @property
    def joined(self) -> str:
        """The targets, as a name says them."""
        if self.by_chance:
            return "^".join(f"[weight={place}]{group[0]}:{self.model}" for place, group in enumerate(self.chain, 1))
        return "|".join(self._raced(group) for group in self.chain)

    def _raced(self, group: Sequence[str]) -> str:
        first, *others = group
        later = f"[handicap={self.handicap}]" if self.handicap else ""
        return "!".join([f"{first}:{self.model}", *(f"{later}{one}:{self.model}" for one in others)])


# ---- the oracle ---------------------------------------------------------------------------------

GO_ON: Final = frozenset({
    "rate_limited", "overloaded", "upstream_error", "timeout", "authentication", "billing", "permission", "model_not_found",
    "context_length", "unsupported_feature",
})  # fmt: skip
"""The classes after which another target is tried (docs/routing.md)."""
STRICT: Final = frozenset({"rate_limited", "overloaded"})
FEW: Final = 2


@frozen
class Try:
    """One attempt that must be made, or may be.

    Args:
        backend: where.
        fate: what becomes of it there.
        outcomes: what the account may say of it.
        may_lack: whether it need not be made at all.
    """

    backend: str
    fate: Fate
    outcomes: frozenset[str]
    may_lack: bool = False


@frozen
class Course:
    """One way that an exchange may go: groups of attempts, and which attempt the client hears of."""

    groups: tuple[tuple[Try, ...], ...]
    last: Try

    @property
    def fate(self) -> Fate:
        """What becomes of the exchange."""
        return self.last.fate


@frozen
class Oracle:
    """Says how an exchange may go, from the policy as it is documented."""

    fates: Fates
    absent: frozenset[str] = frozenset()
    """Back-ends behind whose address nobody listens."""

    def courses(self, plan: Plan) -> Iterator[Course]:
        """All ways that are allowed; chance decides between them, or which of several is faster."""
        orders = permutations(plan.chain) if plan.by_chance else (plan.chain,)
        for order in orders:
            groups = list(order) * (2 if plan.policy == "twice" else 1)
            yield from self._follow(plan, groups, ())

    def _follow(self, plan: Plan, rest: Sequence[tuple[str, ...]], made: tuple[tuple[Try, ...], ...]) -> Iterator[Course]:
        group, *further = rest
        if self._rests(plan, group[0], made):
            yield from self._follow(plan, further, made)
            return
        nth = sum(1 for each in made if each[0].backend == group[0])
        for tries, last in self._group(plan, group, nth):
            so_far = (*made, tries)
            if last.fate.kind is None or last.fate.place == "after" or not further or self._over(plan, so_far, last.fate):
                yield Course(so_far, last)
            else:
                yield from self._follow(plan, further, so_far)

    @staticmethod
    def _rests(plan: Plan, backend: str, made: tuple[tuple[Try, ...], ...]) -> bool:
        """Whether a target that said when it may be asked again is left out of the second round.

        Where the last of the first round has said so too, that round is waited for as long.
        """
        if plan.policy != "twice" or len(made) < len(plan.chain):
            return False
        first = made[: len(plan.chain)]
        said = {tries[0].backend for tries in first if tries[0].fate.retry_after is not None}
        return backend in said and first[-1][0].backend not in said

    def _over(self, plan: Plan, made: tuple[tuple[Try, ...], ...], fate: Fate) -> bool:
        if plan.policy == "few" and len(made) >= FEW:
            return True
        return fate.kind not in (STRICT if plan.policy == "strict" else GO_ON)

    def _fate(self, plan: Plan, backend: str, nth: int) -> Fate:
        if backend in self.absent:
            return UNREACHABLE
        return self.fates.of(plan.marker, backend, nth, stream=plan.stream, rounds=plan.policy == "twice")

    def _group(self, plan: Plan, group: tuple[str, ...], nth: int) -> Iterator[tuple[tuple[Try, ...], Try]]:
        fates = {backend: self._fate(plan, backend, nth) for backend in group}
        begun = [backend for backend, fate in fates.items() if fate.kind is None or fate.place == "after"]
        ends = {backend: frozenset({fate.kind or "ok"}) for backend, fate in fates.items()}
        for winner in begun or group:  # where none begins, the client hears of any one of them
            tries = tuple(
                Try(backend, fates[backend], ends[backend])
                if backend == winner or not begun
                else Try(backend, fates[backend], self._loser(fates[backend]), may_lack=True)
                for backend in group
            )
            yield tries, next(each for each in tries if each.backend == winner)

    @staticmethod
    def _loser(fate: Fate) -> frozenset[str]:
        failed = fate.kind is not None and fate.place != "after"
        return frozenset({"cancelled", fate.kind or ""}) if failed else frozenset({"cancelled"})


def statuses(fate: Fate, provider: Dialect, client: Dialect, *, stream: bool, watched: bool) -> set[int]:
    """The HTTP statuses that a client may get for a failure before it has got anything.

    A provider's own stands where it spoke the client's dialect, and where OpenAI's clients hear of Anthropic's; Anthropic's
    clients get Anthropic's for the class. An error under 200 stays one where the client's SDK finds it there: in a body, and in
    a stream whose opening is kept with it, as it is where nobody reads the events.

    Args:
        fate: the failure.
        provider: what the provider speaks.
        client: what the client speaks.
        stream: whether it asked for a stream.
        watched: whether an observer or a filter reads the events.
    """
    theirs = {"overloaded": 529, "timeout": 504, "billing": 402, "context_length": 400}
    match fate.name:
        case "reset":
            return {502, 503}
        case "refused connection":
            return {503}
        case "error under 200" if provider == client and not stream:
            return {200}
        case "opening, then an error" if provider == client and not watched:
            return {200}
        case _ if fate.told and (fate.status or 200) < 400:
            return {502 if client == "chat" else theirs["overloaded"]}
        case _ if fate.told and fate.status is not None:
            return {fate.status if provider == client or client == "chat" else theirs.get(fate.kind or "", fate.status)}
    return {504 if fate.kind == "timeout" else 502}
