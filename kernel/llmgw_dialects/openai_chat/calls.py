"""The tool calls of one choice, read fragment by fragment.

Providers number fragments as they like: all calls at index 0, a new id at the same index, no index, no id, the id and the
name in each fragment, the arguments as an object. The rules:

- A fragment belongs to the last call at its index; without an index its position in the list counts.
- Another non-empty id at the same index begins a new call. Where there are no ids, another name does, and so does the same
  name again once the arguments so far are whole.
- Of the names the first non-empty one counts; a call is not told before it has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field

from llmgw import jsons
from llmgw.events import BlockDelta, BlockKind, BlockMeta, BlockStart, BlockStop, Channel, Event
from llmgw.model import Carrier
from llmgw_dialects.ids import minted


@define(eq=False)
class _Call:
    index: int | None
    id: str
    custom: bool = False
    legacy: bool = False
    name: str = ""
    block: int = -1
    text: list[str] = field(factory=list)
    waiting: list[str] = field(factory=list)
    signature: str = ""
    closed: bool = False


@define(eq=False)
class CallReader:
    """Reads the tool calls of one choice.

    Args:
        choice: its index.
        salt: makes the ids of calls that came without one differ from reply to reply.
        blocks: the indices of the choice's blocks.
    """

    choice: int
    salt: str
    _blocks: Iterator[int]
    _calls: list[_Call] = field(factory=list)
    _at: dict[int, _Call] = field(factory=dict)

    @property
    def seen(self) -> bool:
        """Whether there were calls."""
        return bool(self._calls)

    @property
    def last(self) -> int | None:
        """The block of the last call, if it may still grow."""
        call = self._calls[-1] if self._calls else None
        return call.block if call is not None and call.block >= 0 and not call.closed else None

    def read(self, entry: dict[str, Any], position: int) -> list[Event]:
        """What one entry of ``tool_calls`` says.

        Args:
            entry: as it came.
            position: in its list.
        """
        inner, custom = _inner(entry)
        fragment = _fragment(inner.get("input" if custom else "arguments"))
        call, events = self._call(entry, position, inner, fragment)
        call.custom = call.custom or custom
        call.name = call.name or _string(inner.get("name"))
        if call.closed:
            return events  # behind the end of its choice; the frame still has it
        if fragment:
            call.text.append(fragment)
            call.waiting.append(fragment)
        call.signature = _signature(entry) or call.signature
        if call.name:
            self._tell(call, events)
        return events

    def close(self) -> list[Event]:
        """The choice is complete: so are its calls."""
        events: list[Event] = []
        for call in self._calls:
            if not call.closed:
                self._tell(call, events)
                events.append(BlockStop(index=call.block, choice=self.choice))
                call.closed = True
        return events

    def _call(self, entry: dict[str, Any], position: int, inner: dict[str, Any], fragment: str) -> tuple[_Call, list[Event]]:
        given = entry.get("index")
        index = given if isinstance(given, int) else position
        call = self._at.get(index)
        if call is not None and not _another(call, _string(entry.get("id")), _string(inner.get("name")), fragment):
            call.id = call.id or _string(entry.get("id"))
            return call, []
        events: list[Event] = []
        if call is not None and not call.closed:
            self._tell(call, events)
            events.append(BlockStop(index=call.block, choice=self.choice))
            call.closed = True
        wire = given if isinstance(given, int) and given >= 0 else None
        call = _Call(index=wire, id=_string(entry.get("id")), legacy=index < 0)
        self._at[index] = call
        self._calls.append(call)
        return call, events

    def _begin(self, call: _Call) -> Event:
        call.block = next(self._blocks)
        ident = call.id or minted("call_", self.salt, self.choice, call.block, call.name)
        meta: dict[str, Any] = {"call_id": ident, "name": call.name}
        if call.index is not None:
            meta["index"] = call.index  # as the provider counts, for frames written anew amid those copied
        if call.legacy:
            meta["legacy"] = True
        kind: BlockKind = "custom_tool_call" if call.custom else "tool_call"
        return BlockStart(index=call.block, choice=self.choice, kind=kind, meta=meta)

    def _tell(self, call: _Call, events: list[Event]) -> None:
        if call.block < 0:
            events.append(self._begin(call))
        channel: Channel = "input" if call.custom else "args"
        deltas = (BlockDelta(index=call.block, choice=self.choice, channel=channel, fragment=text) for text in call.waiting)
        events.extend(deltas)
        call.waiting = []
        if call.signature:
            carrier = Carrier(provider="google", kind="thought_signature", payload=call.signature)
            events.append(BlockMeta(index=call.block, choice=self.choice, what="carrier", value=carrier))
            call.signature = ""


def _another(call: _Call, ident: str, name: str, fragment: str) -> bool:
    """Whether a fragment at this call's index belongs to a new call."""
    if ident and call.id:
        return ident != call.id
    if ident or call.id or not name or not call.name:
        return False
    return name != call.name or bool(fragment and _whole("".join(call.text)))


def _whole(arguments: str) -> bool:
    try:
        return isinstance(jsons.loads(arguments.encode("utf-8", "surrogatepass")), dict)
    except jsons.JsonError:
        return False


def _inner(entry: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The function or custom tool that is called, and whether it is a custom one."""
    custom = entry.get("custom")
    if isinstance(custom, dict) and (entry.get("type") == "custom" or not isinstance(entry.get("function"), dict)):
        return custom, True
    function = entry.get("function")
    return (function, False) if isinstance(function, dict) else ({}, False)


def _fragment(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return jsons.dumps(value).decode()  # arguments as an object


def _signature(entry: dict[str, Any]) -> str:
    match entry.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return ""


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
