"""Words that the modules of this dialect share, and their two spellings.

Google reads ``functionCall`` and ``function_call`` alike, and its own SDKs send both in one body. So each key is looked for in
both spellings; what is written is camelCase, or the spelling of the body that it goes into.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from llmgw.model import JSON
from llmgw.splice import Path

NAME: Final = "google.gemini"

_DATA: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels", "partMetadata"}
)
"""Keys whose values are people's own, spelt as they spell them."""
_HUMP: Final = re.compile(r"(?<!^)(?=[A-Z])")


@lru_cache(maxsize=1024)
def snake(key: str) -> str:
    """The other spelling of a key in camelCase."""
    return _HUMP.sub("_", key).lower()


def key_of(node: dict[str, Any], key: str) -> str:
    """The spelling under which a key stands in an object; camelCase if it is not there."""
    if key in node:
        return key
    other = snake(key)
    return other if other in node else key


def at(node: JSON, key: str) -> Any:
    """The value of a key in either spelling; None where there is none, or no object."""
    if not isinstance(node, dict):
        return None
    value = node.get(key)
    return node.get(snake(key)) if value is None else value


def has(node: dict[str, Any], key: str) -> bool:
    """Whether a key stands in an object, in either spelling."""
    return key in node or snake(key) in node


def text_of(node: JSON, key: str) -> str:
    """A string; an empty one where there is none."""
    value = at(node, key)
    return value if isinstance(value, str) else ""


def object_of(node: JSON, key: str) -> dict[str, Any]:
    """An object; an empty one where there is none."""
    value = at(node, key)
    return value if isinstance(value, dict) else {}


def objects_of(node: JSON, key: str) -> list[dict[str, Any]]:
    """The objects of a list; Google takes one alone for a list of one."""
    value = at(node, key)
    if isinstance(value, dict):
        return [value]
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def known(node: dict[str, Any], *keys: str) -> dict[str, Any]:
    """An object without these keys, in either spelling."""
    gone = {*keys, *map(snake, keys)}
    return {key: value for key, value in node.items() if key not in gone}


def like(original: JSON, written: JSON) -> Any:
    """What was written, its keys spelt as in the original where that has them."""
    if isinstance(original, dict) and isinstance(written, dict):
        out = {}
        for key, value in written.items():
            spelt = key_of(original, key)
            out[spelt] = value if key in _DATA else like(original.get(spelt), value)
        return out
    if isinstance(original, list) and isinstance(written, list) and len(original) == len(written):
        return [like(*pair) for pair in zip(original, written, strict=True)]
    return written


def spelt(tree: JSON, path: Path) -> Path:
    """A path in camelCase, as it stands in a body."""
    out: list[str | int] = []
    for step in path:
        if isinstance(step, str) and isinstance(tree, dict):
            out.append(key_of(tree, step))
            tree = tree.get(out[-1])
        else:
            out.append(step)
            tree = tree[step] if isinstance(step, int) and isinstance(tree, list) and step < len(tree) else None
    return tuple(out)


def candidates_of(tree: JSON) -> list[dict[str, Any]]:
    """The candidates of a body or chunk."""
    return objects_of(tree, "candidates")


def index_of(candidate: dict[str, Any], position: int) -> int:
    """A candidate's index, or its position where it has none."""
    index = candidate.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else position


def parts_of(candidate: JSON) -> list[dict[str, Any]]:
    """The parts of a candidate."""
    return objects_of(at(candidate, "content"), "parts")
