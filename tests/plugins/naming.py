"""What the tests of names share: clients of each dialect, and one provider of each, that log what they are asked."""

from __future__ import annotations

import json
from typing import Any, Final

from yarl import URL

from llmgw_testing import Answer, Provider, RunningGateway, stream, whole

FRONTS: Final = ("chat", "responses", "messages", "gemini")
REAL: Final = "real-1"
"""What every provider calls its model."""

_USAGE: Final = {"input_tokens": 1, "output_tokens": 1}
_CHAT: Final[dict[str, Any]] = {"id": "c1", "created": 1, "model": REAL}
_RESPONSE: Final[dict[str, Any]] = {"id": "resp_1", "object": "response", "created_at": 1, "model": REAL, "status": "completed"}
_ITEM: Final[dict[str, Any]] = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
_TEXT: Final[dict[str, Any]] = {"type": "output_text", "text": "Yes", "annotations": []}
_DONE: Final[dict[str, Any]] = {**_RESPONSE, "output": [{**_ITEM, "content": [_TEXT]}], "usage": _USAGE | {"total_tokens": 2}}
_MESSAGE: Final[dict[str, Any]] = {"id": "msg_1", "type": "message", "role": "assistant", "model": REAL, "stop_sequence": None}
_PART: Final[dict[str, Any]] = {"content": {"role": "model", "parts": [{"text": "Yes"}]}, "index": 0, "finishReason": "STOP"}
_GEMINI: Final[dict[str, Any]] = {
    "candidates": [_PART], "modelVersion": REAL, "responseId": "g1",
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}  # fmt: skip


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {**_CHAT, "object": "chat.completion.chunk", "choices": choices}


def _typed(*events: dict[str, Any]) -> Answer:
    return stream(*(f"{json.dumps(one)}" for one in events))


def answered(dialect: str, *, streamed: bool) -> Answer:
    """The word Yes, as a provider of this dialect says it."""
    if dialect == "chat" and streamed:
        return stream(_chunk({"role": "assistant", "content": ""}), _chunk({"content": "Yes"}), _chunk({}, "stop"), "[DONE]")
    if dialect == "chat":
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
        return whole({**_CHAT, "object": "chat.completion", "choices": [choice]})
    if dialect == "gemini":
        return stream(_GEMINI) if streamed else whole(_GEMINI)
    if dialect == "messages":
        return _message(streamed=streamed)
    if not streamed:
        return whole(_DONE)
    begun = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return _typed(
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.in_progress", "sequence_number": 1, "response": begun},
        {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0,
         "item": {**_ITEM, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", "sequence_number": 3, **at, "part": _TEXT | {"text": ""}},
        {"type": "response.output_text.delta", "sequence_number": 4, **at, "delta": "Yes"},
        {"type": "response.output_text.done", "sequence_number": 5, **at, "text": "Yes"},
        {"type": "response.content_part.done", "sequence_number": 6, **at, "part": _TEXT},
        {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": {**_ITEM, "content": [_TEXT]}},
        {"type": "response.completed", "sequence_number": 8, "response": _DONE},
    )  # fmt: skip


def _message(*, streamed: bool) -> Answer:
    if not streamed:
        return whole({**_MESSAGE, "content": [{"type": "text", "text": "Yes"}], "stop_reason": "end_turn", "usage": _USAGE})
    return _typed(
        {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None, "usage": _USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )


def backends(provider: Provider, *, dialect: str = "chat") -> dict[str, Any]:
    """A back-end ``a`` of this dialect at the provider; the one for Responses speaks Chat to other clients."""
    root = provider.base_url.removesuffix("/v1")
    made: dict[str, dict[str, Any]] = {
        "chat": {"type": "openai-compatible", "base_url": provider.base_url},
        "responses": {"type": "openai", "base_url": provider.base_url, "api_key": "env:KEY"},
        "messages": {"type": "anthropic", "base_url": root, "api_key": "env:KEY"},
        "gemini": {"type": "gemini", "base_url": root, "api_key": "env:KEY"},
    }
    return {"a": made[dialect]}


ENV: Final = {"KEY": "sk-provider-key-1"}


async def asked(running: RunningGateway, front: str, model: str, *, streamed: bool = False, **more: Any) -> tuple[int, str]:
    """Ask as a client of this dialect would; the status and the body."""
    said = [{"role": "user", "content": "Is it heavy?"}]
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "chat": ("/v1/chat/completions", {"model": model, "stream": streamed, "messages": said}),
        "responses": ("/v1/responses", {"model": model, "stream": streamed, "input": "Is it heavy?"}),
        "messages": ("/v1/messages", {"model": model, "stream": streamed, "max_tokens": 50, "messages": said}),
        "gemini": (
            f"/v1beta/models/{model.replace('%', '%25').replace('?', '%3F').replace('/', '%2F')}:"
            + ("streamGenerateContent?alt=sse" if streamed else "generateContent"),
            {"contents": [{"role": "user", "parts": [{"text": "Is it heavy?"}]}]},
        ),
    }
    path, body = bodies[front]
    async with running.http.post(URL(running.url + path, encoded=True), json=body | more) as response:
        return response.status, await response.text()


def models_in(body: str) -> set[str]:
    """Every name that a reply gives to its model."""
    found: set[str] = set()
    for line in body.splitlines() if "data: " in body else [f"data: {body}"]:
        if line.startswith("data: {"):
            _gather(json.loads(line.removeprefix("data: ")), found)
    return found


def _gather(tree: Any, found: set[str]) -> None:
    for value in tree if isinstance(tree, list) else tree.values() if isinstance(tree, dict) else ():
        _gather(value, found)
    if isinstance(tree, dict):
        found |= {tree[key] for key in ("model", "modelVersion") if isinstance(tree.get(key), str)}
