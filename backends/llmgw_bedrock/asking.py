"""Requests in the terms of Converse, Bedrock's own API for models of every vendor (AWS, "Converse"), made from Anthropic's."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from llmgw.errors import Unsupported

_IMAGES: Final = ("png", "jpeg", "gif", "webp")
_DOCUMENTS: Final = {"application/pdf": "pdf", "text/plain": "txt", "text/markdown": "md", "text/html": "html", "text/csv": "csv"}
_LIMITS: Final = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop_sequences": "stopSequences"}
_DROPPED: Final = {
    "top_k": "top_k", "metadata": "end_user", "service_tier": "tier", "cache_control": "cache.auto",
    "context_management": "context_management",
}  # fmt: skip
"""Fields without a counterpart that all models would take; by what a loss of them is called."""
_ELSEWHERE: Final = frozenset(
    {"model", "stream", "system", "messages", "tools", "tool_choice", "thinking", "output_config", *_LIMITS, *_DROPPED}
)


@define
class Asking:
    """One request on its way.

    Args:
        dropped: takes what could not be said.
    """

    dropped: dict[str, None] = field(factory=dict)
    _documents: int = 0

    def request(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """The whole request; the model is in the URL.

        Raises:
            Unsupported: something of it cannot be said, and would be another question without.
        """
        self._refuse(tree)
        out: dict[str, Any] = {"messages": [self._turn(turn, f"messages[{n}]") for n, turn in enumerate(tree["messages"])]}
        if system := self._system(tree.get("system")):
            out["system"] = system
        if limits := {name: tree[key] for key, name in _LIMITS.items() if tree.get(key) is not None}:
            out["inferenceConfig"] = limits
        return out | self._tools(tree)

    def _refuse(self, tree: Mapping[str, Any]) -> None:
        for name in tree.keys() - _ELSEWHERE:
            raise _cannot(name)
        self.dropped |= dict.fromkeys(feature for name, feature in _DROPPED.items() if name in tree)
        if isinstance(thinking := tree.get("thinking"), dict) and thinking.get("type") != "disabled":
            self.dropped["reasoning"] = None
        config = tree.get("output_config") or {}
        if config.get("format"):
            raise _cannot("output_config.format")
        if config.get("effort"):
            self.dropped["reasoning.effort"] = None

    def _system(self, system: Any) -> list[dict[str, Any]]:
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system or []
        return [{"text": self._bare(block)["text"]} for block in blocks]

    def _turn(self, turn: Mapping[str, Any], path: str) -> dict[str, Any]:
        content = turn["content"]
        if isinstance(content, str):
            return {"role": turn["role"], "content": [{"text": content}]}
        blocks = [self._block(block, f"{path}.content[{n}]") for n, block in enumerate(content)]
        return {"role": turn["role"], "content": blocks}

    def _block(self, block: Mapping[str, Any], path: str) -> dict[str, Any]:
        kinds: dict[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
            "text": lambda one, _: {"text": one["text"]},
            "image": self._image,
            "document": self._document,
            "tool_use": lambda one, _: {"toolUse": {"toolUseId": one["id"], "name": one["name"], "input": one["input"]}},
            "tool_result": self._result,
            "thinking": lambda one, _: {"reasoningContent": {"reasoningText": _reasoning(one)}},
            "redacted_thinking": lambda one, _: {"reasoningContent": {"redactedContent": one["data"]}},
        }
        made = kinds.get(block["type"])
        if made is None:
            raise _cannot(path)
        return made(self._bare(block), path)

    def _bare(self, block: Mapping[str, Any]) -> Mapping[str, Any]:
        """A block, without a mark of a prompt cache, which few models take."""
        if block.get("cache_control"):
            self.dropped["cache"] = None
        return block

    def _image(self, block: Mapping[str, Any], path: str) -> dict[str, Any]:
        source = block["source"]
        kind = source.get("media_type", "").partition("/")[2]
        if source["type"] != "base64" or kind not in _IMAGES:
            raise _cannot(f"{path}.source")
        return {"image": {"format": kind, "source": {"bytes": source["data"]}}}

    def _document(self, block: Mapping[str, Any], path: str) -> dict[str, Any]:
        source = block["source"]
        kind = _DOCUMENTS.get(source.get("media_type", ""))
        if kind is None or source["type"] not in ("base64", "text"):
            raise _cannot(f"{path}.source")
        data = source["data"] if source["type"] == "base64" else base64.b64encode(source["data"].encode()).decode()
        self._documents += 1  # a name must be there, and another for each
        return {"document": {"format": kind, "name": f"document {self._documents}", "source": {"bytes": data}}}

    def _result(self, block: Mapping[str, Any], path: str) -> dict[str, Any]:
        content = block.get("content") or ""
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        inner = [self._block(one, f"{path}.content[{n}]") for n, one in enumerate(blocks)]
        result: dict[str, Any] = {"toolUseId": block["tool_use_id"], "content": inner}
        return {"toolResult": result | ({"status": "error"} if block.get("is_error") else {})}

    def _tools(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        choice = tree.get("tool_choice") or {}
        tools = [self._tool(tool, f"tools[{n}]") for n, tool in enumerate(tree.get("tools") or ())]
        if choice.get("type") == "none" and not _called(tree):
            return {}  # none that can be called is what was asked for
        if choice.get("type") == "none":
            self.dropped["tool_choice"] = None
        if choice.get("disable_parallel_tool_use"):
            self.dropped["parallel_tools"] = None
        if not tools:
            return {}
        return {"toolConfig": {"tools": tools, **_choice(choice)}}

    def _tool(self, tool: Mapping[str, Any], path: str) -> dict[str, Any]:
        if tool.get("type", "custom") != "custom":
            raise _cannot(path)
        told = self._bare(tool)
        about = {"description": told["description"]} if told.get("description") else {}
        return {"toolSpec": {"name": told["name"], **about, "inputSchema": {"json": told["input_schema"]}}}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    match choice.get("type"):
        case "tool":
            return {"toolChoice": {"tool": {"name": choice["name"]}}}
        case "any" | "auto" as kind:
            return {"toolChoice": {kind: {}}}
        case _:
            return {}


def _called(tree: Mapping[str, Any]) -> bool:
    """Whether there are calls in the history, beside which tools must be listed."""
    lists = [turn["content"] for turn in tree["messages"] if isinstance(turn["content"], list)]
    return any(block["type"] in ("tool_use", "tool_result") for blocks in lists for block in blocks)


def _reasoning(block: Mapping[str, Any]) -> dict[str, Any]:
    signature = block.get("signature")
    return {"text": block["thinking"], **({"signature": signature} if signature else {})}


def _cannot(path: str) -> Unsupported:
    return Unsupported(f"Bedrock's Converse API has nothing for `{path}`: leave it out, or choose another back-end.", param=path)
