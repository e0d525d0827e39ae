"""Events become a client's stream: frames that came through untouched are copied, everything else is written anew.

The frames that say that something is *done* repeat what was said before. So a frame that nobody touched is copied only as long as
the item that it is about is still what the provider sent; from the first change of an item on all that is said of it is written
from what the client has got. The last frame repeats everything, and is put together from both.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from attrs import define, field

from llmgw import jsons, splice, sse
from llmgw.events import BlockMeta, Error, Event, Frame, Progress, Raw, ResponseEnd, ResponseStart, Stop, UsageUpdate
from llmgw.model import JSON
from llmgw.splice import KEEP, Kept
from llmgw_dialects.failures import loaded
from llmgw_dialects.openai_responses import errors
from llmgw_dialects.openai_responses.building import Built, Payload
from llmgw_dialects.openai_responses.emitting import Emitter
from llmgw_dialects.openai_responses.grammar import LAST
from llmgw_dialects.openai_responses.names import NAME, dict_of, list_of, text_of
from llmgw_dialects.openai_responses.repeats import note, says_otherwise
from llmgw_dialects.openai_responses.usage import write_usage
from llmgw_dialects.writing import StreamWriter

_NUMBER: Final = re.compile(rb'"sequence_number"\s*:\s*(\d+)')


@define(eq=False)
class ResponsesStreamWriter(StreamWriter):
    """Writes a stream of events."""

    name: ClassVar[str] = NAME
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    emitter: Emitter = field(init=False)
    _number: int = -1
    """Of the last event that was sent."""

    _seen: int = -1
    _gaps: bool = False
    """Whether the provider's numbers have gaps: events may have been left out."""

    _edited: bool = False
    _created: bool = False
    _places: dict[int, int] = field(factory=dict)
    """Where the provider's items stand in what the client gets."""

    _first: bytes = b""
    _relayed: bytes = b""
    """The first and the last of what was relayed without being read."""

    def __attrs_post_init__(self) -> None:
        self.emitter = Emitter(self.request)

    def feed(self, event: Event) -> bytes:
        """What the client gets for this event."""
        if isinstance(event, Raw) and event.pristine and event.frame is not None and self._relays():
            self._first = self._first or event.frame.data
            self._relayed = event.frame.data
        return super().feed(event)

    def idle(self) -> bytes:
        """What keeps the connection alive: an event, for some clients count those."""
        if not self._begun():
            return self.keep_alive
        number = max(self._number, self._last_relayed(), 0)  # not a new one: what the provider counts would no longer follow
        if self._edited:
            number = self._count()
        return _framed({"type": "response.in_progress", "response": self.emitter.created()}, number)

    def _relays(self) -> bool:
        """Nobody reads, as long as there was no event but such."""
        return self.emitter.start is None and not self._edited

    def _begun(self) -> bool:
        """Whether the client has got the response's id."""
        if not self._created and self._first:
            for frame in sse.frames(self._first):
                tree = loaded(sse.parse(frame)[1] or b"")
                if isinstance(tree, dict) and tree.get("response"):
                    self.emitter.base = dict_of(tree, "response")
                    self._created = True
                    break
        return self._created

    # ---- frames of a provider of this dialect ---------------------------------------------------

    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        tree = frame.tree
        if not isinstance(tree, dict):
            return frame.data
        self._follow(tree)
        kind, place = text_of(tree, "type"), self._place(tree)
        if kind in LAST:
            return self._last(frame, group) if self._is_stale(tree) else self._copied_last(frame, group)
        built = self.emitter.at(place)
        if (built is not None and built.dirty) or (self._gaps and says_otherwise(tree, built, group)):
            return self._changed(frame, group)
        self._begin(tree, group)
        made = [payload for event in group for payload in self.emitter.feed(event, place)]
        note(self.emitter, tree, place)
        before = self._written(self._others(made)) if self._edited else b""
        return before + self._as_it_came(frame)

    def _others(self, payloads: list[Payload]) -> list[Payload]:
        """What ends items that are not the provider's: its own frames end its own."""
        return [one for one in payloads if one.get("output_index", -1) not in (-1, *self._places.values())]

    def _copied_last(self, frame: Frame, group: list[Event]) -> bytes:
        for event in group:
            self.emitter.feed(event)
        return self._as_it_came(frame)

    def _rebuilt(self, frame: Frame, group: list[Event]) -> bytes:
        tree = frame.tree
        if not isinstance(tree, dict):
            return b"".join(self._alone(event) for event in group)
        if self._told is not frame:
            self._follow(tree)
        if text_of(tree, "type") in LAST:
            return self._last(frame, group)
        return self._changed(frame, group)

    def _changed(self, frame: Frame, group: list[Event]) -> bytes:
        """What is left of a frame about an item that is no longer the provider's."""
        tree: dict[str, Any] = frame.tree
        self._edited = True
        self._begin(tree, group)
        place = self._place(tree)
        if place is None:
            return b"" if self._told is frame else self._as_it_came(frame)
        out: list[Payload] = []
        for event in group:
            if isinstance(event, Raw | Progress):
                out += self._repeated(tree, place)
            else:
                out += self.emitter.feed(event, place)
        built = self.emitter.at(place)
        if built is not None:
            built.dirty = True
        return self._written(_counted(out, group))

    def _repeated(self, tree: dict[str, Any], place: int) -> list[Payload]:
        """What a frame without events says of an item that was changed."""
        item, built = dict_of(tree, "item"), self.emitter.at(place)
        match text_of(tree, "type"):
            case "response.output_item.added":
                made = self.emitter.foresee(item, place)
                if made is not None:
                    made.announced = True
                    return [{**_unnumbered(tree), "output_index": place}]
            case "response.output_item.done" if built is not None and not built.closed:
                return self.emitter.close(built, item)
            case _:
                pass
        return []

    def _begin(self, tree: dict[str, Any], group: list[Event]) -> None:
        """Remember the response as the provider announced it."""
        for event in group:
            if isinstance(event, ResponseStart):
                self.emitter.feed(event)
                self.emitter.base = dict_of(tree, "response") or None
                self._created = True
                if not event.pristine:
                    self._rename(event, dict_of(tree, "response"))

    def _rename(self, event: ResponseStart, response: dict[str, Any]) -> None:
        changed = (event.id, event.model) != (response.get("id"), response.get("model"))
        self.emitter.named = self.emitter.named or changed

    def _place(self, tree: dict[str, Any]) -> int | None:
        """Where the item that a frame is about stands for the client."""
        at = tree.get("output_index")
        if not isinstance(at, int):
            return None
        if at not in self._places:
            self._places[at] = at if at >= self.emitter.next else self.emitter.next
        return self._places[at]

    def _follow(self, tree: dict[str, Any]) -> None:
        number = tree.get("sequence_number")
        self._gaps |= not isinstance(number, int) or (self._seen >= 0 and number != self._seen + 1)
        self._seen = number if isinstance(number, int) else self._seen

    def _as_it_came(self, frame: Frame) -> bytes:
        """The frame, with another number and place where those before it have changed."""
        tree: dict[str, Any] = frame.tree
        changes: dict[str, Any] = {}
        number, at = tree.get("sequence_number"), tree.get("output_index")
        if isinstance(number, int):
            if self._edited and number != self._number + 1:
                number = changes["sequence_number"] = self._number + 1
            self._number = number
        if isinstance(at, int) and self._places.get(at, at) != at:
            changes["output_index"] = self._places[at]
        if self.emitter.named and isinstance(tree.get("response"), dict):
            changes["response"] = splice.merged(tree["response"], self._names())
        return frame.data if not changes else self._spliced(frame, changes, text_of(tree, "type"))

    def _names(self) -> dict[str, JSON]:
        created = self.emitter.created()
        return {"id": created["id"], "model": created["model"]}

    def _spliced(self, frame: Frame, changes: dict[str, Any], kind: str) -> bytes:
        _, data = sse.parse(frame.data)
        assert data is not None
        return _framed_text(kind, splice.splice(data, splice.merged(frame.tree, changes)))

    # ---- the last frame -------------------------------------------------------------------------

    def _is_stale(self, tree: dict[str, Any]) -> bool:
        """Whether the last frame is no longer true."""
        items = self.emitter.items
        if self._edited or any(item.dirty for item in items) or self.emitter.named:
            return True
        return self._gaps and len(list_of(tree.get("response"), "output")) > len(items)

    def _last(self, frame: Frame, group: list[Event]) -> bytes:
        """The response, put together from the provider's and what was changed."""
        tree: dict[str, Any] = frame.tree
        self._begin(tree, group)
        self._edited = True
        out = [payload for event in group for payload in self.emitter.feed(event)]
        if not any(isinstance(event, ResponseEnd) for event in group):
            return self._written(out)
        out += self.emitter.finish()
        response = self._response(dict_of(tree, "response"), group)
        kind = text_of(tree, "type")
        if any(isinstance(event, Stop) and not event.pristine for event in group):
            kind = self.emitter.ending().event
        before = self._written(out)
        changes = {"type": kind, "sequence_number": self._count(), "response": response}
        return before + self._spliced(frame, changes, kind)

    def _response(self, told: dict[str, Any], group: list[Event]) -> Any:
        """A template for the last frame's response."""
        mine = self.emitter.response()
        changes: dict[str, Any] = {"output": self._output(list_of(told, "output"))}
        if self.emitter.named:
            changes |= self._names()
        if any(isinstance(event, UsageUpdate) and not event.pristine for event in group) or not told.get("usage"):
            changes["usage"] = write_usage(self.emitter.usage)
        if any(isinstance(event, Stop) and not event.pristine for event in group):
            changes |= {key: mine[key] for key in ("status", "error", "incomplete_details") if mine[key] != told.get(key)}
        return splice.merged(told, changes)

    def _output(self, told: list[Any]) -> Any:
        items = sorted(self.emitter.items, key=lambda item: item.at)
        out: list[Any] = []
        for item in items:
            at = self._kept_at(item, told)
            if at is None:
                out.append(item.last() if item.dirty or item.final is None else item.final)
            else:
                out.append(KEEP if at == len(out) and len(items) == len(told) else Kept(("response", "output", at)))
        return out

    def _kept_at(self, item: Built, told: list[Any]) -> int | None:
        """Where the provider repeats an item that is as it was."""
        if item.dirty:
            return None
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in told]
        if item.id in ids:
            return ids.index(item.id)
        at = next((at for at, place in self._places.items() if place == item.at), len(told))
        same = at < len(told) and isinstance(told[at], dict) and told[at].get("type") == item.item("completed").get("type")
        return at if same else None

    # ---- events of other dialects, or of nobody's -----------------------------------------------

    def _foreign(self, event: Event) -> bytes:
        match event:
            case ResponseStart():
                return self._started(event)
            case ResponseEnd():
                self.emitter.feed(event)
                return self._written(self.emitter.finish()) + self._written([self._end()])
            case Error() | Raw() | Progress():
                return self._alone(event)
            case _:
                self._edited = True
                out = self.emitter.feed(event)
                built = self.emitter.built(getattr(event, "index", -1))
                if built is not None:
                    built.dirty = True
                return self._written(out)

    def _started(self, event: ResponseStart) -> bytes:
        self._edited = self._created = True
        self.emitter.feed(event)
        tree = event.frame.tree if event.frame is not None and event.frame.dialect == NAME else None
        if isinstance(tree, dict) and isinstance(tree.get("output"), list):  # a whole body
            self.emitter.base, self.emitter.named = tree, True
        created = self.emitter.created()
        return self._written([{"type": f"response.{what}", "response": created} for what in ("created", "in_progress")])

    def _end(self) -> Payload:
        return {"type": self.emitter.ending().event, "response": self.emitter.response()}

    def _alone(self, event: Event) -> bytes:
        """An event that is a frame in itself."""
        match event:
            case Error(error=error):
                begun = self._begun()
                self._number = max(self._number, self._last_relayed())
                if begun:
                    return self._written([{"type": "response.failed", "response": self.emitter.failed(error)}])
                return self._written([errors.event(error)])
            case Raw() if event.pristine and event.frame is not None and event.frame.dialect == NAME:
                return event.frame.data
            case Raw() if event.dialect == NAME and isinstance(event.payload, dict):
                return self._written([_unnumbered(event.payload)])
            case Progress():
                return self.idle()
            case _:
                return b""

    def _written(self, payloads: list[Payload]) -> bytes:
        return b"".join(_framed(payload, self._count()) for payload in payloads)

    def _count(self) -> int:
        self._number += 1
        return self._number

    def _last_relayed(self) -> int:
        found = _NUMBER.findall(self._relayed)
        return int(found[-1]) if found else -1


def _counted(payloads: list[Payload], group: list[Event]) -> list[Payload]:
    """With what the tokens were worth, which stands in the very event that tells them."""
    values = [one for event in group if isinstance(event, BlockMeta) and event.what == "logprobs" for one in event.value]
    if values and payloads and "logprobs" in payloads[0]:
        payloads[0]["logprobs"] = values
    return payloads


def _unnumbered(tree: dict[str, Any]) -> Payload:
    return {key: value for key, value in tree.items() if key != "sequence_number"}


def _framed(payload: Payload, number: int) -> bytes:
    kind = str(payload["type"])
    return _framed_text(kind, jsons.dumps({"type": kind, "sequence_number": number, **payload}))


def _framed_text(kind: str, data: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
