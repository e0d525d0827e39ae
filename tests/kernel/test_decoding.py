from __future__ import annotations

import gzip
import zlib

import pytest

from llmgw.decoding import decoded
from llmgw.errors import BadRequest, TooLarge


def packed(data: bytes, level: int = 9) -> bytes:
    """Gzip, made at no time, so that tests have the same names whenever they are collected."""
    return gzip.compress(data, level, mtime=0)


ONE, TWO = packed(b"one, "), packed(b"two")


def raw(data: bytes) -> bytes:
    """Deflate without zlib's header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encodings", "expected"),
    [
        (b"one", "", b"one"),
        (b"one", "identity", b"one"),
        (ONE, "gzip", b"one, "),
        (ONE, " X-GZIP ", b"one, "),
        (zlib.compress(b"one"), "deflate", b"one"),
        (raw(b"one"), "deflate", b"one"),
        (packed(zlib.compress(b"one")), "deflate, gzip", b"one"),
    ],
)
def test_codings_are_undone(body: bytes, encodings: str, expected: bytes) -> None:
    """The last one first."""
    assert expected == decoded(body, encodings, 100)


@pytest.mark.parametrize("members", [[ONE, TWO], [ONE, packed(b""), TWO], [packed(b""), ONE, TWO]])
def test_members(members: list[bytes]) -> None:
    """A gzip body is all of its members, one behind the other (RFC 1952, 2.2)."""
    assert b"one, two" == decoded(b"".join(members), "gzip", 100)


@pytest.mark.parametrize("size", [2**16 - 40, 2**16 - 1, 2**16, 2**16 + 1, 2**18])
def test_members_of_any_size(size: int) -> None:
    """Nothing is lost where a member is large, or another begins near the end of a slice."""
    noise = bytes(zlib.crc32(number.to_bytes(4, "big")) & 0xFF for number in range(size))

    assert noise + b"one, " + noise == decoded(packed(noise, 0) + ONE + packed(noise), "gzip", 2**20)


def test_members_are_bounded_together() -> None:
    """The limit is for all of them, and met exactly it is kept."""
    assert b"one, two" == decoded(ONE + TWO, "gzip", 8)
    with pytest.raises(TooLarge):
        decoded(ONE + TWO, "gzip", 7)


def test_a_bomb_of_members() -> None:
    """So many members that reading them takes long are refused."""
    assert b"" == decoded(packed(b"") * 1000, "gzip", 8)
    with pytest.raises(BadRequest, match="more than 1000 members"):
        decoded(packed(b"") * 100_000, "gzip", 8)


@pytest.mark.parametrize("rest", [b"\0", b"garbage", zlib.compress(b"x"), ONE[:5], ONE[:-1]])
def test_what_is_no_member(rest: bytes) -> None:
    """Behind a member stands a whole one or nothing."""
    with pytest.raises(BadRequest):
        decoded(ONE + rest, "gzip", 100)


@pytest.mark.parametrize("body", [zlib.compress(b"one"), raw(b"one")])
def test_deflate_is_one_piece(body: bytes) -> None:
    """Nothing stands behind its end."""
    with pytest.raises(BadRequest, match="something stands behind its end"):
        decoded(body + body, "deflate", 100)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"", b"\x1f", b"{}"])
def test_what_is_not_so_coded(name: str, body: bytes) -> None:
    """It is refused, not taken as it is."""
    with pytest.raises(BadRequest):
        decoded(body, name, 100)
