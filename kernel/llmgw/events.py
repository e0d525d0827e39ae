"""What a model answers: eleven kinds of event, and the reply they fold into.

Laws (``Invariants`` checks them):

1. ``ResponseStart`` comes first, once.
2. Exactly one of ``ResponseEnd`` and ``Error`` comes, and nothing after it.
3. A block's deltas and metas come between its start and its stop; its index is unique and counts up.
4. Each choice has its ``Stop`` before ``ResponseEnd``.
5. A stream that ends without a ``Stop`` ends in an ``Error``: a truncated reply never looks like success.

``Raw`` may come anywhere before the end. Where client and provider speak one dialect and nobody wants to look, a reader gives
``Raw`` and the end alone, each holding as many frames as came together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import define, evolve, field

from llmgw.errors import GatewayError, UpstreamBroken
from llmgw.model import (
    JSON,
    Audio,
    Carrier,
    Citation,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
)

# Frozen for the type checker, which is who would change an event by mistake; at run time a frozen class costs three times as
# much to make as a plain one, and an event is made for every token.
if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(cls=None, **options):
        return define(cls, unsafe_hash=True, **options)


# ---- the events ---------------------------------------------------------------------------------


@define(eq=False)
class Frame:
    """What came over the wire as one piece: an SSE frame with its blank line, or a whole body.

    Args:
        dialect: whose it is.
        data: the bytes.
        count: how many events were made of it.
        tree: the JSON in it, where there is some.
    """

    dialect: str
    data: bytes = field(repr=False)
    count: int = 0
    tree: JSON = field(default=None, repr=False)


@frozen(kw_only=True)
class Event:
    """Something that happened in a reply.

    ``attrs.evolve`` gives a changed copy, which still knows the frame it came from but is no longer pristine, so that a
    writer of the same dialect writes it anew.
    """

    frame: Frame | None = field(default=None, eq=False, repr=False)
    pristine: bool = field(default=False, init=False, eq=False, repr=False)


_E = TypeVar("_E", bound=Event)
BlockKind = Literal[
    "text", "reasoning", "tool_call", "custom_tool_call", "server_tool_call", "server_tool_result", "refusal", "media", "opaque"
]
Channel = Literal["text", "args", "input", "reasoning_summary", "reasoning_raw", "refusal", "media"]
StopKind = Literal[
    "end", "stop_sequence", "max_tokens", "context_window", "tool_use", "pause", "refusal", "content_filter",
    "malformed_tool_call", "compaction", "continuation", "steered", "cancelled", "error", "other",
]  # fmt: skip


def framed(events: Iterable[_E], frame: Frame) -> list[_E]:
    """Mark events as made of one frame, and pristine. For dialects, while reading."""
    out = list(events)
    frame.count = len(out)
    for event in out:
        object.__setattr__(event, "frame", frame)
        object.__setattr__(event, "pristine", True)
    return out


@frozen(kw_only=True)
class Usage:
    """Tokens. ``input_total`` includes cached and cache-written ones, ``output_total`` includes reasoning.

    ``raw`` is the provider's own object; ``estimated`` says that nobody counted.
    """

    input_total: int | None = None
    output_total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    tool_prompt: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    estimated: bool = False
    raw: JSON = field(default=None, eq=False, repr=False)

    def merged(self, later: Usage) -> Usage:
        """The later snapshot, with what it does not say taken from this one."""
        known = {name: value for name in _COUNTS if (value := getattr(later, name)) is not None}
        return evolve(self, **known, estimated=later.estimated, raw=later.raw or self.raw)

    def plus(self, other: Usage) -> Usage:
        """The sum of both: what two attempts used together."""
        sums = {name: (getattr(self, name) or 0) + value for name in _COUNTS if (value := getattr(other, name)) is not None}
        return evolve(self, **sums, estimated=self.estimated or other.estimated, raw=None)


_COUNTS = (
    "input_total", "output_total", "cache_read", "cache_write", "reasoning", "tool_prompt", "audio_input", "audio_output",
    "accepted_prediction", "rejected_prediction",
)  # fmt: skip


@frozen
class StopReason:
    """Why a choice ended; ``raw`` is the provider's own word."""

    kind: StopKind
    sequence: str | None = None
    category: str | None = None
    explanation: str | None = None
    continuation: str | None = None
    raw: str | None = None


