"""A request that came in this dialect and was edited: a template that keeps the text of all that was not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from llmgw.model import JSON, Instruction, Item, McpServer, Node, Prompt, RawDoc, Text, Tool, ToolResult, is_clean
from llmgw.splice import KEEP, Kept, Path, same
from llmgw_dialects.anthropic_messages.blocks import plain, read_block, read_nodes, write_block, write_blocks
from llmgw_dialects.anthropic_messages.names import NAME
from llmgw_dialects.anthropic_messages.settings import write_settings
from llmgw_dialects.anthropic_messages.thoughts import is_foreign
from llmgw_dialects.anthropic_messages.tools import read_server, read_tool, write_choice, write_server, write_tool
from llmgw_dialects.anthropic_messages.turns import (
    leading,
    leads,
    nodes_of,
    read_turn,
    role_of,
    write_head,
    write_system,
    write_turns,
)
from llmgw_dialects.edits import entry, in_place, ours
from llmgw_dialects.losses import Losses
from llmgw_dialects.patch import patched


class Edits:
    """Writes an edited prompt.

    Args:
        doc: the body.
        before: the prompt as it was read from it.
        losses: takes what Anthropic cannot say.
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
        self._system(leading(prompt.items), out)
        out["messages"] = self._messages([item for item in prompt.items if not leads(item)])
        self._tools(prompt.tools, out)
        return out

    def _settings(self, prompt: Prompt, losses: Losses) -> dict[str, JSON]:
        choice = write_choice(prompt.tool_choice, prompt.parallel_tools, losses, self.tree.get("tool_choice"))
        return {**write_settings(prompt, self.tree, losses), **choice}

    # ---- what was said

    def _system(self, items: Sequence[Instruction], out: dict[str, Any]) -> None:
        before = leading(self.before.items)
        if is_clean(items, len(before)) and in_place(items, before, self.doc):
            return
        given, old, new = self.tree.get("system"), nodes_of(before), nodes_of(items)
        if not new:
            out.pop("system", None)
        elif isinstance(given, list):
            out["system"] = self._entries(new, ("system",))
        elif not (old == new and is_clean(new, len(old)) and in_place(new, old, self.doc)):
            written = write_system(items, self.losses)
            out["system"] = KEEP if isinstance(given, str) and same(given, written) else written

    def _messages(self, items: Sequence[Item]) -> Any:
        before = [item for item in self.before.items if not leads(item)]
        sound = not any(map(is_foreign, nodes_of(items)))
        if sound and is_clean(items, len(before)) and in_place(items, before, self.doc):
            return KEEP
        out: list[Any] = []
        for (turn, _), group in groupby(items, self._place):
            if turn is None:
                out += write_turns(list(group), self.losses)
            elif (made := self._turn(turn, list(group), len(out))) is not None:
                out.append(made)
        return out

    def _place(self, item: Item) -> tuple[int | None, str | None]:
        """The turn that an item stands in, and whose it is: what became another's stands in a turn of its own."""
        if not ours(item, self.doc, ("messages",)) or item.source is None:
            return None, None
        turn = item.source.path[1]
        return (turn if isinstance(turn, int) else None), role_of(item)

    def _turn(self, turn: int, items: list[Item], at: int) -> Any:
        source: Path = ("messages", turn)
        moved = None if turn == at else source
        original: dict[str, Any] = self.tree["messages"][turn]
        before = read_turn(original, self.doc, source)
        old, new = nodes_of(before), self._sound(items)
        whole = is_clean(items, len(before)) and in_place(items, before, self.doc)
        if whole and len(new) == len(old):
            return KEEP if moved is None else Kept(moved)
        if old and not new:
            return None
        was, now = write_head(before), write_head(items)
        template = patched(original, was, now, moved)
        if not isinstance(template, dict):  # only its content was changed
            template = {key: KEEP if moved is None else Kept((*moved, key)) for key in original}
        self._content(original, old, new, ("messages", at), template)
        return template

    def _sound(self, items: Sequence[Item]) -> list[Node]:
        """The nodes of a turn without those that only another provider can read."""
        nodes = nodes_of(items)
        for node in nodes:
            if is_foreign(node):
                self.losses.dropped("reasoning", node=node)
        return [node for node in nodes if not is_foreign(node)]

    def _content(
        self, original: dict[str, Any], old: Sequence[Node], new: Sequence[Node], path: Path, template: dict[str, Any]
    ) -> None:
        """Put the ``content`` of a message, or of a tool's result, into its template.

        Args:
            original: it, as in the body.
            old: its nodes as read.
            new: its nodes now.
            path: where it goes.
            template: takes the content.
        """
        if old == new and is_clean(new, len(old)) and in_place(new, old, self.doc):
            return
        given = original.get("content")
        if isinstance(given, list):
            template["content"] = self._entries(new, (*path, "content"))
        elif old != new or len(new) != 1:
            template["content"] = self._plain(given, new)

    def _plain(self, given: JSON, nodes: Sequence[Node]) -> Any:
        if not nodes:
            return given if given is None else ""
        match nodes:
            case [Text(text=text)] if isinstance(given, str) and text == given and plain([self._block(nodes[0])]) == given:
                return given
            case _:
                return plain(write_blocks(nodes, self.losses))

    def _entries(self, nodes: Sequence[Node], path: Path) -> list[Any]:
        out: list[Any] = []
        for node in nodes:
            made = self._entry(node, (*path, len(out)))
            if made is not None:
                out.append(made)
        return out

    def _entry(self, node: Node, path: Path) -> Any:
        if isinstance(node, ToolResult) and ours(node, self.doc) and not node.clean and node.source is not None:
            return self._result(node, path)
        if isinstance(node, Text) and not node.text and node.source is None:
            return None
        return entry(node, self.doc, path, self._read, self._block)

    def _result(self, item: ToolResult, path: Path) -> Any:
        """A tool's result, whose content is a list of nodes in its turn."""
        assert item.source is not None
        moved = None if item.source.path == path else item.source.path
        original: dict[str, Any] = item.source.value
        before = read_block(original, self.doc, item.source.path)
        assert isinstance(before, ToolResult)
        was, now = (_without_content(write_block(one, Losses(NAME))) for one in (before, item))
        template = patched(original, was, now, moved)
        if not isinstance(template, dict):
            template = {key: KEEP if moved is None else Kept((*moved, key)) for key in original}
        self._content(original, before.parts, item.parts, path, template)
        return template

    def _read(self, value: JSON, path: Path) -> Node:
        nodes = read_nodes(value, self.doc, path) if isinstance(value, str) else [read_block(value, self.doc, path)]
        return nodes[0]

    def _block(self, node: Node) -> JSON:
        return write_block(node, self.losses, own=ours(node, self.doc))

    # ---- tools

    def _tools(self, tools: Sequence[Tool], out: dict[str, Any]) -> None:
        if is_clean(tools, len(self.before.tools)) and in_place(tools, self.before.tools, self.doc):
            return
        servers = [tool for tool in tools if isinstance(tool, McpServer)]
        rest: list[Any] = []
        for tool in tools:
            if ours(tool, self.doc, ("tools",)):
                rest.append(entry(tool, self.doc, ("tools", len(rest)), read_tool, self._tool))
            elif not ours(tool, self.doc, ("mcp_servers",)):
                rest += write_tool(tool, self.losses)
        listed: list[Any] = []
        for server in servers:
            made = entry(server, self.doc, ("mcp_servers", len(listed)), read_server, self._server)
            if made is not None:
                listed.append(made)
        for key, entries in (("tools", [one for one in rest if one is not None]), ("mcp_servers", listed)):
            if entries:
                out[key] = entries
            elif self.tree.get(key):
                out.pop(key, None)

    def _tool(self, tool: Tool) -> JSON:
        written = write_tool(tool, self.losses)
        return written[0] if written else None

    def _server(self, tool: Tool) -> JSON:
        return write_server(tool, self.losses) if isinstance(tool, McpServer) else None


def _without_content(block: JSON) -> JSON:
    return {key: value for key, value in block.items() if key != "content"} if isinstance(block, dict) else block
