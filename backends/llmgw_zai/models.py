"""What the GLM models can do, by their versions (docs.z.ai, "Chat Completion" and "Thinking Mode")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

PLANNED: Final = ("glm-5.3", "glm-5.3-flash", "glm-5.3-highspeed", "glm-5.2", "glm-5-turbo", "glm-4.7")
"""Those of the coding plan, which has no list of its own."""
KNOWN: Final = (
    "glm-5.3", "glm-5.3-flash", "glm-5.2", "glm-5.1", "glm-5-turbo", "glm-5", "glm-4.7", "glm-4.7-flash", "glm-4.7-flashx",
    "glm-4.6", "glm-4.5-air", "glm-4.5-airx", "glm-4.5-flash",
)  # fmt: skip
"""Those that are paid per use, where the endpoint gives no list."""

_VERSION: Final = re.compile(r"glm-(\d{1,2})(?:\.(\d{1,2}))?(?![\d.])")
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From the least on."""
Version = tuple[int, int]


@lru_cache(maxsize=256)
def version(model: str) -> Version:
    """The version of a GLM model; (0, 0) for another.

    Args:
        model: as ``glm-4.5-air``, maybe with a vendor before it.
    """
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found is not None else (0, 0)


def efforts(model: str) -> tuple[str, ...]:
    """The efforts of thinking that a model knows; ``none`` and ``high`` for one that can only be told whether to think.

    GLM-5.3 always thinks, GLM-5.2 takes OpenAI's words, those from GLM-4.5 on a switch, older ones nothing.
    """
    known = version(model)
    if known >= (5, 3):
        return ("low", "high", "max")
    if known == (5, 2):
        return EFFORTS
    return ("none", "high") if known >= (4, 5) else ()


def switched(model: str) -> bool:
    """Whether a model can only be told whether to think."""
    return (4, 5) <= version(model) < (5, 2)


def preserves(model: str) -> bool:
    """Whether a model can be given its earlier thoughts (``clear_thinking``)."""
    return version(model) >= (4, 7)


def streams_calls(model: str) -> bool:
    """Whether a model sends arguments as they come (``tool_stream``)."""
    return version(model) >= (4, 6)


def traits(model: str) -> Mapping[str, Any]:
    """What differs from other models of Chat Completions: fields of ``llmgw.Profile``."""
    known = efforts(model)
    return {
        "sampling": ["max_output", "temperature", "top_p", "stop"],
        "stop_max": 1,
        "n_max": 1,
        "tools_max": 128,
        "thinking": "effort" if known else "none",
        "efforts": list(known),
        "can_disable": "none" in known,
        "json_schema": False,
        "forced_choice": "never",
        "allowed_choice": False,
        "parallel_switch": False,
        "developer": False,
    }