@frozen(kw_only=True)
class ResponseStart(Event):
    """1: first, once. ``created`` in Unix seconds."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: Usage | None = None
    extras: Mapping[str, JSON] = field(factory=dict)


@frozen(kw_only=True)
class BlockStart(Event):
    """2: a block opens; ``index`` is unique and contiguous within its choice. ``meta`` holds ids, names, phase, group."""

    index: int
    kind: BlockKind
    choice: int = 0
    meta: Mapping[str, JSON] = field(factory=dict)


@frozen(kw_only=True)
class BlockDelta(Event):
    """3: more of a block; fragments are appended. ``part`` numbers the summary or raw text it belongs to."""

    index: int
    channel: Channel
    fragment: str
    choice: int = 0
    part: int = 0


@frozen(kw_only=True)
class BlockMeta(Event):
    """4: about a block: a citation, logprobs (appended), a carrier (the last one wins), or something else."""

    index: int
    what: Literal["citation", "logprobs", "carrier", "extra"]
    value: JSON
    choice: int = 0


@frozen(kw_only=True)
class BlockStop(Event):
    """5: a block closes; ``final`` is the provider's own last word about it, where it gave one."""

    index: int
    choice: int = 0
    final: JSON = None


@frozen(kw_only=True)
class UsageUpdate(Event):
    """6: what was used so far."""

    usage: Usage


@frozen(kw_only=True)
class Progress(Event):
    """7: a sign of life, never content."""

    kind: Literal["ping", "queued", "in_progress", "server_tool", "processing"] = "ping"
    state: JSON = None


@frozen(kw_only=True)
class Stop(Event):
    """8: a choice is complete."""

    reason: StopReason
    choice: int = 0


@frozen(kw_only=True)
class ResponseEnd(Event):
    """9: all is said. Terminal."""

    usage: Usage | None = None
    status: str | None = None


@frozen(kw_only=True)
class Error(Event):
    """10: it failed. Terminal."""

    error: GatewayError


@frozen(kw_only=True)
class Raw(Event):
    """11: something of the provider's that has no other name; only a writer of the same dialect prints it.

    Args:
        name: the event's name, where the dialect has names.
        payload: its JSON, where somebody read it.
    """

    dialect: str
    name: str = ""
    payload: JSON = None


Events = AsyncGenerator[Event, None]
Terminal = ResponseEnd | Error

_OPENING = (ResponseStart, Progress, UsageUpdate)


def is_meaningful(event: Event) -> bool:
    """Whether the client has got something once this is sent: the commit point of an attempt."""
    return not isinstance(event, _OPENING)


# ---- the reply ----------------------------------------------------------------------------------


@frozen(kw_only=True)
class Choice:
    """One answer; ``parts`` in the order of their blocks."""

    index: int = 0
    parts: tuple[Part, ...] = ()
    stop: StopReason | None = None


