"""A request that came in this dialect and was edited: a template that keeps the text of all that was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgw.model import (
    JSON,
    Instruction,
    Item,
    Message,
    OpaqueItem,
    Part,
    Prompt,
    RawDoc,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    is_clean,
)
from llmgw.splice import KEEP, Kept, Path
from llmgw_dialects.edits import entries, entry, in_place, ours
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.calls import failed, read_call, write_call, write_output
from llmgw_dialects.openai_responses.inputs import ItemsWriter, is_words, together, write_state
from llmgw_dialects.openai_responses.items import INSTRUCTIONS, read_content, read_item
from llmgw_dialects.openai_responses.names import NAME, given
from llmgw_dialects.openai_responses.parts import read_part, write_part, write_said
from llmgw_dialects.openai_responses.settings import write_settings
from llmgw_dialects.openai_responses.thoughts import is_foreign, is_native, read_reasoning, rewrite_reasoning
from llmgw_dialects.openai_responses.tools import read_tool, rewrite_tool, write_choice
from llmgw_dialects.patch import patched


class Edits:
    """Writes an edited prompt.

    Args:
        doc: the body.
        before: the prompt as it was read from it.
        losses: takes what Responses cannot say.
    """

    def __init__(self, doc: RawDoc, before: Prompt, losses: Losses) -> None:
        self.doc = doc
        self.before = before
        self.losses = losses
        self.tree: dict[str, Any] = doc.tree
        self.writer = ItemsWriter(losses)

    def template(self, prompt: Prompt) -> dict[str, Any]:
        """A template for the body that says this prompt."""
        was, now = self._settings(self.before, Losses(NAME)), self._settings(prompt, self.losses)
        template: Any = patched(self.tree, was, now)
        out: dict[str, Any] = dict.fromkeys(self.tree, KEEP) if template is KEEP else template
        self._instructions(prompt.items, out)
        self._input([item for item in prompt.items if not self._is_told(item)], out)
        self._tools(prompt.tools, out)
        return out

    def _settings(self, prompt: Prompt, losses: Losses) -> dict[str, JSON]:
        return {**write_settings(prompt, losses, own=True), **write_choice(prompt.tool_choice, losses)}

    # ---- instructions and input

    def _is_told(self, item: Item) -> bool:
        return isinstance(item, Instruction) and item.origin == INSTRUCTIONS

    def _instructions(self, items: Sequence[Item], out: dict[str, Any]) -> None:
        told = [item for item in items if self._is_told(item)]
        if len(told) == 1 and told[0].clean and ours(told[0], self.doc):
            return
        texts = ["".join(part.text for part in getattr(item, "parts", ()) if isinstance(part, Text)) for item in told]
        text = "\n\n".join(texts)
        if told and text != self.tree.get(INSTRUCTIONS):
            out[INSTRUCTIONS] = text
        elif not told and self.tree.get(INSTRUCTIONS) is not None:
            del out[INSTRUCTIONS]

    def _input(self, items: Sequence[Item], out: dict[str, Any]) -> None:
        before = [item for item in self.before.items if not self._is_told(item)]
        if is_clean(items, len(before)) and in_place(items, before, self.doc):
            return
        given_ = self.tree.get("input")
        if isinstance(given_, str) and len(items) == 1 and (text := self._plain(items[0])) is not None:
            if text != given_:
                out["input"] = text
            return
        written: list[Any] = []
        for item in items:
            self._item(item, written)
        out["input"] = written

    def _plain(self, item: Item) -> str | None:
        """The one text of a user's message that is nothing else."""
        if not isinstance(item, Message) or item.role != "user" or not ours(item, self.doc):
            return None
        if not all(isinstance(part, Text) and part.cache is None for part in item.parts):
            return None
        return "".join(part.text for part in item.parts if isinstance(part, Text))

    def _item(self, item: Item, out: list[Any]) -> None:
        """Append what an item is written as."""
        if not ours(item, self.doc, ("input",)) or item.source is None or item.source.path == ("input",):
            out += self.writer.entries(item)
        elif isinstance(item, Message) and item.role == "assistant":
            Run(self, item, out).write()
        else:
            out.append(self._one(item, ("input", len(out))))

    def _one(self, item: Item, path: Path) -> Any:
        assert item.source is not None
        moved = None if item.source.path == path else item.source.path
        if item.clean:
            return KEEP if moved is None else Kept(moved)
        original = item.source.value
        before = read_item(original, self.doc, item.source.path)
        was, now = self._flat(before, Losses(NAME)), self._flat(item, self.losses)
        template = patched(original, was, now, moved)
        slot = "output" if isinstance(item, ToolResult) else "content" if isinstance(item, Message | Instruction) else None
        if slot is None or (isinstance(item, ToolResult) and item.kind == "builtin"):
            return template
        if not isinstance(template, dict):
            template = whole(original, moved)
        parts: list[Part] = list(getattr(item, "parts", ()))
        if getattr(item, "is_error", None) and isinstance(item, ToolResult):
            self.losses.emulated("tool_result.is_error", "text", item)
            parts = failed(parts)
        self.content(original, list(getattr(before, "parts", ())), parts, path, slot, template)
        return template

    def _flat(self, item: Item, losses: Losses) -> dict[str, JSON]:
        """An item but for its list of parts."""
        match item:
            case Message():
                return {"role": item.role, **given(id=item.id, status=item.status)}
            case Instruction():
                return {"role": item.role}
            case ToolResult(kind="builtin"):
                return write_output(item, False, losses)
            case ToolResult():
                return {"call_id": item.call_id, **given(id=item.id)}
            case OpaqueItem(raw=dict(raw)):
                return raw
            case _:
                return write_state(item, losses) or {}

    def content(
        self, original: dict[str, Any], old: list[Part], new: list[Part], path: Path, slot: str, template: dict[str, Any]
    ) -> None:
        """Put the parts of an item into its template.

        Args:
            original: the item.
            old: its parts as they were read.
            new: as they are.
            path: where it goes.
            slot: the key of its parts.
            template: of the item.
        """
        given_ = original.get(slot)
        plain = all(isinstance(part, Text) and part.cache is None for part in new)
        if isinstance(given_, list):
            if not (is_clean(new, len(old)) and in_place(new, old, self.doc)):
                write = self._said if slot == "content" and original.get("role") == "assistant" else self._part
                template[slot] = entries(new, self.doc, (*path, slot), read_part, write)
        elif plain:
            text = "".join(part.text for part in new if isinstance(part, Text))
            if text != (given_ or ""):
                template[slot] = text
        else:
            template[slot] = [made for part in new if (made := self._part(part)) is not None]

    def _said(self, part: Part) -> JSON:
        return write_said(part, self.losses)

    def _part(self, part: Part) -> JSON:
        return write_part(part, self.losses)

    # ---- tools

    def _tools(self, tools: Sequence[Tool], out: dict[str, Any]) -> None:
        if is_clean(tools, len(self.before.tools)) and in_place(tools, self.before.tools, self.doc):
            return
        if not tools:
            if self.tree.get("tools"):
                del out["tools"]
            return
        written: list[Any] = []
        for tool in tools:
            made = self._tool(tool, ("tools", len(written)))
            if made is not None:
                written.append(made)
        out["tools"] = written

    def _tool(self, tool: Tool, path: Path) -> Any:
        original = tool.source.value if tool.source is not None and ours(tool, self.doc, ("tools",)) else None
        return entry(tool, self.doc, path, read_tool, lambda one: rewrite_tool(one, original, self.losses))


