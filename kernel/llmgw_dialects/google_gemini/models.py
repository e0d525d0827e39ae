"""Lists of models, and counts of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, ModelInfo
from llmgw_dialects.failures import broken, loaded
from llmgw_dialects.google_gemini.names import at, objects_of, text_of

_METHODS: Final = ["generateContent", "countTokens"]
_PREFIX: Final = "models/"


def read_models(body: bytes) -> list[ModelInfo]:
    """Read a provider's list.

    Raises:
        UpstreamBroken: it is none.
    """
    tree = loaded(body)
    if not isinstance(tree, dict) or not isinstance(at(tree, "models"), list):
        raise broken(body, "a list of models was expected")
    return [_info(entry) for entry in objects_of(tree, "models") if text_of(entry, "name")]


def write_models(models: Sequence[ModelInfo]) -> bytes:
    """Write a list of models, all of them on one page."""
    return jsons.dumps({"models": [_written(model) for model in models]})


def write_model(model: ModelInfo) -> bytes:
    """Write one model."""
    return jsons.dumps(_written(model))


def read_count(body: bytes) -> int:
    """Read how many tokens a prompt has.

    Raises:
        UpstreamBroken: it does not say.
    """
    total = at(loaded(body), "totalTokens")
    if not isinstance(total, int) or isinstance(total, bool):
        raise broken(body, "a count of tokens was expected")
    return total


def write_count(tokens: int) -> bytes:
    """Write such an answer."""
    return jsons.dumps({"totalTokens": tokens})


def _written(model: ModelInfo) -> dict[str, JSON]:
    raw: dict[str, Any] = model.raw if isinstance(model.raw, dict) and text_of(model.raw, "name").startswith(_PREFIX) else {}
    name = _PREFIX + model.id.removeprefix(_PREFIX)
    shown = model.display_name or model.id
    return {"version": "001", "displayName": shown, "supportedGenerationMethods": _METHODS, **raw, "name": name}


def _info(entry: dict[str, Any]) -> ModelInfo:
    name = text_of(entry, "name")
    return ModelInfo(
        id=name.removeprefix(_PREFIX),
        owned_by="google",
        display_name=text_of(entry, "displayName") or None,
        context=_size(entry, "inputTokenLimit"),
        max_output=_size(entry, "outputTokenLimit"),
        raw=entry,
    )


def _size(entry: dict[str, Any], key: str) -> int | None:
    value = at(entry, key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
