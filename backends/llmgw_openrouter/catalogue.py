"""OpenRouter's list of models, the best source there is of what they can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve

from llmgw.model import JSON, ModelInfo
from llmgw_dialects.openai_models import read_models

_INPUTS: Final = {"image": "image", "file": "document", "audio": "audio", "video": "video"}


def listed(body: bytes) -> Sequence[ModelInfo]:
    """The models; each belongs to whoever stands before the slash of its id.

    Raises:
        UpstreamBroken: it is no list of models.
    """
    return [evolve(one, owned_by=one.owned_by or one.id.partition("/")[0]) for one in read_models(body)]


def known(entry: JSON) -> dict[str, Any]:
    """What an entry says of its model, as fields of ``llmgw.Profile``.

    Args:
        entry: as ``GET /models`` has it (OpenRouter's API reference, "List available models").
    """
    if not isinstance(entry, dict):
        return {}
    out: dict[str, Any] = {}
    if (context := _count(entry.get("context_length"))) is not None:
        out["context"] = context
    if (most := _count(_within(entry, "top_provider").get("max_completion_tokens"))) is not None:
        out["max_output"] = most
    inputs = _within(entry, "architecture").get("input_modalities")
    if isinstance(inputs, list):  # a document is read by OpenRouter itself where the model cannot
        out["inputs"] = sorted({"document", *(_INPUTS[one] for one in inputs if one in _INPUTS)})
    return out


def _within(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _count(value: JSON) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None
