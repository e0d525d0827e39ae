"""A whole reply: the events, folded, and unfolded again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from llmgw.errors import GatewayError
from llmgw.events.kinds import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Error,
    Event,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
)
from llmgw.model import (
    JSON,
    Audio,
    Base64,
    Carrier,
    Citation,
    Image,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
)


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
    transcript: list[str] = field(factory=list)

    def add(self, key: str, value: JSON) -> None:
        """Take something that has no name here; what is told in pieces is put together."""
        if self.kind == "media" and key == "transcript":
            self.transcript.append(value)
            return
        old = self.extra.get(key)
        self.extra[key] = [*old, *value] if isinstance(old, list) and isinstance(value, list) else value

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
                extras=self.extra,
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
                extras=self.extra,
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
                extras=self.extra,
                **{name: self.meta[name] for name in _CALL if name in self.meta},
            )
        if self.kind == "refusal":
            return Refusal(self.text("refusal"), category=self.meta.get("category"), explanation=self.meta.get("explanation"))
        return self._opaque()

    def _opaque(self) -> Part:
        if self.kind == "media":
            return self._media()
        if self.kind == "server_tool_call":
            return ServerToolCall(
                tool=self.meta.get("tool", ""), id=self.meta.get("id"), input=self._last("input"), raw=self.meta.get("raw")
            )
        if self.kind == "server_tool_result":
            return ServerToolResult(
                tool=self.meta.get("tool", ""), id=self.meta.get("id"), output=self.meta.get("output"), raw=self.meta.get("raw")
            )
        return OpaquePart(dialect=self.meta.get("dialect", ""), type=self.meta.get("type", ""), raw=self._last("raw"))

    def _last(self, name: str) -> JSON:
        """What a block said of itself when it began, unless it grew and said so again."""
        return self.extra.get(name, self.meta.get(name))

    def _media(self) -> Part:
        data = self.text("media")
        blob = Base64(self.meta.get("media_type") or "", data) if data else None
        if self.meta.get("type") == "image" and blob is not None:
            return Image(blob, extras=self.extra)
        words = (self.meta.get("transcript") or "") + "".join(self.transcript)
        expires = self.extra.pop("expires_at", self.meta.get("expires_at"))
        return Audio(blob, id=self.meta.get("id"), transcript=words or None, expires_at=expires, extras=self.extra)


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
            for key, value in event.value.items():
                block.add(key, value)


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
        case Image(blob=Base64(media_type=media_type, data=data)) | Audio(blob=Base64(media_type=media_type, data=data)):
            kind, meta = _unfold_opaque(part)
            meta = {**meta, "media_type": media_type}
            inner = delta("media", data)
        case Refusal():
            kind, inner = "refusal", delta("refusal", part.text)
            meta = {name: value for name in ("category", "explanation") if (value := getattr(part, name)) is not None}
        case _:
            kind, meta = _unfold_opaque(part)
    if part.extras:
        inner.append(BlockMeta(index=index, choice=choice, what="extra", value=dict(part.extras)))
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
            return "media", {name: value for name, value in known.items() if value is not None}
        case Image(blob=Base64()):
            return "media", {"type": "image"}
        case OpaquePart():
            return "opaque", {"dialect": part.dialect, "type": part.type, "raw": part.raw}
        case _:
            raise TypeError(f"no model answers with a {type(part).__name__}")
