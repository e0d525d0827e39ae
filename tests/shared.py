"""What tests of several folders share: what clients ask and providers say in Chat Completions, and how an error must look."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

TELLTALES = (str(ROOT), sys.prefix, tempfile.gettempdir(), "site-packages", "Traceback", ".py")
"""What no message may hold: it would tell of the machine, or of the code."""


def question(text: Any = "Is it heavy?", *, model: Any = "acme:anvil", **fields: Any) -> dict[str, Any]:
    """What a client asks."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def answer(text: str = "It is.", **fields: Any) -> dict[str, Any]:
    """What a provider answers whole."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "anvil",
        "choices": [choice],
        "usage": usage,
        **fields,
    }


def chunk(delta: Mapping[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "anvil", "choices": [choice], **fields}


ROLE = chunk({"role": "assistant", "content": ""})
"""The first chunk, in which nothing is said yet."""


def chunks(*fragments: str) -> list[dict[str, Any]]:
    """What a provider answers in pieces, without ``[DONE]``."""
    return [ROLE, *(chunk({"content": each}) for each in fragments), chunk({}, "stop")]


def text_of(reply: Mapping[str, Any]) -> str:
    """What a whole reply says."""
    return str(reply["choices"][0]["message"]["content"])


def frames(stream: str) -> list[Any]:
    """The data of a stream's frames: JSON, or text where it is none."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) if line.startswith("{") else line for line in lines]


def streamed_text(stream: str) -> str:
    """What a streamed reply says, put together."""
    choices = [choice for frame in frames(stream) if isinstance(frame, dict) for choice in frame.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def error_in(body: Any) -> dict[str, Any]:
    """The error in a body that must be exactly OpenAI's, and must not tell of the machine or the code."""
    assert isinstance(body, dict), body
    assert ["error"] == list(body)
    assert {"message", "type", "param", "code"} == body["error"].keys()
    return _errors(body["error"])


def error_for_all(body: Any) -> dict[str, Any]:
    """The error in a body for a client whose dialect nobody knows: each of the four finds its own in it."""
    assert isinstance(body, dict), body
    assert {"error", "type", "request_id"} == body.keys() and "error" == body["type"]
    assert {"message", "type", "param", "code", "status"} <= body["error"].keys()
    return _errors(body["error"])


def _errors(error: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(error["message"], str) and error["message"]
    assert isinstance(error["type"], str) and error["type"]
    assert isinstance(error["param"], str | None)
    assert isinstance(error["code"], str | None)
    assert [] == [each for each in TELLTALES if each in error["message"]]
    return error


async def until(condition: Callable[[], object], patience: float = 5.0) -> float:
    """Wait until something is so, and fail when it takes too long; the seconds it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < patience, "it did not come to be so in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - begin
