"""JSON, done once: orjson first, the standard library where orjson will not do.

orjson refuses lone surrogates, which JavaScript clients do send (``"\\ud83d"``); the standard library keeps them.
Nothing else in the tree imports a JSON library. Integers over 64 bits come out as floats: what must survive to the
digit is copied as text (:mod:`llmgw.splice`), never read and written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

import orjson

try:
    import msgspec
except ImportError:  # the extra [speed]; without it a body is read whole where a part would do
    msgspec: Any = None  # type: ignore[no-redef]


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
        return orjson.dumps(value, default=_exactly)
    except orjson.JSONEncodeError:
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_read_again)
            return text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_read_again).encode()


class Exact:
    """A JSON text that ``loads`` has accepted and ``dumps`` writes as it is: its integers keep all their digits."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


def _exactly(value: Any) -> Any:
    if isinstance(value, Exact):
        return orjson.Fragment(value.data)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _read_again(value: Any) -> Any:
    """For the standard library, which takes no text."""
    if isinstance(value, Exact):
        return json.loads(value.data)
    raise TypeError(f"{type(value).__name__} is no JSON value")


class Once:
    """A text that stands once in an object: for ``peeker``, whose function then refuses a body that repeats the key."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def peeker(fields: Mapping[str, Any]) -> Callable[[bytes], Any] | None:
    """A function that reads a few fields of an object and checks the rest only for being JSON.

    For a request of 98 KB that is two to three times as fast as reading all of it, and makes no garbage.

    Args:
        fields: the name of each with its type, ``Once`` among them; one that may be None may be missing; a list that holds such
            a mapping is a list of such objects.

    Returns:
        The function: given a body it returns an object with these attributes, or None if the body does not fit, so that
        ``loads`` can say why. None where the extra ``[speed]`` is not installed.
    """
    if msgspec is None:
        return None
    met: list[str] = []

    def once(kind: type, value: Any) -> Once:
        met.append(value)
        if kind is not Once or not isinstance(value, str) or len(met) > 1:
            raise ValueError("not a text, or not the only one")
        return Once(value)

    decode = msgspec.json.Decoder(_shape(fields), dec_hook=once).decode

    def peek(body: bytes) -> Any:
        met.clear()
        try:
            str(body, "utf-8")  # what msgspec skips, it does not decode
            return decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    return peek


def _shape(fields: Mapping[str, Any]) -> Any:
    kinds: list[Any] = []
    for name, kind in fields.items():
        if isinstance(kind, list):
            kinds.append((name, list[_shape(kind[0])]))  # type: ignore[misc]  # made at run time
        else:
            kinds.append((name, kind, None) if type(None) in get_args(kind) else (name, kind))
    return msgspec.defstruct("Peeked", sorted(kinds, key=len), gc=False)


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"{name} is not JSON")


def _slow_loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    except JsonError:
        raise
    except ValueError as error:  # also a number of more than 4,300 digits
        raise JsonError(str(error).partition(";")[0]) from None
    except RecursionError:
        raise JsonError("nested too deeply") from None


def _told(data: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return f"not UTF-8 at byte {bad.start}"
    return "nested too deeply" if "depth limit" in str(error) else str(error)
