"""Lists of models, as Vertex AI's Model Garden has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgw import jsons
from llmgw.errors import UpstreamBroken
from llmgw.model import ModelInfo


def read_publisher_models(body: bytes) -> Sequence[ModelInfo]:
    """Read Google's own models, without those that answer in other ways (REST reference, ``publishers.models.list``).

    Args:
        body: as it came.

    Raises:
        UpstreamBroken: it is no such list.
    """
    try:
        tree = jsons.loads(body)
    except jsons.JsonError:
        tree = None
    entries = tree.get("publisherModels", []) if isinstance(tree, dict) else None
    if not isinstance(entries, list):
        raise UpstreamBroken("Vertex AI's list of models cannot be read. List them yourself, under `models` of the back-end.")
    return [info for entry in entries if (info := _info(entry)) is not None]


def _info(entry: Any) -> ModelInfo | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    model = name.rpartition("/")[2] if isinstance(name, str) else ""
    return ModelInfo(model, owned_by="google", raw=entry) if model.startswith("gemini") and "embedding" not in model else None
