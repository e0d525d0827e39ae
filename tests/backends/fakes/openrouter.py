"""OpenRouter, as strict as it is: its three APIs, its list, its comments in streams and its details of reasoning."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from attrs import define

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
MODELS = ("deepseek/deepseek-r1:free", "anthropic/claude-sonnet-4.5", "openai/gpt-5-mini", "meta-llama/llama-4-scout:nitro")
COMMENT = b": OPENROUTER PROCESSING\n\n"
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "total_tokens": 12,
    "cost": 0.00014,
    "cost_details": {"upstream_inference_cost": None},
}
DETAILS = [
    {"type": "reasoning.text", "text": "Let me look.", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "ZW5jcnlwdGVk", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
]
CALL = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
_HEAD = {"id": "gen-1", "created": 1, "model": "m", "provider": "DeepInfra"}


def refusal(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    """An error as it writes them."""
    told = {"code": code, "message": message, **({"metadata": metadata} if metadata else {})}
    return {"error": told, "user_id": "user_1"}


@define(eq=False)
class FakeOpenRouter(FakeVendor):
    """Its server.

    Args:
        says: the answer.
        breaks: an error that comes in a 200: before the answer if it is whole, behind its first half in a stream.
    """

    says: str = "Forty-two"
    breaks: dict[str, Any] | None = None

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        path = came.path.removeprefix("/api/v1")
        if path == "/models" and came.method == "GET":
            return web.json_response({"data": [_model(ident) for ident in MODELS]})
        if came.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(401, refusal(401, "User not found."))
        tree = came.json
        if tree.get("model") not in MODELS:
            raise Refused(400, refusal(400, f"{tree.get('model')} is not a valid model ID"))
        match path:
            case "/chat/completions":
                return await self._chat(tree, request)
            case "/responses":
                return await self._responses(tree, request)
            case "/messages":
                return await self._messages(tree, request)
        raise Refused(404, "<!DOCTYPE html><title>Not Found | OpenRouter</title>")

    # ---- Chat Completions

    async def _chat(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if not tree.get("messages") or "input" in tree:
            raise Refused(400, refusal(400, 'Input required: specify "prompt" or "messages"'))
        for message in tree["messages"]:
            if message.get("tool_calls") and message.get("reasoning_details") != DETAILS:
                raise Refused(400, refusal(400, "Provider returned error", provider_name="Anthropic", raw="changed"))
        calls = tree.get("tools") and not any(one.get("role") == "tool" for one in tree["messages"])
        if not tree.get("stream"):
            return self._whole(bool(calls))
        return await streamed(request, *self._chunks(bool(calls)))

    def _whole(self, calls: bool) -> web.Response:
        if self.breaks is not None:
            return web.json_response({"error": self.breaks, "user_id": "user_1"})
        message: dict[str, Any] = {"role": "assistant", "content": self.says, "refusal": None}
        if calls:
            call = {key: value for key, value in CALL.items() if key != "index"}
            message |= {"content": None, "reasoning": "Let me look.", "reasoning_details": DETAILS, "tool_calls": [call]}
        reason = "tool_calls" if calls else "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason, "native_finish_reason": "STOP", "logprobs": None}
        return web.json_response({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})

    def _chunks(self, calls: bool) -> list[bytes]:
        half = len(self.says) // 2
        deltas: list[dict[str, Any]] = [{"content": self.says[:half]}, {"content": self.says[half:]}]
        if calls:
            thought = [{"content": "", "reasoning": one.get("text"), "reasoning_details": [one]} for one in DETAILS]
            deltas = [*thought, {"content": None, "tool_calls": [CALL]}]
        pieces = [COMMENT, COMMENT, *(_chunk(delta) for delta in deltas)]
        if self.breaks is not None:
            broken = {"error": self.breaks, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}
            head = {**_HEAD, "object": "chat.completion.chunk"}
            return [COMMENT, _chunk(deltas[0]), event({**head, **broken}), b"data: [DONE]\n\n"]
        last = _chunk({"content": ""}, "tool_calls" if calls else "stop")
        return [*pieces, last, _chunk({"role": "assistant", "content": ""}, usage=USAGE), b"data: [DONE]\n\n"]

    # ---- Responses

    async def _responses(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if "messages" in tree or not tree.get("input"):
            raise Refused(400, refusal(400, "Invalid Responses API request"))
        part = {"type": "output_text", "text": self.says, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        head = {"id": "gen-1", "object": "response", "created_at": 1, "model": "m"}
        usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
        whole = {**head, "status": "completed", "output": [item], "usage": usage}
        if not tree.get("stream"):
            return web.json_response(whole)
        at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **at, "delta": self.says},
            {"type": "response.output_text.done", **at, "text": self.says},
            {"type": "response.content_part.done", **at, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        numbered = (event({**one, "sequence_number": number}) for number, one in enumerate(events))
        return await streamed(request, COMMENT, *numbered, b"data: [DONE]\n\n")

    # ---- Messages

    async def _messages(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if not tree.get("messages") or "max_tokens" not in tree:
            raise Refused(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Required"}})
        head = {"id": "gen-1", "type": "message", "role": "assistant", "model": "m", "content": []}
        usage = {"input_tokens": 9, "output_tokens": 3}
        text = {"type": "text", "text": self.says}
        if not tree.get("stream"):
            said = {"content": [text], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
            return web.json_response({**head, **said})
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": self.says}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        return await streamed(request, COMMENT, *(event(one, one["type"]) for one in events))


def _chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "native_finish_reason": reason, "logprobs": None}
    return event({**_HEAD, "object": "chat.completion.chunk", "choices": [choice], **more})


def _model(ident: str) -> dict[str, Any]:
    return {
        "id": ident, "canonical_slug": ident.partition(":")[0], "name": ident.title(), "created": 1_700_000_000,
        "context_length": 163_840, "pricing": {"prompt": "0.0000003", "completion": "0.0000012"},
        "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"], "tokenizer": "Other"},
        "top_provider": {"context_length": 163_840, "max_completion_tokens": 65_536, "is_moderated": False},
        "supported_parameters": ["max_tokens", "reasoning", "temperature", "tools"],
    }  # fmt: skip
