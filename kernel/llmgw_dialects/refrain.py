"""Frames that differ only in the words they add, which are most of a stream: read without reading their JSON each time.

Two frames that both say more of the same block, and are the same bytes but for the text they say, show where that text stands. A
frame that is the same bytes around it says the same of another text. So long as such frames come, one after the other, nothing
else can have changed, and what they say is what they would say if they were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from llmgw import jsons
from llmgw.events import BlockDelta, Event, Frame

_SAID: Final = frozenset({"text", "reasoning_summary", "reasoning_raw"})
"""Of these no reader keeps anything; arguments must be known as a whole in the end."""
_LEAST: Final = 16
"""Bytes around a text that cannot be a coincidence."""


@define(eq=False)
class Refrain:
    """What stands around the words."""

    _before: bytes = b""
    _behind: bytes = b""
    _delta: BlockDelta | None = field(default=None)
    _last: tuple[bytes, BlockDelta] | None = None

    def learn(self, frame: bytes, events: Sequence[Event]) -> None:
        """Take note of a frame that was read, and of what it said."""
        delta = events[0] if len(events) == 1 else None
        if not isinstance(delta, BlockDelta) or delta.channel not in _SAID:
            self.forget()
            return
        last, self._last = self._last, (frame, delta)
        self._delta = None
        if last is not None and _continues(last[1], delta):
            self._compare(last, (frame, delta))

    def forget(self) -> None:
        """Something else has come."""
        self._delta = self._last = None

    def repeats(self, frames: Sequence[bytes], dialect: str) -> list[Event]:
        """The events of as many of these frames as are the same but for their words.

        Args:
            frames: whole ones, in their order.
            dialect: theirs.
        """
        if self._delta is None:
            return []
        before, behind = self._before, self._behind
        words: list[bytes] = []
        for frame in frames:
            if not (frame.startswith(before) and frame.endswith(behind) and len(frame) > len(before) + len(behind)):
                break
            words.append(frame[len(before) : -len(behind)])
        texts = _read(words)
        return [self._made(text, Frame(dialect, frame)) for text, frame in zip(texts, frames, strict=False)]

    def _made(self, text: str, frame: Frame) -> Event:
        delta = self._delta
        assert delta is not None
        made = BlockDelta(index=delta.index, channel=delta.channel, fragment=text, choice=delta.choice, part=delta.part)
        frame.tree = delta.frame.tree if delta.frame is not None else None
        frame.count = 1
        made.frame = frame  # type: ignore[misc]  # frozen for everybody else
        made.pristine = True  # type: ignore[misc]
        return made

    def _compare(self, one: tuple[bytes, BlockDelta], two: tuple[bytes, BlockDelta]) -> None:
        """Find the place of the text, if these two frames are the same but for that."""
        if one[1].fragment == two[1].fragment:
            return
        first, second = (jsons.dumps(delta.fragment) for _, delta in (one, two))
        before, found, behind = one[0].partition(first)
        if found and two[0] == before + second + behind and len(before) >= _LEAST:
            self._before, self._behind, self._delta = before + b'"', b'"' + behind, two[1]


def _continues(one: BlockDelta, two: BlockDelta) -> bool:
    return (one.index, one.channel, one.choice, one.part) == (two.index, two.channel, two.choice, two.part)


def _read(words: list[bytes]) -> list[str]:
    """Texts, up to the first that is none, or that is empty, which says nothing."""
    if not words:
        return []
    try:
        texts = jsons.loads(b'["' + b'","'.join(words) + b'"]')
    except jsons.JsonError:
        texts = []
    if len(texts) == len(words) and all(texts):
        return texts  # type: ignore[no-any-return]  # strings: nothing else can stand between these quotes
    return [] if len(words) == 1 else _read(words[: len(words) // 2])
