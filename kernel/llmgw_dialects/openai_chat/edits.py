"""A request that came in this dialect and was edited: a template that keeps the text of all that was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgw.model import JSON, FunctionTool, Item, Part, Prompt, RawDoc, Text, Tool, is_clean
from llmgw.splice import KEEP, Kept, Path
from llmgw_dialects.edits import Read, Write, entries, entry, in_place, ours
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.history import read_call, write_call
from llmgw_dialects.openai_chat.messages import of_slot, read_message, write_content, write_flat, write_items
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.parts import read_part, write_part
from llmgw_dialects.openai_chat.settings import write_settings
from llmgw_dialects.openai_chat.tools import read_function, read_tool, write_choice, write_function, write_tool
from llmgw_dialects.patch import patched


class Edits:
    """Writes an edited prompt.

    Args:
        doc: the body.
        before: the prompt as it was read from it.
        losses: takes what Chat cannot say.
    """

    def __init__(self, doc: RawDoc, before: Prompt, losses: Losses) -> None:
        self.doc = doc
        self.before = before
        self.losses = losses
        self.tree: dict[str, Any] = doc.tree

    def template(self, prompt: Prompt) -> dict[str, Any]:
        """A template for the body that says this prompt."""
        was, now = self._settings(self.before, Losses(NAME)), self._settings(prompt, self.losses)
        template: Any = patched(self.tree, was, now)
        out: dict[str, Any] = dict.fromkeys(self.tree, KEEP) if template is KEEP else template
        out["messages"] = self._messages(prompt.items)
        self._tools(prompt.tools, out)
        return out

    def _settings(self, prompt: Prompt, losses: Losses) -> dict[str, JSON]:
        legacy = "functions" in self.tree and "tools" not in self.tree
        return {**write_settings(prompt, self.tree, losses), **write_choice(prompt.tool_choice, legacy, losses)}

    # ---- messages

    def _messages(self, items: Sequence[Item]) -> Any:
        if is_clean(items, len(self.before.items)) and in_place(items, self.before.items, self.doc):
            return KEEP
        out: list[Any] = []
        for item in items:
            path: Path = ("messages", len(out))
            if ours(item, self.doc, ("messages",)):
                out.append(self._message(item, path))
            else:
                out += write_items([item], self.losses)
        return out

    def _message(self, item: Item, path: Path) -> Any:
        assert item.source is not None
        moved = None if item.source.path == path else item.source.path
        if item.clean:
            return KEEP if moved is None else Kept(moved)
        original = item.source.value
        before = read_message(original, self.doc, item.source.path, getattr(item, "call_id", ""))
        was, now = write_flat(before, original, Losses(NAME)), write_flat(item, original, self.losses)
        template = patched(original, was, now, moved)
        if not isinstance(template, dict):  # only content or calls were changed, or nothing
            template = {key: KEEP if moved is None else Kept((*moved, key)) for key in original}
        self._content(original, before, item, path, template)
        self._calls(original, before, item, path, template)
        return template

    def _content(self, original: dict[str, Any], before: Item, item: Item, path: Path, template: dict[str, Any]) -> None:
        old, new = (of_slot(getattr(one, "parts", ()), "content") for one in (before, item))
        if old == new and is_clean(new, len(old)):
            return
        given = original.get("content")
        if isinstance(given, list):
            template["content"] = entries(
                new, self.doc, (*path, "content"), read_part, lambda part: write_part(part, self.losses)
            )
        elif old != new:
            template["content"] = self._plain(given, new)

    def _plain(self, given: JSON, parts: list[Part]) -> JSON:
        if not parts:
            return None if given is None else ""
        if isinstance(given, str) and len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
            return parts[0].text
        return write_content(parts, self.losses)

    def _calls(self, original: dict[str, Any], before: Item, item: Item, path: Path, template: dict[str, Any]) -> None:
        old, new = (of_slot(getattr(one, "parts", ()), "tool_calls") for one in (before, item))
        if old == new and is_clean(new, len(old)):
            return
        if new:
            template["tool_calls"] = entries(new, self.doc, (*path, "tool_calls"), read_call, self._call)
        elif original.get("tool_calls"):
            template.pop("tool_calls", None)

    def _part(self, part: Part) -> JSON:
        return write_part(part, self.losses)

    def _call(self, part: Part) -> JSON:
        return write_call(part, self.losses)

    # ---- tools

    def _tools(self, tools: Sequence[Tool], out: dict[str, Any]) -> None:
        if is_clean(tools, len(self.before.tools)) and in_place(tools, self.before.tools, self.doc):
            return
        slots: dict[str, list[Tool]] = {"tools": [], "functions": [], "web_search_options": []}
        for tool in tools:
            own = tool.source is not None and tool.source.doc is self.doc
            slots[str(tool.source.path[0]) if own and tool.source is not None else "tools"].append(tool)
        self._tool_list("functions", slots["functions"], out, read_function, self._function)
        self._tool_list("tools", slots["tools"], out, read_tool, None)
        if not slots["web_search_options"]:
            out.pop("web_search_options", None)
        elif not slots["web_search_options"][0].clean:
            config = getattr(slots["web_search_options"][0], "config", {})
            out["web_search_options"] = patched(self.tree["web_search_options"], self.tree["web_search_options"], config)

    def _tool_list(self, key: str, tools: list[Tool], out: dict[str, Any], read: Read, write: Write | None) -> None:
        if not tools:
            if self.tree.get(key):
                out.pop(key, None)
            return
        written: list[Any] = []
        for tool in tools:
            if write is None and not ours(tool, self.doc, (key,)):
                written += write_tool(tool, self.losses)
            else:
                written.append(entry(tool, self.doc, (key, len(written)), read, write or self._tool))
        out[key] = written

    def _tool(self, tool: Tool) -> JSON:
        written = write_tool(tool, self.losses)
        return written[0] if written else None

    def _function(self, tool: Tool) -> JSON:
        return write_function(tool) if isinstance(tool, FunctionTool) else self._tool(tool)
