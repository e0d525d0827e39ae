"""Lists of models, as all of OpenAI's dialects write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, ModelInfo
from llmgw_dialects.failures import broken, loaded

# OpenRouter, Groq, Mistral, vLLM, GitHub Copilot (under ``limits``): nobody has agreed with anybody
_CONTEXT: Final = ("context_length", "context_window", "max_model_len", "max_context_length", "max_context_window_tokens")
_OUTPUT: Final = ("max_output_tokens", "max_completion_tokens", "max_output_length")
_INSIDE: Final = (("top_provider",), ("capabilities", "limits"), ("meta",))


def read_models(body: bytes) -> list[ModelInfo]:
    """Read a provider's list: bare, or under ``data`` or ``models``.

    Raises:
        UpstreamBroken: it is none of these.
    """
    match loaded(body):
        case list(entries) | {"data": list(entries)} | {"models": list(entries)}:
            return [info for entry in entries if (info := _info(entry)) is not None]
        case _:
            raise broken(body, "a list of models was expected")


def write_models(models: Sequence[ModelInfo]) -> bytes:
    """Write a list of models."""
    return jsons.dumps({"object": "list", "data": [_written(model) for model in models]})


def write_model(model: ModelInfo) -> bytes:
    """Write one model."""
    return jsons.dumps(_written(model))


def _written(model: ModelInfo) -> dict[str, JSON]:
    return {"id": model.id, "object": "model", "created": model.created or 0, "owned_by": model.owned_by or "llmgw"}


def _info(entry: JSON) -> ModelInfo | None:
    if isinstance(entry, str):
        return ModelInfo(entry)
    if not isinstance(entry, dict):
        return None
    ident = _first(entry, "id", "name", "model")
    if not ident:
        return None
    created = entry.get("created")
    return ModelInfo(
        id=ident,
        owned_by=_first(entry, "owned_by", "organization", "publisher"),
        created=int(created) if isinstance(created, (int, float)) else None,
        display_name=_first(entry, "display_name", "name") or None,
        context=_size(entry, _CONTEXT),
        max_output=_size(entry, _OUTPUT),
        raw=entry,
    )


def _first(entry: dict[str, Any], *keys: str) -> str:
    return next((entry[key] for key in keys if isinstance(entry.get(key), str) and entry[key]), "")


def _size(entry: dict[str, Any], keys: Sequence[str]) -> int | None:
    """A number of tokens, under any of these keys, in the entry or in one of the places inside it."""
    for place in (entry, *(_within(entry, path) for path in _INSIDE)):
        for key in keys:
            value = place.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e12:
                return int(value)
    return None


def _within(entry: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    found: Any = entry
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
