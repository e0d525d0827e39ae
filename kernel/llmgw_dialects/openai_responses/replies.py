"""A provider's JSON becomes events: frame after frame of a stream, or a whole response.

Rules that hold here (each has a test named after it):

- Items are told apart by their ``output_index``: some providers change the ids of items from frame to frame.
- What a frame says that is *done* is the truth; what of it was not streamed before is told then, and so are items that stand
  nowhere but in the last frame.
- Items of OpenAI's own tools, and those of a type we do not know, become a block once they are done, with all that they hold.
- The terminal frame tells usage, then the stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from attrs import define, field

from llmgw.events import Event, Progress, ResponseEnd, ResponseStart, Stop, UsageUpdate
from llmgw_dialects.openai_responses.grammar import LAST
from llmgw_dialects.openai_responses.names import BY_CALL, dict_of, is_local, list_of, text_of
from llmgw_dialects.openai_responses.outputs import CallReader, ItemReader, MessageReader, ThingReader, ThoughtReader
from llmgw_dialects.openai_responses.stops import read_stop
from llmgw_dialects.openai_responses.usage import read_usage

_BEGINNING: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


@define(eq=False)
class ResponseReader:
    """Reads the frames of one response, in their order.

    Args:
        whole: the one frame is a whole body.
    """

    whole: bool = False
    started: bool = False
    _items: dict[int, ItemReader] = field(factory=dict)
    _blocks: Iterator[int] = field(factory=count)
    _messages: Iterator[int] = field(factory=count)
    _ended: bool = False

    @property
    def complete(self) -> bool:
        """Whether the last frame has come."""
        return self._ended

    @property
    def empty(self) -> bool:
        """Whether nothing has come that could be a response."""
        return not self.started

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What one frame, or a whole body, says; nothing if it says nothing new."""
        if self.whole:
            return [*self._start(tree), *self._output(tree), *self._end(tree)]
        kind = text_of(tree, "type") or name
        if kind in _BEGINNING:
            return self._start(dict_of(tree, "response")) or [Progress(kind=_progress(kind))]
        if kind in LAST:
            response = dict_of(tree, "response")
            events = [*self._start(response), *self._output(response), *self._end(response)]
            return [*events, ResponseEnd(status=text_of(response, "status") or None)]
        if "output_index" not in tree and "item_id" not in tree:
            return []
        return [*self._start({}), *self._item(tree, kind)]

    def finish(self) -> list[Event]:
        """Nothing: the last frame has closed what was open."""
        return []

    def _start(self, response: dict[str, Any]) -> list[Event]:
        if self.started:
            return []
        self.started = True
        created = response.get("created_at")
        return [
            ResponseStart(
                id=text_of(response, "id") or None,
                model=text_of(response, "model") or None,
                created=int(created) if isinstance(created, (int, float)) else None,
            )
        ]

    def _item(self, tree: dict[str, Any], kind: str) -> list[Event]:
        """A frame about one item."""
        at = tree.get("output_index")
        given = dict_of(tree, "item")
        if not isinstance(at, int):
            at = self._named(text_of(tree, "item_id") or text_of(given, "id"))
        reader = self._items.get(at)
        if kind == "response.output_item.added" and (reader is None or reader.closed):
            reader = self._items[at] = self._reader(given)
            return list(reader.begin(given))
        if reader is None:
            reader = self._items[at] = self._reader(given or {"type": _guessed(kind), "id": text_of(tree, "item_id")})
        if kind == "response.output_item.done":
            return list(reader.done(given))
        return list(reader.more(kind, tree))

    def _reader(self, item: dict[str, Any]) -> ItemReader:
        kind = text_of(item, "type")
        if kind == "message" and item.get("role") in (None, "assistant"):
            return MessageReader(self._blocks, group=next(self._messages))
        if kind == "reasoning":
            return ThoughtReader(self._blocks)
        if kind in _CALLS or (kind in BY_CALL and is_local(item)):
            return CallReader(self._blocks)
        return ThingReader(self._blocks)

    def _named(self, ident: str) -> int:
        """The place of an item of which only the id is told."""
        known = (at for at, reader in self._items.items() if ident and reader.id == ident)
        return next(known, max(self._items, default=-1) + (1 if ident else 0))

    def _output(self, response: dict[str, Any]) -> list[Event]:
        """Items that came in no frame of their own, and the ends of those that are still open."""
        events: list[Event] = []
        streamed = dict(self._items)
        for at, item in enumerate(list_of(response, "output")):
            if not isinstance(item, dict):
                continue
            reader = self._known(item, at, streamed)
            if reader is None:
                place = at if at not in self._items else max(self._items) + 1
                reader = self._items[place] = self._reader(item)
            if not reader.closed:
                events += reader.done(item)
        for reader in self._items.values():
            events += reader.close()
        return events

    def _known(self, item: dict[str, Any], at: int, streamed: dict[int, ItemReader]) -> ItemReader | None:
        """The item that was streamed as this one."""
        ids = {text_of(item, "id"), text_of(item, "call_id")} - {""}
        named = next((reader for reader in streamed.values() if ids & {reader.id, reader.call_id}), None)
        if named is not None:
            return named
        there = streamed.get(at)
        return there if there is not None and there.type == text_of(item, "type") else None

    def _end(self, response: dict[str, Any]) -> list[Event]:
        self._ended = True
        usage = read_usage(response.get("usage"))
        readers = self._items.values()
        stop = read_stop(
            response,
            called=any(isinstance(reader, CallReader) for reader in readers),
            refused=any(isinstance(reader, MessageReader) and reader.refused for reader in readers),
        )
        return [*([UsageUpdate(usage=usage)] if usage is not None else []), Stop(reason=stop)]


def _progress(kind: str) -> Any:
    return "queued" if kind == "response.queued" else "in_progress"


def _guessed(kind: str) -> str:
    """The type of an item that was not announced, from what is said of it."""
    if "reasoning" in kind:
        return "reasoning"
    if "function_call_arguments" in kind:
        return "function_call"
    if "custom_tool_call_input" in kind:
        return "custom_tool_call"
    return "message" if "output_text" in kind or "content_part" in kind or "refusal" in kind else ""
