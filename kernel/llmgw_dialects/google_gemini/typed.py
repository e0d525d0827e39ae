"""Fields of a client's body in either spelling, their types checked as far as Google checks them."""

from __future__ import annotations

from typing import Any

from llmgw.splice import Path
from llmgw_dialects import fields
from llmgw_dialects.google_gemini.names import key_of


def opt_string(node: dict[str, Any], key: str, path: Path) -> str | None:
    """A string, or None."""
    return fields.opt_string(node, key_of(node, key), path)


def opt_bool(node: dict[str, Any], key: str, path: Path) -> bool | None:
    """A boolean, or None."""
    return fields.opt_bool(node, key_of(node, key), path)


def opt_object(node: dict[str, Any], key: str, path: Path) -> dict[str, Any] | None:
    """An object, or None."""
    return fields.opt_object(node, key_of(node, key), path)


def opt_strings(node: dict[str, Any], key: str, path: Path) -> tuple[str, ...] | None:
    """Strings, or None; one alone is a list of one."""
    return fields.opt_strings(node, key_of(node, key), path)


def opt_number(node: dict[str, Any], key: str, path: Path) -> float | None:
    """A number, or None; Google takes one in quotes too."""
    spelt = key_of(node, key)
    value = node.get(spelt)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise fields.invalid((*path, spelt), "a number", value) from None
    return fields.opt_number(node, spelt, path)


def opt_int(node: dict[str, Any], key: str, path: Path) -> int | None:
    """A whole number, or None; what is behind the point of one that is not whole does not count."""
    value = opt_number(node, key, path)
    if value is None or isinstance(value, int):
        return value
    if value != value or value in (float("inf"), float("-inf")):
        raise fields.invalid((*path, key_of(node, key)), "an integer", value)
    return int(value)


def listed(node: dict[str, Any], key: str, path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The objects of a list, each with its path; Google takes one alone for a list of one."""
    spelt = key_of(node, key)
    value, here = node.get(spelt), (*path, spelt)
    if value is None:
        return []
    if isinstance(value, dict):
        return [(here, value)]
    if not isinstance(value, list):
        raise fields.invalid(here, "an array", value)
    for n, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise fields.invalid((*here, n), "an object", entry)
    return [((*here, n), entry) for n, entry in enumerate(value)]
