"""Providers that are nearly compatible with OpenAI, each as strict as it is where it differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aiohttp import web
from attrs import define

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

KEY = "key-of-a-provider-0123456789"
Check = Callable[[Any], None]

_MISTRAL: Final = frozenset(
    {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "response_format", "tools",
     "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction", "parallel_tool_calls", "prompt_mode",
     "safe_prompt", "prompt_cache_key", "reasoning_effort"}
)  # fmt: skip


def _no(wrong: bool, message: str, status: int = 400) -> None:
    if wrong:
        raise Refused(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})


def _said(tree: Any) -> Iterator[dict[str, Any]]:
    return (one for one in tree["messages"] if one["role"] == "assistant")


def _lists(tree: Any) -> bool:
    lists = (one["content"] for one in tree["messages"] if isinstance(one.get("content"), list))
    return any(all(part["type"] == "text" for part in content) for content in lists)


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node
        for key, value in node.items():  # the names of properties are no keywords
            yield from _keys(list(value.values()) if key == "properties" else value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)


def deepseek(tree: Any) -> None:
    """Thoughts must come back while it thinks; there is no schema, no custom tool, and no effort ``none``."""
    thinks = (tree.get("thinking") or {}).get("type") != "disabled"
    forgotten = thinks and any("reasoning_content" not in one for one in _said(tree))
    _no(forgotten, "The reasoning_content in the thinking mode must be passed back to the API.")
    _no(any(one["type"] != "function" for one in tree.get("tools", ())), "unknown variant, expected `function`")
    _no((tree.get("response_format") or {}).get("type") == "json_schema", "This response_format type is unavailable now")
    _no(tree.get("reasoning_effort") == "none", "unknown variant `none`")
    _no(thinks and tree.get("tool_choice") not in (None, "auto", "none"), "Thinking mode does not support this tool_choice")


def mistral(tree: Any) -> None:
    """What it does not know is refused, and ids have nine characters."""
    extra = sorted(tree.keys() - _MISTRAL)
    calls = [call["id"] for one in _said(tree) for call in one.get("tool_calls") or ()]
    calls += [one["tool_call_id"] for one in tree["messages"] if one["role"] == "tool"]
    schemas = {key for tool in tree.get("tools", ()) for key in _keys(tool)} & {"$schema", "$id", "strict"}
    choice = tree.get("tool_choice", "auto")
    wrong = extra + sorted(schemas) + [one for one in calls if not re.fullmatch(r"[a-zA-Z0-9]{9}", one)]
    if wrong or not (isinstance(choice, dict) or choice in ("auto", "none", "any")):
        told = [{"type": "extra_forbidden", "loc": ["body", one], "msg": "Extra inputs are not permitted"} for one in wrong]
        raise Refused(
            422, {"detail": told or [{"loc": ["body", "tool_choice"], "msg": "Input should be 'auto', 'none' or 'any'"}]}
        )


def moonshot(tree: Any) -> None:
    """A model that thinks has one temperature; no call can be forced; thoughts before calls must come back; texts are texts."""
    _no(tree.get("temperature", 1) != 1, "invalid temperature: only 1 is allowed for this model")
    _no(tree.get("tool_choice") == "required", "tool_choice 'required' is not supported")
    forgotten = any(one.get("tool_calls") and not one.get("reasoning_content") for one in _said(tree))
    _no(forgotten, "thinking is enabled but reasoning_content is missing in assistant tool call message")
    _no(_lists(tree), "text content must be a string")


def groq(tree: Any) -> None:
    """No nulls in an assistant message, and no schema together with tools."""
    _no(any(value is None for one in _said(tree) for key, value in one.items() if key != "content"), "property is null")
    _no("response_format" in tree and "tools" in tree, "json mode cannot be combined with tool/function calling")


def xai(tree: Any) -> None:
    """Its models that think take no stop sequence and no effort; messages have no name."""
    for wrong in ("stop", "frequency_penalty", "presence_penalty"):
        if wrong in tree:
            message = f"Argument not supported on this model: {wrong}"
            raise Refused(400, {"code": "Client specified an invalid argument", "error": message})
    _no("reasoning_effort" in tree, f"Model {tree['model']} does not support parameter reasoningEffort.")
    _no(any("name" in one for one in tree["messages"] if one["role"] != "tool"), "name is not supported")


def nvidia(tree: Any) -> None:
    """No options of streams, and the older limit alone."""
    _no("stream_options" in tree or "max_completion_tokens" in tree, "Extra inputs are not permitted")


def fireworks(tree: Any) -> None:
    """No marks of caches, no files, no schema together with tools, no message fields that it does not know."""
    marks = {"cache_control", "prompt_cache_breakpoint"}
    _no(bool(marks & set(_keys(tree))), "Extra inputs are not permitted, field: 'cache_control'")
    parts = [part for one in tree["messages"] if isinstance(one.get("content"), list) for part in one["content"]]
    _no(any(part["type"] == "file" for part in parts), "file is not supported")
    _no("response_format" in tree and "tools" in tree, "tools and response_format cannot be used together")
    known = {"role", "content", "tool_calls", "tool_call_id", "reasoning_content", "name"}
    _no(any(one.keys() - known for one in tree["messages"]), "Extra inputs are not permitted")


def vllm(tree: Any) -> None:
    """Chat templates that know only strings."""
    _no(_lists(tree), 'can only concatenate str (not "list") to str')


def together(tree: Any) -> None:
    """Thinking is switched off by its own field."""
    _no(tree.get("reasoning_effort") not in (None, "low", "medium", "high"), "Invalid value for reasoning_effort")


def dashscope(tree: Any) -> None:
    """Thinking is a switch."""
    _no("reasoning_effort" in tree, "reasoning_effort is not supported")


def cerebras(tree: Any) -> None:
    """Few parameters."""
    refused = {"frequency_penalty", "presence_penalty", "logit_bias", "n"} & tree.keys()
    _no(bool(refused), f"{refused} is unsupported")


def minimax(tree: Any) -> None:
    """Temperatures above zero, up to one, one answer, and thinking is a switch."""
    _no("reasoning_effort" in tree, "invalid params, reasoning_effort")
    _no(not 0 < tree.get("temperature", 1) <= 1, "invalid params, temperature must be in (0.0, 1.0]")
    _no(tree.get("n", 1) != 1, "invalid params, n must be 1")


CHECKS: Final[Mapping[str, Check]] = {
    "deepseek": deepseek, "mistral": mistral, "moonshot": moonshot, "groq": groq, "xai": xai, "nvidia": nvidia,
    "fireworks": fireworks, "vllm": vllm, "together": together, "dashscope": dashscope, "cerebras": cerebras,
    "kimi-coding": moonshot, "minimax": minimax,
}  # fmt: skip


@define(eq=False)
class FakeCompatible(FakeVendor):
    """One of them.

    Args:
        check: refuses what it refuses.
        key: what it wants to be shown; none for a server on one's own machine.
        says: the answer.
        calls: whether it calls the first tool that it is given.
        thinks: what it thinks before; it is within the text unless ``reasoning_split`` asks for it apart, as at MiniMax.
        lead: what stands before a body or a stream, as keep-alive lines.
        breaks: frames that come instead of the rest of a stream.
    """

    check: Check = lambda tree: None
    key: str | None = KEY
    says: str = "Forty-two"
    calls: bool = False
    thinks: str = ""
    lead: tuple[bytes, ...] = ()
    breaks: tuple[bytes, ...] = ()

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        if self.key is not None and came.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, {"error": {"message": "Authentication Fails (no such user)", "code": "invalid_api_key"}})
        if came.path.endswith("/v1/models") and came.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": "a-model", "object": "model", "owned_by": "them"}]})
        if not came.path.endswith("/v1/chat/completions"):
            raise Refused(404, {"detail": "Not Found"})
        tree = came.json
        self.check(tree)
        return await (self._streamed if tree.get("stream") else self._whole)(tree, request)

    def _call(self, tree: Any) -> list[dict[str, Any]]:
        if not self.calls or not tree.get("tools"):
            return []
        function = {"name": tree["tools"][0]["function"]["name"], "arguments": "{}"}
        return [{"index": 0, "id": "aB3dE6gH9", "type": "function", "function": function}]

    def _says(self, tree: Any) -> list[dict[str, Any]]:
        if not self.thinks:
            return [{"content": self.says}]
        if not tree.get("reasoning_split"):
            return [{"content": f"<think>{self.thinks}</think>{self.says}"}]
        detail = {"type": "reasoning.text", "id": "reasoning-text-1", "format": "MiniMax-response-v1", "index": 0}
        return [{"reasoning_details": [{**detail, "text": self.thinks}]}, {"content": self.says}]

    async def _whole(self, tree: Any, request: web.Request) -> web.StreamResponse:
        calls = self._call(tree)
        message: dict[str, Any] = {"role": "assistant", "content": None, **({"tool_calls": calls} if calls else {})}
        for said in [] if calls else self._says(tree):
            message |= said
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        whole = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": tree["model"],
            "choices": [choice],
            "usage": usage,
        }
        body = b"".join(self.lead) + web.json_response(whole).body  # type: ignore[operator]
        return web.Response(body=body, content_type="application/json")

    async def _streamed(self, tree: Any, request: web.Request) -> web.StreamResponse:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": tree["model"]}
        calls = self._call(tree)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"tool_calls": calls}] if calls else self._says(tree)
        chunks = [event({**head, "choices": [{"index": 0, "delta": one, "finish_reason": None}]}) for one in deltas]
        if self.breaks:
            return await streamed(request, *self.lead, *chunks, *self.breaks)
        last = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        end = event({**head, "choices": [last], "usage": usage})
        return await streamed(request, *self.lead, *chunks, *self.lead, end, b"data: [DONE]\n\n")
