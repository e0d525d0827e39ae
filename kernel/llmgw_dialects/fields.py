"""Fields of a client's body, read with their type checked; what is wrong is told by its path."""

from __future__ import annotations

from typing import Any, Final

from llmgw.errors import InvalidField
from llmgw.model import JSON
from llmgw.splice import Path

_CALLED: Final[dict[type, str]] = {
    dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a number",
    type(None): "null",
}  # fmt: skip


def spelled(path: Path) -> str:
    """A path as OpenAI writes it in ``param``, and as clients of all dialects are told: ``messages[3].content[0].type``."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def invalid(path: Path, wanted: str, value: JSON = None) -> InvalidField:
    """The error of a field of the wrong type; the value itself is not repeated, for it may be long, or secret."""
    param = spelled(path)
    return InvalidField(f"Invalid type for '{param}': expected {wanted}, but got {_CALLED[type(value)]} instead.", param=param)


def string(node: dict[str, Any], key: str, path: Path) -> str:
    """A string that must be there."""
    value = node.get(key)
    if not isinstance(value, str):
        raise invalid((*path, key), "a string", value)
    return value


def opt_string(node: dict[str, Any], key: str, path: Path) -> str | None:
    """A string, or None."""
    value = node.get(key)
    if value is not None and not isinstance(value, str):
        raise invalid((*path, key), "a string", value)
    return value


def opt_bool(node: dict[str, Any], key: str, path: Path) -> bool | None:
    """A boolean, or None."""
    value = node.get(key)
    if value is not None and not isinstance(value, bool):
        raise invalid((*path, key), "a boolean", value)
    return value


def opt_int(node: dict[str, Any], key: str, path: Path) -> int | None:
    """An integer, or None; ``5.0`` is one, as for OpenAI."""
    value = node.get(key)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise invalid((*path, key), "an integer", value)
    return value


def opt_number(node: dict[str, Any], key: str, path: Path) -> float | None:
    """A number, or None."""
    value = node.get(key)
    if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
        raise invalid((*path, key), "a number", value)
    return value


def opt_object(node: dict[str, Any], key: str, path: Path) -> dict[str, Any] | None:
    """An object, or None."""
    value = node.get(key)
    if value is not None and not isinstance(value, dict):
        raise invalid((*path, key), "an object", value)
    return value


def opt_list(node: dict[str, Any], key: str, path: Path) -> list[Any] | None:
    """An array, or None."""
    value = node.get(key)
    if value is not None and not isinstance(value, list):
        raise invalid((*path, key), "an array", value)
    return value


def opt_strings(node: dict[str, Any], key: str, path: Path) -> tuple[str, ...] | None:
    """Strings, or None; one alone is a list of one."""
    value = node.get(key)
    if isinstance(value, str):
        return (value,)
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise invalid((*path, key), "a string or an array of strings", value)
    return None if value is None else tuple(value)
