"""A stream that is one JSON array, written piece by piece: what Google sends where nobody asked for server-sent events.

A *piece* is an element with what stands before it: ``[{…}``, then ``,{…}``, and at last ``]``. The pieces, put together, are
the stream.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define, field

from llmgw import sse
from llmgw.errors import UpstreamBroken

_SPACE: Final = b" \t\r\n"
_INSIDE: Final = re.compile(rb'["{}\[\]]')
_QUOTED: Final = re.compile(rb'["\\]')


@define(eq=False)
class ArraySplitter:
    """Cuts an array behind its elements, which are objects; how the bytes were cut before makes no difference.

    Args:
        limit: of one piece, in bytes.
    """

    limit: int = sse.LIMIT
    closed: bool = False
    """Whether the array's end has come."""
    _rest: bytearray = field(factory=bytearray)
    _at: int = 0
    """As far as the rest has been looked at."""
    _depth: int = 0
    _string: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that are complete now; the array's end is none yet, for white space may follow.

        Raises:
            UpstreamBroken: a piece is larger than the limit.
        """
        self._rest += data
        pieces: list[bytes] = []
        while not self.closed and (end := self._next()) is not None:
            pieces.append(bytes(self._rest[:end]))
            del self._rest[:end]
            self._at = 0
        if len(self._rest) > self.limit:
            raise UpstreamBroken(f"The provider sent an event of more than {self.limit} bytes.")
        return pieces

    def close(self) -> bytes:
        """What is left: the array's end, or what was cut off."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def _next(self) -> int | None:
        """The index behind the element at hand, once it is complete."""
        while self._at < len(self._rest):
            if self._string and not self._pass_string():
                return None
            found = _INSIDE.search(self._rest, self._at)
            if found is None:
                self._at = len(self._rest)
                return None
            self._at = found.end()
            if self._passed(found[0]):
                return None if self.closed else self._at
        return None

    def _pass_string(self) -> bool:
        """Go behind the string at hand; whether it is complete. A backslash at the end is looked at again with what follows."""
        while (found := _QUOTED.search(self._rest, self._at)) is not None:
            if found[0] == b'"':
                self._at, self._string = found.end(), False
                return True
            if found.end() == len(self._rest):
                self._at = found.start()
                return False
            self._at = found.end() + 1
        self._at = len(self._rest)
        return False

    def _passed(self, mark: bytes) -> bool:
        """Whether this mark ends an element, or the array."""
        if mark == b'"':
            self._string = True
        elif mark in b"{[":
            self._depth += 1
        else:
            self._depth -= 1
            self.closed = self._depth <= 0
        return mark in b"]}" and self._depth <= 1


def element(piece: bytes) -> bytes:
    """The element of a piece; nothing for the array's end."""
    bare = piece.strip(_SPACE)
    bare = bare[1:] if bare[:1] in (b"[", b",") else bare
    bare = bare.strip(_SPACE)
    return b"" if bare[:1] == b"]" else bare


def is_piece(data: bytes) -> bool:
    """Whether these bytes are a piece of an array, and no frame of server-sent events and no body."""
    return data.lstrip(_SPACE)[:1] in (b"[", b",", b"]")
