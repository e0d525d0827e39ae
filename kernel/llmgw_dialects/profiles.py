"""What is known of models, from a table that is part of the package (``profiles.yaml``).

An unknown model gets its dialect's base, which is what all current models of the vendor take; a deployment may know better
(``with_overrides``).
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import yaml
from attrs import evolve, fields

from llmgw.errors import ConfigError
from llmgw.model import Profile

_CALLED: Final[dict[type, tuple[str, str]]] = {
    bool: ("true or false", "truths"), int: ("a whole number", "whole numbers"), float: ("a number", "numbers"),
    str: ("a text", "texts"),
}  # fmt: skip


@lru_cache(maxsize=1024)
def profile(dialect: str, model: str) -> Profile:
    """What is known of a model.

    Args:
        dialect: the one it is spoken to in; of an unknown one everything is taken to be possible.
        model: as the provider calls it, maybe with a vendor before it: ``anthropic/claude-opus-5``.
    """
    known = _table().get(dialect)
    if known is None:
        return Profile()
    found = known["base"]
    name = model.lower()
    tail = name.rpartition("/")[2]
    for entry in known["models"]:
        if any(fnmatchcase(name, pattern) or fnmatchcase(tail, pattern) for pattern in entry["match"]):
            found = {**found, **entry["is"]}
    return with_overrides(Profile(), found)


def with_overrides(known: Profile, changes: Mapping[str, Any]) -> Profile:
    """A profile that a deployment knows better.

    Args:
        known: what it was.
        changes: fields by their names, as YAML has them.

    Raises:
        ConfigError: there is no such field, or its value is of another type.
    """
    hints = _hints()
    problems: list[str] = []
    made: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in hints:
            near = get_close_matches(str(name), hints, n=1)
            problems.append(f"a profile has no field '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
            continue
        try:
            made[name] = _structured(value, hints[name])
        except ValueError as error:
            problems.append(f"a profile's '{name}' must be {error}, not {value!r}")
    if problems:
        raise ConfigError(*problems)
    return evolve(known, **made) if made else known


@cache
def _table() -> dict[str, Any]:
    text = resources.files("llmgw_dialects").joinpath("profiles.yaml").read_text("utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text)["dialects"])


@cache
def _hints() -> dict[str, Any]:
    hints = get_type_hints(Profile)
    return {attribute.name: hints[attribute.name] for attribute in fields(Profile)}


def _structured(value: Any, kind: Any) -> Any:
    """A value of YAML as this type; the ValueError says what the type is called."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _structured(value, inner[0])
    if origin is Literal:
        if value not in inner:
            raise ValueError("one of " + ", ".join(map(str, inner)))
        return value
    if origin is frozenset or (origin is tuple and inner[-1] is Ellipsis):
        return (frozenset if origin is frozenset else tuple)(_many(value, inner[0], None))
    if origin is tuple:
        return tuple(_many(value, inner[0], len(inner)))
    return _plain(value, kind)


def _many(value: Any, kind: Any, count: int | None) -> list[Any]:
    if not isinstance(value, (list, tuple, set, frozenset)) or count not in (None, len(value)):
        raise ValueError("a list" if count is None else f"a list of {count}")
    if not all(_is(one, kind) for one in value):
        raise ValueError(f"a list of {_CALLED[kind][1]}")
    return [kind(one) for one in value]


def _plain(value: Any, kind: type) -> Any:
    if not _is(value, kind):
        raise ValueError(_CALLED[kind][0])
    return kind(value)


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
