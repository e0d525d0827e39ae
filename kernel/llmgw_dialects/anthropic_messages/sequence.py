"""One block at a time, as clients of this dialect must have it: what comes of a later one waits till the one before has closed.

A provider that streams parallel calls side by side makes the later ones wait; what waits is no more than these calls.
"""

from __future__ import annotations

from attrs import define, field, frozen

from llmgw.events import BlockStart, BlockStop, Event, Frame
from llmgw_dialects.anthropic_messages.laying import Blocks


@frozen(eq=False)
class Copied:
    """A frame of a block all of whose events came untouched.

    Args:
        frame: as it came.
        group: its events.
    """

    frame: Frame
    group: list[Event]


@define(eq=False)
class Sequence:
    """Puts the blocks of a reply one behind the other.

    Args:
        blocks: writes them.
    """

    blocks: Blocks = field(factory=Blocks)
    _current: int | None = None
    _waiting: dict[int, list[Event | Copied]] = field(factory=dict)

    def take(self, index: int, step: Event | Copied) -> bytes:
        """What can be written now.

        Args:
            index: the canonical number of the block; one that never began was taken out, and so is what belongs to it.
            step: an event of it, or a frame to be copied.
        """
        if self._current is None and _opens(step):
            self._current = index
        if index == self._current:
            return self._write(index, step) + self._following()
        if index in self._waiting or _opens(step):
            self._waiting.setdefault(index, []).append(step)
        return b""

    def settle(self) -> bytes:
        """Close what is open, and write what waits: the reply ends."""
        out = b""
        while self._current is not None:
            out += self._write(self._current, BlockStop(index=self._current)) + self._following()
        return out + self.blocks.settle()

    def _write(self, index: int, step: Event | Copied) -> bytes:
        if _closes(step):
            self._current = None
        return self.blocks.copy(index, step.frame, step.group) if isinstance(step, Copied) else self.blocks.write(index, step)

    def _following(self) -> bytes:
        out = b""
        while self._current is None and self._waiting:
            self._current = index = next(iter(self._waiting))
            for step in self._waiting.pop(index):
                out += self._write(index, step)
        return out


def _events(step: Event | Copied) -> list[Event]:
    return step.group if isinstance(step, Copied) else [step]


def _opens(step: Event | Copied) -> bool:
    return any(isinstance(event, BlockStart) for event in _events(step))


def _closes(step: Event | Copied) -> bool:
    return any(isinstance(event, BlockStop) for event in _events(step))
