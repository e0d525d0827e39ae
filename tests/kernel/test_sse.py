from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgw import sse
from llmgw.errors import UpstreamBroken
from llmgw_testing import every_cut

PIECES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"event: e",
        b": c",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        "\u2028".encode(),
        b"\xef\xbb\xbf",
        "é".encode(),
    ]
)
STREAMS = st.lists(PIECES, max_size=12).map(b"".join)


def cut(pieces: list[bytes]) -> list[bytes]:
    """The frames of bytes that came in these pieces."""
    splitter = sse.Splitter()
    blocks = [splitter.feed(piece) for piece in pieces]
    return [frame for block in [*blocks, splitter.close()] for frame in sse.frames(block)]


# ---- cutting ------------------------------------------------------------------------------------


@given(STREAMS)
def test_no_byte_is_lost(data: bytes) -> None:
    """All frames, one behind the other, are the input."""
    assert data == b"".join(cut([data]))


@settings(max_examples=50)
@given(STREAMS, st.integers(0, 100))
def test_cuts_make_no_difference(data: bytes, seed: int) -> None:
    """However the bytes arrive, the frames are the same."""
    expected = cut([data])

    for pieces in every_cut(data, seed=seed):
        assert expected == cut(pieces)


@given(STREAMS)
def test_blocks_end_where_frames_end(data: bytes) -> None:
    """What a feed gives is always whole frames."""
    splitter = sse.Splitter()
    for at in range(len(data)):
        for frame in sse.frames(splitter.feed(data[at : at + 1])):
            assert frame.endswith((b"\n", b"\r"))
            assert [frame] == sse.frames(frame)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_kinds_of_line_ends(end: bytes) -> None:
    """A frame ends in an empty line, however lines end."""
    frame = b"event: e" + end + b"data: x" + end + end

    for pieces in every_cut(frame * 3):
        assert [frame] * 3 == cut(pieces)


def test_unicodes_line_ends_are_none() -> None:
    """U+2028 stands inside JSON strings."""
    frame = 'data: {"a":"x\u2028y\u2029\x85z"}\n\n'.encode()

    for pieces in every_cut(frame * 2):
        assert [frame] * 2 == cut(pieces)


@pytest.mark.parametrize("count", range(1, 9))
def test_more_empty_lines_than_needed(count: int) -> None:
    """They are frames without anything, and are kept."""
    data = b"data: x" + b"\n" * count + b"data: y\n\n"

    for pieces in every_cut(data):
        assert data == b"".join(cut(pieces))
        assert [b"x", b"y"] == [found for frame in cut(pieces) if (found := sse.parse(frame)[1]) is not None] or count == 1


def test_what_is_not_finished_comes_at_the_end() -> None:
    """A last frame may lack its empty line."""
    splitter = sse.Splitter()

    assert b"data: x\n\n" == splitter.feed(b"data: x\n\ndata: y")
    assert b"data: y" == splitter.close()
    assert b"" == splitter.close()


def test_half_of_a_line_end_does_not_count_yet() -> None:
    """A CR may be followed by the LF that belongs to it."""
    splitter = sse.Splitter()

    assert b"" == splitter.feed(b"data: x\r\n\r")
    assert b"data: x\r\n\r\n" == splitter.feed(b"\n")


def test_a_frame_that_never_ends_is_refused() -> None:
    """Memory is bounded; many frames that are larger together are none of its business."""
    splitter = sse.Splitter(limit=100)
    assert 900 == len(splitter.feed(b"data: 78\n\n" * 90))

    for _ in range(10):
        assert b"" == splitter.feed(b"data: 7890")
    with pytest.raises(UpstreamBroken, match="more than 100 bytes"):
        splitter.feed(b"d")


# ---- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        # from the HTML standard, 9.2.6
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ("", b"YHOO\n+2\n10")),
        (b": test stream\n\n", ("", None)),
        (b"data: first event\nid: 1\n\n", ("", b"first event")),
        (b"data:second event\nid\n\n", ("", b"second event")),
        (b"data:  third event\n\n", ("", b" third event")),
        (b"data\n\n", ("", b"")),
        (b"data\ndata\n\n", ("", b"\n")),
        (b"data:\n\n", ("", b"")),
        (b"data:test\n\n", ("", b"test")),
        (b"data: test\n\n", ("", b"test")),
        # its rules
        (b"event: add\ndata: 7\n\n", ("add", b"7")),
        (b"event:add\r\ndata:7\r\n\r\n", ("add", b"7")),
        (b"event: add\rdata: 7\r\r", ("add", b"7")),
        (b"event: one\nevent: two\ndata: x\n\n", ("two", b"x")),
        (b"event: ping\n\n", ("ping", None)),
        (b"datax: 1\n\n", ("", None)),
        (b" data: 1\n\n", ("", None)),
        (b"Data: 1\n\n", ("", None)),
        (b"retry: 10\ndata: x\n\n", ("", b"x")),
        (b"data: a:b: c\n\n", ("", b"a:b: c")),
        (b"\xef\xbb\xbfdata: x\n\n", ("", b"x")),
        (b"data: x", ("", b"x")),
        (b"data: x\n", ("", b"x")),
        (b"data: x\ny\n\n", ("", b"x")),
        (b"data: x\ny", ("", b"x")),
        (b"data: x\ry\n\n", ("", b"x")),
        (b"event: \xff\ndata: \xff\n\n", ("\ufffd", b"\xff")),
        (b"\n", ("", None)),
        (b"", ("", None)),
    ],
)
def test_reading(frame: bytes, expected: tuple[str, bytes | None]) -> None:
    """Names and data are what the HTML standard says."""
    assert expected == sse.parse(frame)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
def test_what_is_written_in_one_line_is_read(text: str) -> None:
    """Any text without a line end goes through as data."""
    assert ("", text.encode()) == sse.parse(b"data: " + text.encode() + b"\n\n")
