"""Requests in their envelope: the model stands beside what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, Loss, Request
from llmgw.splice import KEEP, splice
from llmgw.stages import Head
from llmgw_dialects.fields import invalid
from llmgw_dialects.google_codeassist.replies import NAME
from llmgw_dialects.google_gemini.contents import check_contents
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.requests import (
    FRAMING,
    edited,
    enveloped,
    inner_bytes,
    loaded,
    may_be_sealed,
    read_prompt,
    written,
)
from llmgw_dialects.losses import Losses
from llmgw_dialects.opening import model_in

_REFUSED: Final = (
    "store", "serviceTier", "service_tier", "continuationToken", "continuation_token", "model",
)  # fmt: skip
"""Fields of Gemini's that Code Assist does not know."""


def read_request(head: Head, body: bytes, headers: Mapping[str, str]) -> Request:
    """Read what routing needs.

    Args:
        head: holds the method, in its path.
        body: as it came.
        headers: those that mean something to a provider.
    """
    tree = loaded(body)
    inner = tree.get("request")
    if not isinstance(inner, dict):
        raise invalid(("request",), "an object", inner)
    check_contents(inner, ("request",))
    method = head.path.rpartition(":")[2]
    stream, counts = method == "streamGenerateContent", head.operation == "count_tokens" or method == "countTokens"
    model = _model(tree, inner)
    if stream and head.query.get("alt") != "sse":
        headers = {**headers, FRAMING: "array"}
    return Request(
        dialect=NAME,
        model=model,
        stream=stream,
        stream_usage=stream,
        operation="count_tokens" if counts else "generate",
        raw=GeminiDoc(NAME, body, model, stream, stream, tree, ("request",)),
        headers=headers,
        load=read_prompt,
    )


def _model(tree: dict[str, Any], inner: dict[str, Any]) -> str:
    return model_in(tree if tree.get("model") else inner).removeprefix("models/")  # the latter when tokens are counted


def encode_request(request: Request) -> tuple[bytes, list[Loss]]:
    """Write a request for a provider.

    Returns:
        The body, and what it could not say.
    """
    losses = Losses(NAME, request.dialect)
    raw = request.raw
    if not isinstance(raw, GeminiDoc):
        return jsons.dumps(_enclosed(request, _known(written(request, losses), losses))), losses.found
    if raw.dialect != NAME:
        inner = inner_bytes(request, raw, losses, _REFUSED)
        return jsons.dumps(_enclosed(request, jsons.Exact(inner))), losses.found
    renamed = _renamed(request, raw)
    touched = not request.untouched or may_be_sealed(raw.data)
    if not touched and not renamed:
        return raw.data, []
    template: dict[str, Any] = edited(request, raw, losses) if touched else dict.fromkeys(raw.inner, KEEP)
    if "model" in raw.inner and renamed:
        template["model"] = f"models/{request.model}"
    outer = enveloped(raw.tree, raw.root, template)
    if "model" in raw.tree and renamed:
        outer["model"] = request.model
    return splice(raw.data, outer), losses.found


def _renamed(request: Request, raw: GeminiDoc) -> bool:
    return request.model != raw.model


def _enclosed(request: Request, inner: JSON) -> dict[str, JSON]:
    """The envelope; a count has the model within the request, and nothing but contents beside it."""
    if request.operation != "count_tokens":
        return {"model": request.model, "request": inner}
    tree = jsons.loads(inner.data) if isinstance(inner, jsons.Exact) else inner
    return {"request": {"model": f"models/{request.model.removeprefix('models/')}", "contents": tree.get("contents", [])}}


def _known(inner: dict[str, JSON], losses: Losses) -> dict[str, JSON]:
    for key in _REFUSED:
        if key in inner:
            losses.dropped(key)
    return {key: value for key, value in inner.items() if key not in _REFUSED}
