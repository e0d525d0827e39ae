"""A request's system instruction and contents become the items of a conversation."""

from __future__ import annotations

from typing import Any

from llmgw.errors import InvalidField
from llmgw.model import Instruction, Item, Message, OpaqueItem, Part, Reasoning, Text, ToolCall, sourced
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, spelled
from llmgw_dialects.google_gemini.calls import Open, read_result
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.names import NAME, has, key_of
from llmgw_dialects.google_gemini.parts import read_parts
from llmgw_dialects.google_gemini.signatures import is_sealed
from llmgw_dialects.google_gemini.typed import listed, opt_string


def read_items(doc: GeminiDoc) -> tuple[Item, ...]:
    """Read all that is said.

    Raises:
        InvalidField: a field we know is of a type that it cannot have.
    """
    waiting = Open()
    items = list(_system(doc))
    leading = True
    for turn, (path, content) in enumerate(listed(doc.inner, "contents", doc.root)):
        read = _Turn(doc, path, content, turn, waiting).read(leading)
        leading = leading and all(isinstance(item, Instruction) for item in read)
        items += read
    return tuple(items)


def check_contents(inner: dict[str, Any], path: Path) -> None:
    """Refuse a request that says nothing.

    Raises:
        InvalidField: there are no contents, or they are no objects.
    """
    if not listed(inner, "contents", path):
        where = spelled((*path, "contents"))
        raise InvalidField(f"'{where}' must hold at least one content, as {{'parts': [{{'text': …}}]}}.", param=where)


def _system(doc: GeminiDoc) -> list[Item]:
    key = key_of(doc.inner, "systemInstruction")
    value, path = doc.inner.get(key), (*doc.root, key)
    if value is None:
        return []
    if isinstance(value, str):
        return [sourced(Instruction(parts=(sourced(Text(value), doc, path, value),)), doc, path, value)]
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    parts = [part for at, entry in listed(value, "parts", path) for part in read_parts(entry, doc, at, "")]
    return [sourced(Instruction(parts=tuple(parts)), doc, path, value)]


class _Turn:
    """Reads one content: what it says, and apart from that what its functions gave."""

    def __init__(self, doc: GeminiDoc, path: Path, content: dict[str, Any], turn: int, waiting: Open) -> None:
        self.doc = doc
        self.path = path
        self.content = content
        self.turn = turn
        self.waiting = waiting
        self.role = opt_string(content, "role", path) or "user"
        self.said: list[Part] = []
        self.sealed = False
        self.items: list[Item] = []

    def read(self, leading: bool) -> list[Item]:
        if self.role not in ("user", "model", "function", "system"):
            item = OpaqueItem(dialect=NAME, type=self.role, raw=self.content, turn=self.turn)
            return [sourced(item, self.doc, self.path, self.content)]
        for path, value in listed(self.content, "parts", self.path):
            if has(value, "functionResponse"):
                self.close()
                result = read_result(value, path, self.turn, self.waiting)
                self.items.append(sourced(result, self.doc, path, value))
            else:
                self.say(value, path)
        self.close(leading, last=not self.items)
        return self.items

    def say(self, value: dict[str, Any], path: Path) -> None:
        shown = "".join("".join(part.summary) for part in self.said if isinstance(part, Reasoning))
        parts = read_parts(value, self.doc, path, shown)
        self.sealed = self.sealed or is_sealed(value)
        for part in parts:
            if isinstance(part, ToolCall):
                self.waiting.called(part)
        self.said += parts

    def close(self, leading: bool = False, *, last: bool = False) -> None:
        """What was said so far is an item; a content that holds nothing is one too."""
        if not self.said and not last:
            return
        item: Item
        if self.role == "system":
            item = Instruction(parts=tuple(self.said), leading=leading, turn=self.turn)
        else:
            item = Message(role="assistant" if self.role == "model" else "user", parts=tuple(self.said), turn=self.turn)
        item = sourced(item, self.doc, self.path, self.content)
        if self.sealed:
            object.__setattr__(item, "clean", False)
        self.items.append(item)
        self.said = []
