"""Lists of models and inference profiles, from Bedrock's control plane (AWS, "ListFoundationModels", "ListInferenceProfiles")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmgw.model import ModelInfo
from llmgw_dialects.failures import broken, loaded

MODELS: Final = "/foundation-models?byOutputModality=TEXT"
PROFILES: Final = "/inference-profiles?maxResults=1000"


def read_models(body: bytes) -> list[ModelInfo]:
    """Those of the models that can be asked without a profile."""
    return [
        ModelInfo(name, _text(one, "providerName").lower(), display_name=_text(one, "modelName") or None, raw=one)
        for one in _entries(body, "modelSummaries")
        if (name := _text(one, "modelId")) and "ON_DEMAND" in one.get("inferenceTypesSupported", ())
    ]


def read_profiles(body: bytes) -> list[ModelInfo]:
    """The profiles that are in use."""
    return [
        ModelInfo(name, "aws", display_name=_text(one, "inferenceProfileName") or None, raw=one)
        for one in _entries(body, "inferenceProfileSummaries")
        if (name := _text(one, "inferenceProfileId")) and one.get("status") == "ACTIVE"
    ]


def next_page(body: bytes) -> str | None:
    """What to ask for next; None behind the last page."""
    tree = loaded(body)
    return _text(tree, "nextToken") or None if isinstance(tree, dict) else None


def _entries(body: bytes, key: str) -> Sequence[dict[str, Any]]:
    tree = loaded(body)
    entries = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(entries, list):
        raise broken(body, f"a list of {key} was expected")
    return [one for one in entries if isinstance(one, dict)]


def _text(tree: dict[str, Any], key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""