@frozen(kw_only=True)
class Reply:
    """A whole answer: the events, folded."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    extras: Mapping[str, JSON] = field(factory=dict)


_CALL = ("native_id", "caller", "is_async", "status")


@define
class _Block:
    kind: BlockKind
    meta: dict[str, Any]
    texts: dict[tuple[Channel, int], list[str]] = field(factory=dict)
    citations: list[Citation] = field(factory=list)
    logprobs: list[JSON] = field(factory=list)
    carrier: Carrier | None = None
    extra: dict[str, Any] = field(factory=dict)

    def joined(self, channel: Channel) -> tuple[str, ...]:
        parts = sorted(number for name, number in self.texts if name == channel)
        return tuple("".join(self.texts[channel, number]) for number in parts)

    def text(self, channel: Channel) -> str:
        return "".join(self.joined(channel))

    def part(self) -> Part:
        known = {name: value for name in ("id", "phase", "group") if (value := self.meta.get(name)) is not None}
        if self.kind == "text":
            return Text(
                self.text("text"),
                citations=tuple(self.citations),
                logprobs=self.logprobs or None,
                carrier=self.carrier,
                **known,
            )
        if self.kind == "reasoning":
            return Reasoning(
                summary=self.joined("reasoning_summary"),
                raw_text=self.joined("reasoning_raw"),
                carrier=self.carrier,
                redacted=bool(self.meta.get("redacted")),
                id=self.meta.get("id"),
                status=self.meta.get("status"),
            )
        if self.kind in ("tool_call", "custom_tool_call"):
            custom = self.kind == "custom_tool_call"
            return ToolCall(
                call_id=self.meta.get("call_id") or "",
                name=self.meta.get("name") or "",
                arguments=self.text("input" if custom else "args"),
                kind="custom" if custom else self.meta.get("kind", "function"),
                namespace=self.meta.get("namespace"),
                item_id=self.meta.get("id"),
                carrier=self.carrier,
                **{name: self.meta[name] for name in _CALL if name in self.meta},
            )
        if self.kind == "refusal":
            return Refusal(self.text("refusal"), category=self.meta.get("category"), explanation=self.meta.get("explanation"))
        return self._opaque()

    def _opaque(self) -> Part:
        if self.kind == "media" and self.meta.get("type") == "audio":
            return Audio(id=self.meta.get("id"), transcript=self.meta.get("transcript"), expires_at=self.meta.get("expires_at"))
        if self.kind == "server_tool_call":
            return ServerToolCall(
                tool=self.meta.get("tool", ""), id=self.meta.get("id"), input=self.meta.get("input"), raw=self.meta.get("raw")
            )
        if self.kind == "server_tool_result":
            return ServerToolResult(
                tool=self.meta.get("tool", ""), id=self.meta.get("id"), output=self.meta.get("output"), raw=self.meta.get("raw")
            )
        return OpaquePart(dialect=self.meta.get("dialect", ""), type=self.meta.get("type", ""), raw=self.meta.get("raw"))


@define(eq=False)
class Accumulator:
    """Folds events into a reply; whole and streamed replies meet here, so they cannot differ."""

    error: GatewayError | None = None
    ended: bool = False
    _start: ResponseStart | None = None
    _blocks: dict[tuple[int, int], _Block] = field(factory=dict)
    _stops: dict[int, StopReason] = field(factory=dict)
    _usage: Usage | None = None

    def feed(self, event: Event) -> None:
        """Take one event more."""
        match event:
            case BlockDelta():
                block = self._blocks[event.choice, event.index]
                block.texts.setdefault((event.channel, event.part), []).append(event.fragment)
            case BlockStart():
                self._blocks[event.choice, event.index] = _Block(event.kind, dict(event.meta))
            case BlockMeta():
                self._meta(self._blocks[event.choice, event.index], event)
            case ResponseStart():
                self._start = event
                self._used(event.usage)
            case UsageUpdate():
                self._used(event.usage)
            case Stop():
                self._stops.setdefault(event.choice, event.reason)
            case ResponseEnd():
                self.ended = True
                self._used(event.usage)
            case Error():
                self.ended, self.error = True, event.error
            case _:  # block stops, progress and raw add nothing to a reply
                pass

    def reply(self) -> Reply:
        """What the events amount to so far.

        Raises:
            GatewayError: the one in which the events ended.
        """
        if self.error is not None:
            raise self.error
        start = self._start or ResponseStart()
        indices = sorted({choice for choice, _ in self._blocks} | set(self._stops))
        return Reply(
            id=start.id,
            model=start.model,
            created=start.created,
            choices=tuple(self._choice(index) for index in indices),
            usage=self._usage,
            extras=start.extras,
        )

    def _choice(self, index: int) -> Choice:
        blocks = sorted((number, block) for (choice, number), block in self._blocks.items() if choice == index)
        return Choice(index=index, parts=tuple(block.part() for _, block in blocks), stop=self._stops.get(index))

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)

    @staticmethod
    def _meta(block: _Block, event: BlockMeta) -> None:
        if event.what == "citation":
            block.citations.append(event.value)
        elif event.what == "logprobs":
            block.logprobs.extend(event.value)
        elif event.what == "carrier":
            block.carrier = event.value
        else:
            block.extra.update(event.value)


def fold(events: Iterable[Event]) -> Reply:
    """The reply that these events amount to.

    Raises:
        GatewayError: the one in which they ended.
    """
    accumulator = Accumulator()
    for event in events:
        accumulator.feed(event)
    return accumulator.reply()


def unfold(reply: Reply) -> list[Event]:
    """Events that fold into this reply: each block in one delta a text."""
    events: list[Event] = [ResponseStart(id=reply.id, model=reply.model, created=reply.created, extras=reply.extras)]
    for choice in reply.choices:
        for index, part in enumerate(choice.parts):
            events += _unfold_part(part, index, choice.index)
        if choice.stop is not None:
            events.append(Stop(choice=choice.index, reason=choice.stop))
    if reply.usage is not None:
        events.append(UsageUpdate(usage=reply.usage))
    events.append(ResponseEnd())
    return events


def _unfold_part(part: Part, index: int, choice: int) -> list[Event]:
    def delta(channel: Channel, fragment: str, number: int = 0) -> list[Event]:
        return [BlockDelta(index=index, choice=choice, channel=channel, fragment=fragment, part=number)]

    meta: dict[str, Any] = {}
    kind: BlockKind = "opaque"
    inner: list[Event] = []
    carrier: Carrier | None = None
    match part:
        case Text():
            kind, carrier = "text", part.carrier
            meta = {name: value for name in ("id", "phase", "group") if (value := getattr(part, name)) is not None}
            inner = delta("text", part.text)
            inner += [BlockMeta(index=index, choice=choice, what="citation", value=one) for one in part.citations]
            if part.logprobs:
                inner.append(BlockMeta(index=index, choice=choice, what="logprobs", value=part.logprobs))
        case Reasoning():
            kind, carrier = "reasoning", part.carrier
            known = {"id": part.id, "status": part.status, "redacted": part.redacted or None}
            meta = {name: value for name, value in known.items() if value is not None}
            for number, text in enumerate(part.summary):
                inner += delta("reasoning_summary", text, number)
            for number, text in enumerate(part.raw_text):
                inner += delta("reasoning_raw", text, number)
        case ToolCall():
            kind, carrier = ("custom_tool_call" if part.kind == "custom" else "tool_call"), part.carrier
            known = {"call_id": part.call_id, "name": part.name, "namespace": part.namespace, "id": part.item_id}
            known |= {name: getattr(part, name) or None for name in _CALL} | {
                "kind": "builtin" if part.kind == "builtin" else None
            }
            meta = {name: value for name, value in known.items() if value is not None}
            inner = delta("input" if part.kind == "custom" else "args", part.arguments)
        case Refusal():
            kind, inner = "refusal", delta("refusal", part.text)
            meta = {name: value for name in ("category", "explanation") if (value := getattr(part, name)) is not None}
        case _:
            kind, meta = _unfold_opaque(part)
    if carrier is not None:
        inner.append(BlockMeta(index=index, choice=choice, what="carrier", value=carrier))
    start = BlockStart(index=index, choice=choice, kind=kind, meta=meta)
    return [start, *inner, BlockStop(index=index, choice=choice)]


def _unfold_opaque(part: Part) -> tuple[BlockKind, dict[str, Any]]:
    match part:
        case ServerToolCall():
            return "server_tool_call", {"tool": part.tool, "id": part.id, "input": part.input, "raw": part.raw}
        case ServerToolResult():
            return "server_tool_result", {"tool": part.tool, "id": part.id, "output": part.output, "raw": part.raw}
        case Audio():
            known = {"type": "audio", "id": part.id, "transcript": part.transcript, "expires_at": part.expires_at}
            return "media", known
        case OpaquePart():
            return "opaque", {"dialect": part.dialect, "type": part.type, "raw": part.raw}
        case _:
            raise TypeError(f"no model answers with a {type(part).__name__}")


# ---- the laws -----------------------------------------------------------------------------------


@define(eq=False)
class Invariants:
    """Checks the laws at the head of this module, event by event."""

    _started: bool = False
    _ended: bool = False
    _open: set[tuple[int, int]] = field(factory=set)
    _next: dict[int, int] = field(factory=dict)
    _stopped: set[int] = field(factory=set)
    _coarse: bool = False

    def feed(self, event: Event) -> str | None:
        """Take one event more; what it breaks, in words, or None."""
        if self._ended:
            return f"{type(event).__name__} after the end"
        match event:
            case Raw() | Progress():
                self._coarse |= isinstance(event, Raw)
                return None
            case Error():
                self._ended = True
                return None
            case ResponseEnd():
                self._ended = True
                return self._end()
            case ResponseStart():
                twice, self._started = self._started, True
                return "a second ResponseStart" if twice else None
            case _:
                pass
        if not self._started:
            return f"{type(event).__name__} before ResponseStart"
        return self._block(event)

    def _block(self, event: Event) -> str | None:
        match event:
            case BlockStart():
                expected = self._next.get(event.choice, 0)
                self._next[event.choice] = event.index + 1
                self._open.add((event.choice, event.index))
                return None if event.index == expected else f"block {event.index} where {expected} is next"
            case BlockDelta() | BlockMeta():
                there = (event.choice, event.index) in self._open
                return None if there else f"{type(event).__name__} for block {event.index}, which is not open"
            case BlockStop():
                there = (event.choice, event.index) in self._open
                self._open.discard((event.choice, event.index))
                return None if there else f"BlockStop for block {event.index}, which is not open"
            case Stop():
                twice = event.choice in self._stopped
                self._stopped.add(event.choice)
                return f"a second Stop for choice {event.choice}" if twice else None
            case _:
                return None

    def _end(self) -> str | None:
        if self._open:
            return f"ended with open blocks {sorted(self._open)}"
        missing = set(self._next) - self._stopped
        if missing or (self._started and not self._stopped):
            return f"ended without a Stop for choices {sorted(missing) or [0]}"
        if not self._started and not self._coarse:
            return "ended before it started"
        return None


def cut_short(what: str = "the stream ended before the reply was complete") -> UpstreamBroken:
    """The error of a provider that stopped in the middle (law 5)."""
    return UpstreamBroken(f"The provider's answer broke off: {what}. Ask again, or choose another model.")
