"""Bodies that come compressed, made whole again within a limit: a bomb is stopped before it is more than the limit allows."""

from __future__ import annotations

import zlib

from llmgw.errors import BadRequest, TooLarge

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


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
    machine = zlib.decompressobj(_RAW if raw else _GZIP_OR_ZLIB)
    try:
        out = machine.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest(f"The request's body is not {name}, as its content-encoding says.") from None
    if len(out) > limit:
        raise TooLarge(f"The request's body is larger than {limit} bytes. Send less, or raise proxy.max_request_bytes.")
    if not machine.eof:
        raise BadRequest(f"The request's body broke off: its {name} has no end.")
    return out
