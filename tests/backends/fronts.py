"""One question from a client of each front-end, whole and streamed, and what its answer says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from llmgw_testing import RunningGateway

QUESTION = "What is the answer?"


@frozen
class Front:
    """A front-end, as a client sees it.

    Args:
        path: for a model, streamed or not.
        body: for a model, streamed or not.
        whole: the text in a whole answer.
        piece: the text in one event of a stream.
    """

    path: Callable[[str, bool], str]
    body: Callable[[str, bool], dict[str, Any]]
    whole: Callable[[Any], str]
    piece: Callable[[Any], str]


def _messages(model: str, stream: bool) -> dict[str, Any]:
    system = {"role": "system", "content": "Be brief."}
    return {"model": model, "stream": stream, "messages": [system, {"role": "user", "content": QUESTION}]}


def _gemini_text(tree: Any) -> str:
    return "".join(
        part.get("text", "")
        for candidate in tree.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
        if not part.get("thought")
    )


FRONTS: Mapping[str, Front] = {
    "chat": Front(
        lambda model, stream: "/v1/chat/completions",
        _messages,
        lambda tree: tree["choices"][0]["message"]["content"] or "",
        lambda tree: "".join(one["delta"].get("content") or "" for one in tree.get("choices", ())),
    ),
    "responses": Front(
        lambda model, stream: "/v1/responses",
        lambda model, stream: {"model": model, "stream": stream, "instructions": "Be brief.", "input": QUESTION},
        lambda tree: "".join(part["text"] for item in tree["output"] if item["type"] == "message" for part in item["content"]),
        lambda tree: tree["delta"] if tree.get("type") == "response.output_text.delta" else "",
    ),
    "anthropic": Front(
        lambda model, stream: "/v1/messages",
        lambda model, stream: {
            "model": model, "stream": stream, "max_tokens": 500, "system": "Be brief.",
            "messages": [{"role": "user", "content": QUESTION}],
        },
        lambda tree: "".join(block["text"] for block in tree["content"] if block["type"] == "text"),
        lambda tree: tree["delta"].get("text", "") if tree.get("type") == "content_block_delta" else "",
    ),
    "gemini": Front(
        lambda model, stream: f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent"),
        lambda model, stream: {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": QUESTION}]}],
        },
        _gemini_text,
        _gemini_text,
    ),
}  # fmt: skip
"""By their names; a test parametrizes over them."""


async def asked(running: RunningGateway, front: str, model: str, *, stream: bool, **more: Any) -> tuple[int, str]:
    """Ask as such a client would.

    Args:
        running: the gateway.
        front: one of ``FRONTS``.
        model: as ``backend:model``.
        stream: whether to ask for a stream.
        more: fields of the body.

    Returns:
        The status, and the text of the answer; of an error, its body.
    """
    one = FRONTS[front]
    body = one.body(model, stream) | more
    async with running.http.post(running.url + one.path(model, stream), json=body) as response:
        data = await response.read()
        if response.status != 200:
            return response.status, data.decode()
    if not stream:
        return 200, one.whole(json.loads(data))
    frames = [line.removeprefix(b"data:").strip() for line in data.splitlines() if line.startswith(b"data:")]
    return 200, "".join(one.piece(json.loads(frame)) for frame in frames if frame != b"[DONE]")