class Run:
    """Writes what the model said, in the items that it stood in.

    Args:
        edits: of the whole body.
        item: the run.
        out: takes the templates of its items.
    """

    def __init__(self, edits: Edits, item: Message, out: list[Any]) -> None:
        self.edits = edits
        self.item = item
        self.out = out
        assert item.source is not None
        self.first = int(item.source.path[-1])
        self.values: list[Any] = item.source.value

    def write(self) -> None:
        """Append them."""
        if self.item.clean:
            for place in range(self.first, self.first + len(self.values)):
                self.out.append(KEEP if len(self.out) == place else Kept(("input", place)))
            return
        words: list[Part] = []
        for part in self.item.parts:
            if self._continues(words, part):
                words.append(part)
                continue
            self._message(words)
            words = [part] if self._is_worded(part) else []
            if not words:
                self._part(part)
        self._message(words)

    def _place(self, part: Part) -> int | None:
        """The item that a part was read from."""
        if part.source is None or not ours(part, self.edits.doc, ("input",)):
            return None
        return int(part.source.path[1])

    def _is_worded(self, part: Part) -> bool:
        """Whether a part stands in the content of a message, or would."""
        place = self._place(part)
        if place is None or part.source is None:
            return is_words(part)
        return len(part.source.path) > 2

    def _continues(self, words: list[Part], part: Part) -> bool:
        if not words or not self._is_worded(part):
            return False
        place, last = self._place(part), self._place(words[0])
        if place is None and getattr(part, "group", None) is None:  # put in by a filter
            return True
        return place == last if place is not None or last is not None else together(words, part)

    def _message(self, words: list[Part]) -> None:
        """The message that these stand in."""
        if not words:
            return
        place = self._place(words[0])
        if place is None:
            self.out += self.edits.writer.said(Message(role="assistant", parts=tuple(words), phase=self.item.phase))
            return
        original = self._original(place)
        path: Path = ("input", len(self.out))
        moved: Path | None = None if path[-1] == place else ("input", place)
        old = list(read_content(original, self.edits.doc, ("input", place)))
        template = whole(original, moved)
        phases = {part.phase for part in words if isinstance(part, Text)} - {None}
        if phases and original.get("phase") not in phases:
            template["phase"] = sorted(map(str, phases))[0]
        self.edits.content(original, old, words, path, "content", template)
        self.out.append(template)

    def _part(self, part: Part) -> None:
        """An item that is a part in itself."""
        place = self._place(part)
        if place is None:
            self.out += self.edits.writer.part(part)
            return
        original = self._original(place)
        if isinstance(part, Reasoning) and not part.clean and is_foreign(original) and not is_native(part.carrier):
            self.edits.losses.dropped("reasoning", node=part)
            return
        path: Path = ("input", len(self.out))
        self.out.append(entry(part, self.edits.doc, path, _read, lambda one: self._rewritten(one, original)))

    def _rewritten(self, part: Part, original: JSON) -> JSON:
        losses = self.edits.losses
        match part:
            case Reasoning():
                return rewrite_reasoning(part)
            case ToolCall():
                told = given(id=part.item_id, status=part.status)
                return {**write_call(part, Losses(NAME) if part.source is None else losses), **told}
            case _:
                return getattr(part, "raw", original)

    def _original(self, place: int) -> dict[str, Any]:
        found: dict[str, Any] = self.edits.tree["input"][place]
        return found


def whole(original: dict[str, Any], moved: Path | None) -> dict[str, Any]:
    """A template that keeps all of an object."""
    return {key: KEEP if moved is None else Kept((*moved, key)) for key in original}


def _read(value: JSON, path: Path) -> Any:
    return read_reasoning(value, path) if value.get("type") == "reasoning" else read_call(value, path)
