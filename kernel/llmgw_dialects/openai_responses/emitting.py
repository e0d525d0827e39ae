"""Events become items of a response, and the frames that tell of them. It owns the places and ids of items.

Rules that hold here (each has a test named after it):

- Texts of one group share a message; a text behind a call, or of another group, opens a new one.
- Calls are announced once it is known whether opaque state comes with them: that stands in an item of its own before them.
- Blocks that overlap become items that overlap: each has its own place.
- The response at the end holds every item in full, and usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import define, evolve, field

from llmgw.errors import GatewayError
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Event,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
)
from llmgw.model import JSON, Carrier, Citation, Request
from llmgw_dialects.ids import minted
from llmgw_dialects.openai_responses.building import Built, BuiltinCall, Call, Message, Payload, Piece, Thing, Thought
from llmgw_dialects.openai_responses.citations import can_write
from llmgw_dialects.openai_responses.errors import failure
from llmgw_dialects.openai_responses.names import BY_TOOL, NAME, given
from llmgw_dialects.openai_responses.objects import response
from llmgw_dialects.openai_responses.stops import Ending, write_stop
from llmgw_dialects.openai_responses.things import thing_of
from llmgw_dialects.openai_responses.thoughts import slot_of
from llmgw_dialects.openai_responses.usage import write_usage

_TOLD: Final = frozenset({"reasoning", "function_call", "custom_tool_call"})
"""Items whose first event comes when they are announced."""
_BLANK: Final[dict[str, JSON]] = {"status": "in_progress", "error": None, "incomplete_details": None, "output": [], "usage": None}


@define(eq=False)
class _Block:
    start: BlockStart
    built: Built | None = None
    piece: Piece | None = None
    carrier: Carrier | None = None
    waiting: list[BlockDelta] = field(factory=list)
    media: list[str] = field(factory=list)


@define(eq=False)
class Emitter:
    """Folds a reply into a response, and tells of each step.

    Args:
        request: what is answered.
    """

    request: Request
    items: list[Built] = field(factory=list)
    base: dict[str, Any] | None = None
    """The response without what is said in it: the provider's own, or one of ours."""

    start: ResponseStart | None = None
    usage: Usage | None = None
    stop: StopReason | None = None
    named: bool = False
    """Whether the reply's own id and model count, not those of ``base``."""

    _blocks: dict[int, _Block] = field(factory=dict)
    _held: list[_Block] = field(factory=list)
    """Calls that have not been announced."""

    _closing: Call | None = None
    """The call that is complete unless the answer was cut in it."""

    _message: Message | None = None
    """The message that may get more parts."""

    def feed(self, event: Event, place: int | None = None) -> list[Payload]:
        """What an event is worth.

        Args:
            event: the next.
            place: the item that it is about, where the provider told.
        """
        return list(self._feed(event, place))

    def _feed(self, event: Event, place: int | None) -> Iterator[Payload]:
        if getattr(event, "choice", 0):  # a response has one answer
            return
        if self._closing is not None and not isinstance(event, UsageUpdate | Stop | ResponseEnd):
            yield from self._closed()
        match event:
            case BlockDelta():
                yield from self._delta(event)
            case BlockStart():
                yield from self._start(event, place)
            case BlockMeta():
                yield from self._meta(event)
            case BlockStop():
                yield from self._stop(event, place)
            case ResponseStart():
                self.start = event
                self.used(event.usage)
            case UsageUpdate():
                self.used(event.usage)
            case Stop():
                self.stop = event.reason
            case ResponseEnd():
                self.used(event.usage)
            case _:
                pass

    # ---- blocks ---------------------------------------------------------------------------------

    def _start(self, event: BlockStart, place: int | None) -> Iterator[Payload]:
        block = self._blocks[event.index] = _Block(event)
        match event.kind:
            case "text" | "refusal":
                yield from self._words(block, place)
            case "reasoning":
                yield from self._leave()
                made = Thought(self._place(place), self._id("rs_", event, place), raw=_tells_raw(event))
                block.built = self._put(made)
                yield from made.announce()
            case "tool_call" | "custom_tool_call":
                yield from self._leave()
                block.built = self._call(event, place)
                self._held.append(block)
            case _:
                yield from self._leave()
                yield from self._thing(block, thing_of(event, self.request), place)

    def _words(self, block: _Block, place: int | None) -> Iterator[Payload]:
        event = block.start
        message = self._joined(event, place)
        if message is None:
            yield from self._leave()
            known = self.at(place)
            message = known if isinstance(known, Message) else None
        if message is None:
            group, phase = event.meta.get("group"), event.meta.get("phase")
            message = Message(self._place(place), self._id("msg_", event, place), group=group, phase=phase)
            self._put(message)
        self._message = message
        block.built = message
        tree = event.frame.tree if place is not None and event.frame is not None else None
        number = tree.get("content_index") if isinstance(tree, dict) else None
        block.piece, begun = message.begin("refusal" if event.kind == "refusal" else "output_text", number)
        yield from begun

    def _joined(self, event: BlockStart, place: int | None) -> Message | None:
        """The open message, if the block belongs to it."""
        message, group = self._message, event.meta.get("group")
        if message is None or message.closed:
            return None
        if place is not None:
            return message if message.at == place else None
        return message if message.group == group or (event.kind == "refusal" and group is None) else None

    def _call(self, event: BlockStart, place: int | None) -> Built:
        meta, at = event.meta, -1 if place is None else place
        name = str(meta.get("name") or "")
        ident = meta.get("call_id") or minted("call_", event.index, name)
        if meta.get("kind") == "builtin" and name in BY_TOOL:
            foreseen = self.at(place)
            if foreseen is not None:
                self.items.remove(foreseen)
            known = foreseen is not None and foreseen.announced
            return BuiltinCall(at, self._id("bc_", event, place), announced=known, tool=name, call_id=str(ident))
        told = given(namespace=meta.get("namespace"), caller=meta.get("caller"))
        if meta.get("is_async"):
            told["async"] = True
        custom = event.kind == "custom_tool_call"
        return Call(
            at,
            self._id("ctc_" if custom else "fc_", event, place),
            custom=custom,
            facts={"call_id": ident, "name": name, **told},
            needs=event.frame is None or event.frame.dialect != NAME,
        )

    def _thing(self, block: _Block, raw: dict[str, Any] | None, place: int | None) -> Iterator[Payload]:
        if raw is None:
            return
        things = (item for item in self.items if isinstance(item, Thing) and item.id == raw.get("id"))
        known = self.at(place) or next(things, None)
        if known is None:
            ident = raw.get("id") if isinstance(raw.get("id"), str) else self._id("item_", block.start)
            known = self._put(Thing(self._place(place), str(ident), raw=raw))
        elif isinstance(known, Thing):
            known.raw = raw
        block.built = known
        yield from known.announce()

    def _delta(self, event: BlockDelta) -> Iterator[Payload]:
        block = self._blocks.get(event.index)
        if block is None:
            return
        match block.built:
            case Message() as message if block.piece is not None:
                yield from message.more(block.piece, event.fragment)
            case Thought() as thought:
                yield from thought.more(event.channel, event.part, event.fragment)
            case Call() | BuiltinCall() if block in self._held:
                block.waiting.append(event)
                if event.frame is not block.start.frame:  # what is opaque would have come in the frame of its start
                    yield from self._announce(block)
            case Call() | BuiltinCall() as call:
                yield from call.more(event.fragment)
            case _:
                block.media.append(event.fragment)

    def _meta(self, event: BlockMeta) -> Iterator[Payload]:
        block = self._blocks.get(event.index)
        if block is None:
            return
        match event.value, block.built:
            case Carrier() as carrier, Message() as message:
                message.after.append(evolve(carrier, position="after"))
            case Carrier() as carrier, _:
                block.carrier = carrier
                if block in self._held:
                    yield from self._announce(block)
                elif isinstance(block.built, Call | BuiltinCall):  # too late to stand before it
                    yield from self._carry(evolve(carrier, position="after"), event.index)
            case Citation() as citation, Message() if block.piece is not None and can_write(citation):
                block.piece.citations.append(citation)
            case list() as values, Message() if event.what == "logprobs" and block.piece is not None:
                block.piece.logprobs += values
            case {"annotations": list(entries)}, Message() if block.piece is not None:
                block.piece.citations += entries
            case _:
                pass

    def _stop(self, event: BlockStop, place: int | None) -> Iterator[Payload]:
        block = self._blocks.get(event.index)
        if block is None:
            return
        if block in self._held:
            yield from self._announce(block)
        if isinstance(event.final, dict) and block.built is not None and event.frame is not None and event.frame.dialect == NAME:
            block.built.final = event.final
        match block.built:
            case Message() as message if block.piece is not None:
                yield from message.end(block.piece)
                if message is not self._message:
                    yield from self._end(message)
            case Thought() as thought:
                thought.slot = self._slot(block, thought)
                yield from thought.done()
            case None if block.start.kind == "media":
                raw = thing_of(block.start, self.request, "".join(block.media))
                yield from self._thing(block, raw, None)
                yield from self._whole(block)
            case None:
                pass
            case Call() as call if place is None:  # whether it was cut is told by what follows
                yield from call.words()
                self._closing = call
            case built:
                yield from built.done()

    def _whole(self, block: _Block) -> Iterator[Payload]:
        """A block that is told as a whole is complete."""
        if block.built is not None:
            yield from block.built.done()

    def _closed(self) -> Iterator[Payload]:
        call, self._closing = self._closing, None
        if call is not None:
            yield from call.done()

    def _slot(self, block: _Block, thought: Thought) -> str | None:
        """What is opaque in a thought; one of another provider without any is marked as such, so that it is known again."""
        frame = block.start.frame
        if block.carrier is None and (frame is None or frame.dialect == NAME):
            return None
        return slot_of(block.carrier, thought.text())

    # ---- calls that wait ------------------------------------------------------------------------

    def _announce(self, block: _Block) -> Iterator[Payload]:
        """A call is told: those that began before it first, and what is opaque before that."""
        while block in self._held:
            first = self._held.pop(0)
            if first.carrier is not None:
                yield from self._carry(first.carrier, first.start.index)
            built = first.built
            if isinstance(built, Call | BuiltinCall):
                built.at = self._place(built.at if built.at >= 0 else None)
                self._put(built)
                if isinstance(built, Call):
                    yield from built.announce()
                for delta in first.waiting:
                    yield from built.more(delta.fragment)
            first.waiting = []

    def _carry(self, carrier: Carrier, index: int) -> Iterator[Payload]:
        """An item that is there for opaque state alone."""
        made = Thought(self._place(None), minted("rs_", "carrier", index, carrier.payload))
        made.slot = slot_of(carrier, "")
        self._put(made)
        yield from made.announce()
        yield from made.done()

    # ---- items ----------------------------------------------------------------------------------

    def at(self, place: int | None) -> Built | None:
        """The item at a place."""
        return next((item for item in self.items if item.at == place), None) if place is not None else None

    def built(self, index: int) -> Built | None:
        """The item that a block is in."""
        block = self._blocks.get(index)
        return None if block is None else block.built

    def _place(self, place: int | None) -> int:
        return place if place is not None else self.next

    @property
    def next(self) -> int:
        """The first place that is free."""
        waiting = (block.built.at for block in self._held if block.built is not None)
        return max((*(item.at for item in self.items), *waiting), default=-1) + 1

    def _put(self, built: Built) -> Built:
        self.items.append(built)
        return built

    def _id(self, prefix: str, event: BlockStart, place: int | None = None) -> str:
        """The provider's id, if it is of this dialect; two items of one id are more than clients can bear."""
        ident = event.meta.get("id")
        own = event.frame is None or event.frame.dialect == NAME
        if own and isinstance(ident, str) and ident and (place is not None or all(item.id != ident for item in self.items)):
            return ident
        response_id = self.start.id if self.start is not None else None
        return minted(prefix, response_id, len(self.items), event.index)

    def _leave(self) -> Iterator[Payload]:
        """No more words for the message at hand."""
        message, self._message = self._message, None
        if message is not None and message.open == 0:
            yield from self._end(message)

    def foresee(self, item: dict[str, Any], place: int) -> Built | None:
        """The provider announces an item of which the first event is yet to come."""
        if self.at(place) is not None or item.get("type") in _TOLD:
            return None
        ident = str(item.get("id") or minted("item_", place))
        if item.get("type") != "message":
            return self._put(Thing(place, ident, raw=item))
        return self._put(Message(place, ident, phase=item.get("phase")))

    def _end(self, message: Message) -> Iterator[Payload]:
        if message.closed:
            return
        yield from message.done()
        for carrier in message.after:
            yield from self._carry(carrier, message.at)
        message.after = []

    def close(self, message: Built, final: dict[str, Any]) -> list[Payload]:
        """The provider says that a message is complete."""
        message.final = final
        if message is self._message:
            self._message = None
        return list(self._end(message)) if isinstance(message, Message) else list(message.done())

    # ---- the response ---------------------------------------------------------------------------

    def used(self, usage: Usage | None) -> None:
        """What was used so far."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)

    def created(self) -> dict[str, Any]:
        """The response, before anything is said in it."""
        if self.base is None:
            self.base = response(self.start, self.request)
        named = {} if self.start is None else given(id=self.start.id, model=self.start.model)
        return {**self.base, **(named if self.named else {}), **_BLANK}

    def finish(self) -> list[Payload]:
        """The items that are still open; the last of them is not complete where the answer was cut."""
        return list(self._finish())

    def _finish(self) -> Iterator[Payload]:
        yield from self._refuse()
        for block in list(self._held):
            yield from self._announce(block)
        if self.items and self.ending().status != "completed":
            last = max(self.items, key=lambda item: item.at)
            last.cut = isinstance(last, Message | Call)
        yield from self._closed()
        yield from self._leave()
        for item in list(self.items):
            yield from self._end(item) if isinstance(item, Message) else item.done()

    def _refuse(self) -> Iterator[Payload]:
        """The explanation of a refusal that had no words of its own."""
        if self.stop is None or self.stop.kind != "refusal" or not self.stop.explanation or self.refused:
            return
        index = max(self._blocks, default=-1) + 1
        yield from self.feed(BlockStart(index=index, kind="refusal"))
        yield from self.feed(BlockDelta(index=index, channel="refusal", fragment=self.stop.explanation))
        yield from self.feed(BlockStop(index=index))

    @property
    def refused(self) -> bool:
        """Whether there is a refusal in words."""
        return any(getattr(piece, "kind", "") == "refusal" for item in self._messages() for piece in item.pieces)

    def _messages(self) -> list[Message]:
        return [item for item in self.items if isinstance(item, Message)]

    def ending(self) -> Ending:
        """How it ends."""
        said = any(not isinstance(item, Thought) for item in self.items)
        return write_stop(self.stop, said=said, refused=self.refused)

    def output(self) -> list[JSON]:
        """All items, in their order."""
        return [item.last() for item in sorted(self.items, key=lambda item: item.at)]

    def response(self) -> dict[str, Any]:
        """The response at its end."""
        ending = self.ending()
        details = None if ending.reason is None else {"reason": ending.reason}
        error = None if ending.error is None else {"code": "server_error", "message": ending.error}
        return {
            **self.created(),
            "status": ending.status,
            "error": error,
            "incomplete_details": details,
            "output": self.output(),
            "usage": None if self.usage is None and ending.is_open else write_usage(self.usage),
        }

    def failed(self, error: GatewayError) -> dict[str, Any]:
        """The response that failed."""
        told = {"status": "failed", "error": failure(error), "output": self.output()}
        return {**self.created(), **told, "usage": None if self.usage is None else write_usage(self.usage)}


def _tells_raw(event: BlockStart) -> bool:
    """Whether raw texts are OpenAI's kind of raw texts; those of others are told as summaries, which clients show."""
    return event.frame is None or event.frame.dialect == NAME
