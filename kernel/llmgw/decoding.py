"""Bodies that come compressed, made whole again within a limit: a bomb is stopped before it is more than the limit allows."""

from __future__ import annotations

import zlib

from llmgw.errors import BadRequest, TooLarge

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS

_SLICE = 2**16
"""Bytes given to zlib at once: what it leaves behind the end of a member is copied for each member."""
_MEMBERS = 1000
"""A gzip body may have so many; each costs time, and may be as small as 20 bytes."""


def decoded(body: bytes, encodings: str, limit: int) -> bytes:
    """Undo the codings of a body (RFC 9110, 8.4), the last one first.

    Args:
        body: as it came.
        encodings: the ``content-encoding`` header.
        limit: of the result, in bytes.

    Raises:
        TooLarge: it is more than the limit.
        BadRequest: a coding that is not known here, or a body that is not coded so.
    """
    for name in reversed([one.strip().lower() for one in encodings.split(",")]):
        if name in ("gzip", "x-gzip", "deflate"):
            body = _inflated(body, name, limit)
        elif name not in ("", "identity"):
            raise BadRequest(f"A body with content-encoding '{name[:40]}' cannot be read here: send gzip, deflate or none.")
    return body


def _inflated(body: bytes, name: str, limit: int) -> bytes:
    # some send deflate without zlib's own header
    raw = name == "deflate" and body[:1] != b"" and (body[0] & 0x0F) != 8
    out = bytearray()
    end = _inflate(body, 0, _RAW if raw else _GZIP_OR_ZLIB, name, limit, out)
    members = 1
    while end < len(body):  # RFC 1952, 2.2: gzip is members one behind the other; zlib's formats (RFC 1950, 1951) are one piece
        if name == "deflate" or members == _MEMBERS:
            more = "something stands behind its end" if name == "deflate" else f"it has more than {_MEMBERS} members"
            raise BadRequest(f"The request's body is not good {name}: {more}.")
        end = _inflate(body, end, _GZIP, name, limit, out)
        members += 1
    return bytes(out)


def _inflate(body: bytes, start: int, window: int, name: str, limit: int, out: bytearray) -> int:
    """Inflate what begins at ``start``; where it ends."""
    machine, view = zlib.decompressobj(window), memoryview(body)
    while not machine.eof:
        piece = view[start : start + _SLICE]
        if not piece:
            raise BadRequest(f"The request's body broke off: its {name} has no end.")
        try:
            out += machine.decompress(piece, limit + 1 - len(out))
        except zlib.error:
            raise BadRequest(f"The request's body is not {name}, as its content-encoding says.") from None
        if len(out) > limit:
            raise TooLarge(f"The request's body is larger than {limit} bytes. Send less, or raise proxy.max_request_bytes.")
        start += len(piece) - len(machine.unused_data)
    return start
