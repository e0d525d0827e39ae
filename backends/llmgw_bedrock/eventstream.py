"""AWS's framing of streams, ``application/vnd.amazon.eventstream`` (Smithy, "Amazon Event Stream Specification").

A message is a prelude (its length, the length of its headers, a checksum of these), headers, a payload and a checksum of all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from attrs import define, field, frozen

from llmgw.errors import UpstreamBroken

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LEAST: Final = _PRELUDE.size + _CRC.size
LIMIT: Final = 24 * 2**20
"""Bytes of a message; AWS's own readers take no more (16 MiB of payload, 128 KiB of headers, and some room)."""
_WIDTHS: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Of the types of headers that have one width: true, false, four integers, a time, a UUID."""
_TEXT: Final = 7
_SIZED: Final = (6, _TEXT)


@frozen
class Message:
    """One message; of its headers those that are texts."""

    headers: dict[str, str]
    payload: bytes = field(repr=False)


@define(eq=False)
class Splitter:
    """Messages, however the bytes are cut."""

    _buffer: bytearray = field(factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now; all must be taken.

        Raises:
            UpstreamBroken: these are no messages, or not those that were sent; those before it have been given.
        """
        self._buffer += data
        at = 0
        while (size := self._size(at)) and at + size <= len(self._buffer):
            yield _message(bytes(self._buffer[at : at + size]))
            at += size
        del self._buffer[:at]

    def _size(self, at: int) -> int:
        """The length of the message there; 0 while that is not known."""
        if len(self._buffer) - at < _PRELUDE.size:
            return 0
        size, headers, crc = _PRELUDE.unpack_from(self._buffer, at)
        if zlib.crc32(self._buffer[at : at + 8]) != crc or not _LEAST + headers <= size <= LIMIT:
            raise _broken("the head of a message is not what was sent")
        return int(size)


def _message(data: bytes) -> Message:
    _, length, _ = _PRELUDE.unpack_from(data)
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
        raise _broken("the checksum of a message is wrong")
    start = _PRELUDE.size
    try:
        headers = _headers(data[start : start + length])
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise _broken("the headers of a message cannot be read") from None
    return Message(headers, data[start + length : -_CRC.size])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        behind = at + 1 + data[at]
        name, kind = data[at + 1 : behind].decode(), data[behind]
        at = behind + 1
        if kind in _SIZED:
            size = int.from_bytes(data[at : at + 2])
            at += 2
        else:
            size = _WIDTHS[kind]
        if at + size > len(data):
            raise IndexError(name)
        if kind == _TEXT:
            found[name] = data[at : at + size].decode()
        at += size
    return found


def _broken(what: str) -> UpstreamBroken:
    return UpstreamBroken(f"The provider's answer cannot be read: {what}. Ask again.")
