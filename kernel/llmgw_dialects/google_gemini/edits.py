"""A request that came in this dialect and was edited: a template that keeps the text of all that was not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from llmgw.model import (
    JSON,
    BuiltinTool,
    FunctionTool,
    Instruction,
    Item,
    Message,
    Node,
    OpaqueItem,
    Part,
    Prompt,
    Tool,
    ToolResult,
    is_clean,
)
from llmgw.splice import KEEP, Kept, Path
from llmgw_dialects.edits import in_place, ours
from llmgw_dialects.google_gemini.calls import write_result
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.names import key_of, like, text_of
from llmgw_dialects.google_gemini.parts import write_part
from llmgw_dialects.google_gemini.settings import write_settings
from llmgw_dialects.google_gemini.signatures import is_sealed
from llmgw_dialects.google_gemini.tools import write_builtin, write_function, write_tools
from llmgw_dialects.google_gemini.turns import write_contents, write_items
from llmgw_dialects.losses import Losses
from llmgw_dialects.patch import patched


class Edits:
    """Writes an edited prompt.

    Args:
        doc: the body.
        before: the prompt as it was read from it.
        losses: takes what Google cannot say.
    """

    def __init__(self, doc: GeminiDoc, before: Prompt, losses: Losses) -> None:
        self.doc = doc
        self.before = before
        self.losses = losses
        self.inner = doc.inner
        self.read = _by_path(before)

    def template(self, prompt: Prompt) -> dict[str, Any]:
        """A template for the request, wherever it stands in its body, that says this prompt."""
        was = like(self.inner, write_settings(self.before, self.inner, Losses("")))
        now = like(self.inner, write_settings(prompt, self.inner, self.losses))
        merged: Any = patched(self.inner, was, now)
        template: dict[str, Any] = dict.fromkeys(self.inner, KEEP) if merged is KEEP else merged
        self._contents(prompt.items, template)
        self._tools(prompt.tools, template)
        return template

    # ---- what is said

    def _contents(self, items: Sequence[Item], out: dict[str, Any]) -> None:
        if is_clean(items, len(self.before.items)) and in_place(items, self.before.items, self.doc):
            return
        system = key_of(self.inner, "systemInstruction")
        leading: list[Instruction] = []
        rest: list[Item] = []
        for item in items:
            if isinstance(item, Instruction) and self._belongs(item, system):
                leading.append(item)
            else:
                rest.append(item)
        self._system(leading, system, out)
        key = key_of(self.inner, "contents")
        contents: list[Any] = []
        for turn, group in groupby(rest, self._turn):
            if turn is None:
                contents += write_contents(list(group), self.losses)
            else:
                made = self._content(list(group), turn)
                there = made == Kept((*self.doc.root, key, len(contents)))
                contents.append(KEEP if there else made)
        out[key] = contents

    def _belongs(self, item: Instruction, system: str) -> bool:
        if ours(item, self.doc):
            return ours(item, self.doc, (*self.doc.root, system))
        return item.leading

    def _turn(self, item: Item) -> Path | None:
        """The content that an item was read from."""
        under = (*self.doc.root, key_of(self.inner, "contents"))
        if not ours(item, self.doc, under) or item.source is None:
            return None
        step = item.source.path[len(under) :][:1]
        return (*under, *(step if step and isinstance(step[0], int) else ()))

    def _system(self, items: list[Instruction], key: str, out: dict[str, Any]) -> None:
        before = [item for item in self.before.items if ours(item, self.doc, (*self.doc.root, key))]
        if is_clean(items, len(before)):
            return
        own = [item for item in items if ours(item, self.doc)]
        if not items:
            out.pop(key, None)
        elif len(own) == len(items) == 1 and isinstance(self.inner.get(key), dict):
            out[key] = self._said(self.inner[key], list(own[0].parts), (*self.doc.root, key), "user")
        else:
            out[key] = write_items(items, self.losses).get("systemInstruction", {"parts": []})

    def _content(self, items: list[Item], path: Path) -> Any:
        """One content, all of whose items stand together."""
        read = [item for item in self.before.items if self._turn(item) == path]
        if is_clean(items, len(read)) and in_place(items, read, self.doc):
            return Kept(path)
        if isinstance(items[0], OpaqueItem):
            return items[0].raw
        nodes: list[Node] = []
        for item in items:
            nodes += [item] if isinstance(item, ToolResult) else list(getattr(item, "parts", ()))
        roles = [item.role for item in items if isinstance(item, Message)]
        return self._said(self._at(path), nodes, path, "model" if "assistant" in roles else "user")

    def _at(self, path: Path) -> Any:
        value = self.doc.tree
        for step in path:
            value = value[step]
        return value

    def _said(self, original: dict[str, Any], nodes: list[Any], path: Path, role: str) -> Any:
        key = key_of(original, "parts")
        template: dict[str, Any] = {name: Kept((*path, name)) for name in original}
        was = next((item for item in self.before.items if item.source is not None and item.source.path == path), None)
        if isinstance(was, Message) and ("model" if was.role == "assistant" else "user") != role:
            template["role"] = role
        if not isinstance(original.get(key), list):
            template[key] = self._one(nodes, (*path, key))
            return template
        made = [self._node(node) for node in nodes]
        template[key] = [part for part in made if part is not None]
        return template

    def _node(self, node: Any) -> Any:
        """The template of one part or result."""
        if not ours(node, self.doc):
            return self._written(node)
        path = node.source.path
        if node.clean:
            return Kept(path)
        return patched(node.source.value, self._written(self.read[path]), self._written(node), path)

    def _one(self, nodes: list[Any], path: Path) -> Any:
        """Parts that are no list: one alone."""
        if len(nodes) == 1 and ours(nodes[0], self.doc, path):
            return self._node(nodes[0])
        return [made for node in nodes if (made := self._node(node)) is not None]

    def _written(self, node: Any) -> JSON:
        """A part or a result, spelt as its original is; for one that was not touched, what stands there."""
        original = node.source.value if ours(node, self.doc) else {}
        first = node is self.read.get(node.source.path) if node.source is not None else False
        losses = Losses("") if first else self.losses
        if isinstance(node, ToolResult):
            return like(original, write_result(node, losses))
        written: Any = write_part(node, losses) if node.source is not None or not _is_thought(node) else None
        if isinstance(written, dict) and first and is_sealed(original):
            written["thoughtSignature"] = text_of(original, "thoughtSignature")
        return like(original, written)

    # ---- tools

    def _tools(self, tools: Sequence[Tool], out: dict[str, Any]) -> None:
        if is_clean(tools, len(self.before.tools)) and in_place(tools, self.before.tools, self.doc):
            return
        key = key_of(self.inner, "tools")
        under = (*self.doc.root, key)
        given = self.inner.get(key)
        listed = given if isinstance(given, list) else [] if given is None else [given]
        entries: list[Any] = []
        for n, original in enumerate(listed):
            path = (*under, n) if isinstance(given, list) else under
            made = self._entry(original, path, [tool for tool in tools if ours(tool, self.doc, path)])
            if made:
                entries.append(made)
        new = tuple(tool for tool in tools if not ours(tool, self.doc, under))
        entries += write_tools(new, self.losses)
        if entries:
            out[key] = entries[0] if isinstance(given, dict) and len(entries) == 1 else entries
        else:
            out.pop(key, None)

    def _entry(self, original: dict[str, Any], path: Path, tools: list[Tool]) -> dict[str, Any]:
        template: dict[str, Any] = {}
        for key, value in original.items():
            here = (*path, key)
            own = [tool for tool in tools if ours(tool, self.doc, here)]
            if value is None:
                template[key] = Kept(here)
            elif own and own[0].source is not None and own[0].source.path == here:
                template[key] = self._tool(own[0])
            elif own:
                template[key] = [self._tool(tool) for tool in own]
        return template

    def _tool(self, tool: Tool) -> Any:
        assert tool.source is not None
        path = tool.source.path
        if tool.clean:
            return Kept(path)
        was, now = self._declared(self.read[path], Losses("")), self._declared(tool, self.losses)
        return patched(tool.source.value, like(tool.source.value, was), like(tool.source.value, now), path)

    @staticmethod
    def _declared(tool: Any, losses: Losses) -> JSON:
        match tool:
            case FunctionTool():
                return write_function(tool, losses)
            case BuiltinTool():
                written = write_builtin(tool, losses)
                return None if written is None else next(iter(written.values()))
            case _:
                return getattr(tool, "config", None)


def _is_thought(node: Any) -> bool:
    """Whether it is another provider's thought, taken out of a signature: there is no place for it of its own."""
    return type(node).__name__ == "Reasoning"


def _by_path(prompt: Prompt) -> dict[Path, Any]:
    """What was read, by where it stood: parts, results and tools."""
    nodes: list[Part | Item | Tool] = [*prompt.tools]
    for item in prompt.items:
        nodes += [item] if isinstance(item, ToolResult) else list(getattr(item, "parts", ()))
    return {node.source.path: node for node in nodes if node.source is not None}
