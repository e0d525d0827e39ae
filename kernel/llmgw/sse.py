"""Server-sent events, sans-io: bytes in, whole frames out, every byte kept.

The rules are those of the HTML standard's event stream: lines end in LF, CRLF or a lone CR (never in U+2028, which stands inside
JSON strings), a frame ends in an empty line, ``data`` lines are joined by LF, one space after the colon is dropped.
"""

from __future__ import annotations

import re

from attrs import define, field

from llmgw.errors import UpstreamBroken

LIMIT = 64 * 2**20
"""Bytes of one frame; images come inline, and no provider sends more."""

_FRAME_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


@define(eq=False)
class Splitter:
    """Cuts a stream of bytes behind whole frames; how the bytes were cut before makes no difference.

    Args:
        limit: of one frame, in bytes.
    """

    limit: int = LIMIT
    _rest: list[bytes] = field(factory=list, init=False)
    """What has come of a frame, in pieces: an image of megabytes must not be copied with each of them."""
    _size: int = field(default=0, init=False)

    def feed(self, data: bytes) -> bytes:
        """The whole frames that are complete now, as they came, one behind the other.

        Raises:
            UpstreamBroken: a frame is larger than the limit.
        """
        if not self._rest:
            if data.endswith(b"\n\n") and b"\r" not in data and not data.endswith(b"\n\n\n"):
                return data  # as nearly always: whole frames come
            if data.endswith(b"\r\n\r\n") and not data.endswith((b"\n\r\n\r\n", b"\r\r\n\r\n")):
                return data  # or these
        else:
            self._rest.append(data)
            seam = self._rest[-2][-4:] + data
            if b"\n\n" not in seam and b"\r" not in seam:
                return self._kept(len(data))
            data = b"".join(self._rest)
            self._rest, self._size = [], 0
        end = _last_lf_end(data) if b"\r" not in data else _last_end(data)
        if end < 2:
            self._rest = [data] if data else []
            return self._kept(len(data))
        if end == len(data):
            return data
        self._rest, self._size = [data[end:]], len(data) - end
        return data[:end]

    def _kept(self, more: int) -> bytes:
        self._size += more
        if self._size > self.limit:
            raise UpstreamBroken(f"The provider sent an event of more than {self.limit} bytes.")
        return b""

    def close(self) -> bytes:
        """What is left: a last frame without its empty line, or nothing."""
        rest, self._rest, self._size = b"".join(self._rest), [], 0
        return rest


def _last_lf_end(data: bytes) -> int:
    """The same as ``_last_end`` where all lines end in LF: of three in a row the third begins the next frame."""
    end = data.rfind(b"\n\n") + 2
    if end > 2 and data[end - 3 : end] == b"\n\n\n":
        begin = len(data[:end].rstrip(b"\n"))
        end = begin + (end - begin) // 2 * 2
    return end


def _last_end(data: bytes) -> int:
    """The index behind the last empty line; a CR at the very end may be half of a CRLF, so it does not count yet."""
    end = 0
    for match in _FRAME_END.finditer(data):
        if match.end() < len(data) or not data.endswith(b"\r"):
            end = match.end()
    return end


def frames(block: bytes) -> list[bytes]:
    """Whole frames, each with its empty line, of a block that ``Splitter.feed`` gave."""
    if b"\r" not in block:
        pieces = block.split(b"\n\n")
        out = [piece + b"\n\n" for piece in pieces[:-1]]
        return [*out, pieces[-1]] if pieces[-1] else out
    if b"\r\n\r\n\r" not in block and block.count(b"\r\n") == block.count(b"\n") == block.count(b"\r"):
        pieces = block.split(b"\r\n\r\n")
        out = [piece + b"\r\n\r\n" for piece in pieces[:-1]]
        return [*out, pieces[-1]] if pieces[-1] else out
    out, begin = [], 0
    for match in _FRAME_END.finditer(block):
        out.append(block[begin : match.end()])
        begin = match.end()
    return [*out, block[begin:]] if begin < len(block) else out


def parse(frame: bytes) -> tuple[str, bytes | None]:
    """The event's name, and its data; None where the frame has none, as a comment or a keep-alive.

    Args:
        frame: one frame, with or without its empty line.
    """
    if frame.startswith(b"data: "):
        end = frame.find(b"\n")
        if end == len(frame) - 2 and b"\r" not in frame:
            return "", frame[6:-2]
        if end == len(frame) - 3 and frame.find(b"\r") == end - 1 and frame.endswith(b"\r\n\r\n"):
            return "", frame[6:-4]
    elif frame.startswith(b"event: "):
        begin = frame.find(b"\n") + 1
        if frame.startswith(b"data: ", begin) and frame.find(b"\n", begin) == len(frame) - 2 and b"\r" not in frame:
            return frame[7 : begin - 1].decode(errors="replace"), frame[begin + 6 : -2]
    name, data = "", None
    for line in re.split(rb"\r\n|\n|\r", frame.removeprefix(b"\xef\xbb\xbf")):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data = value if data is None else data + b"\n" + value
        elif key == b"event":
            name = value.decode(errors="replace")
    return name, data
