"""JSON, done once: orjson first, the standard library where orjson will not do.

orjson refuses lone surrogates, which JavaScript clients do send (``"\\ud83d"``); the standard library keeps them.
Nothing else in the tree imports a JSON library. Integers over 64 bits come out as floats: what must survive to the
digit is copied as text (:mod:`llmgw.splice`), never read and written again.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


class JsonError(ValueError):
    """Not JSON; the message says where, in words for the person who sent it."""


def loads(data: bytes) -> Any:
    """Read one JSON value.

    Args:
        data: UTF-8.

    Returns:
        dict, list, str, int, float, bool or None; of duplicate keys the last wins, as at every vendor.

    Raises:
        JsonError: not UTF-8, not JSON, or nested deeper than about 1,000 levels.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if b"\\u" in data:
            return _slow_loads(data)
        raise JsonError(_told(data, error)) from None


def dumps(value: Any) -> bytes:
    """Write one JSON value, compact, UTF-8, in the order of its keys; a lone surrogate is written escaped.

    Raises:
        TypeError: something in it is no JSON value.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"{name} is not JSON")


def _slow_loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise JsonError("nested too deeply") from None


def _told(data: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return f"not UTF-8 at byte {bad.start}"
    return "nested too deeply" if "depth limit" in str(error) else str(error)
