"""Stop sequences that the provider does not take: the reply is cut here, to the character, wherever its pieces are cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, evolve, field

from llmgw.events import BlockDelta, BlockMeta, BlockStart, BlockStop, Event, ResponseEnd, Stop, StopReason, Terminal
from llmgw.model import Prompt
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import revised

_OfChoice = BlockStart | BlockDelta | BlockMeta | BlockStop | Stop


@define(eq=False)
class Scanner:
    """Looks for the first of several sequences to be complete in a text that comes in pieces.

    It holds back what may yet turn out to be the beginning of one, at most one character less than the longest has.

    Args:
        sequences: none of them empty.
    """

    sequences: Sequence[str]
    held: str = ""

    def feed(self, fragment: str) -> tuple[str, str | None]:
        """What may go out now, and the sequence that was found behind it, if one was."""
        text = self.held + fragment
        found = [(at + len(one), at, one) for one in self.sequences if (at := text.find(one)) >= 0]
        if found:
            _, at, sequence = min(found)
            self.held = ""
            return text[:at], sequence
        keep = max(_beginning(text, one) for one in self.sequences)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def close(self) -> str:
        """What was held back, now that nothing follows."""
        held, self.held = self.held, ""
        return held


def _beginning(text: str, sequence: str) -> int:
    """How many characters at the end of a text may be the beginning of a sequence."""
    most = min(len(text), len(sequence) - 1)
    return next((size for size in range(most, 0, -1) if sequence.startswith(text[-size:])), 0)


@define(eq=False)
class _Choice:
    """One answer: its open blocks, those of text with their scanners."""

    open: dict[int, Scanner | None] = field(factory=dict)
    stopped: bool = False


class Stops(Step):
    """Sends the sequences that the provider takes, and looks for the others in what is shown of the reply.

    Neither thoughts nor arguments are looked into. The end comes early then, and with it the end of the exchange with the
    provider.
    """

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._scanned: tuple[str, ...] = ()
        self._wanted = 1
        self._choices: dict[int, _Choice] = {}
        self._ended = False

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with the sequences that the provider takes."""
        given = tuple(dict.fromkeys(one for one in prompt.sampling.stop if one))
        known = self.leg.profile
        most = len(given) if known.stop_max is None else known.stop_max
        if "stop" not in known.sampling:
            most = 0
        able = [one for one in given if known.stop_blank or one.strip()][:most]
        self._scanned = tuple(one for one in given if one not in able)
        self._wanted = max(prompt.sampling.n or 1, 1)
        if self._scanned:
            self.leg.losses.emulated("stop", "looked for by the gateway")
        if tuple(able) == prompt.sampling.stop:
            return prompt
        return revised(prompt, sampling=evolve(prompt.sampling, stop=tuple(able)))

    @property
    def hears(self) -> Heard:
        """Everything, if there is something to look for."""
        return (Event,) if self._scanned else ()

    def back(self, event: Event) -> Iterable[Event]:
        """The event, as far as it lies before a stop sequence."""
        if not self._scanned:
            return (event,)
        if self._ended:
            return ()
        if isinstance(event, Terminal):
            self._ended = True
            return [*self._rest(), event]
        if not isinstance(event, _OfChoice):
            return (event,)
        return self._of_choice(event, self._choices.setdefault(event.choice, _Choice()))

    def _of_choice(self, event: _OfChoice, choice: _Choice) -> Iterable[Event]:
        if choice.stopped:
            return ()
        match event:
            case BlockStart():
                choice.open[event.index] = Scanner(self._scanned) if event.kind == "text" else None
            case BlockDelta(channel="text"):
                return self._scan(event, choice)
            case BlockStop():
                scanner = choice.open.pop(event.index, None)
                return [*_flushed(scanner, event.index, event.choice), event]
            case Stop():
                choice.stopped = True
            case _:
                pass
        return (event,)

    def _scan(self, event: BlockDelta, choice: _Choice) -> Iterable[Event]:
        scanner = choice.open.get(event.index)
        if scanner is None:
            return (event,)
        shown, sequence = scanner.feed(event.fragment)
        if shown == event.fragment:
            events: list[Event] = [event]
        else:
            events = [evolve(event, fragment=shown)] if shown else []
        return events if sequence is None else [*events, *self._cut(sequence, event.choice, choice)]

    def _cut(self, sequence: str, number: int, choice: _Choice) -> list[Event]:
        """The end of one answer, and of all once each has ended."""
        events: list[Event] = []
        for index, scanner in choice.open.items():
            events += _flushed(scanner, index, number)
            events.append(BlockStop(index=index, choice=number))
        choice.open.clear()
        choice.stopped = True
        events.append(Stop(choice=number, reason=StopReason("stop_sequence", sequence=sequence)))
        if sum(one.stopped for one in self._choices.values()) >= self._wanted:
            self._ended = True
            events.append(ResponseEnd())
        return events

    def _rest(self) -> list[Event]:
        """What is held back of blocks that nobody closes any more."""
        return [
            event
            for number, choice in self._choices.items()
            for index, scanner in choice.open.items()
            for event in _flushed(scanner, index, number)
        ]


def _flushed(scanner: Scanner | None, index: int, choice: int) -> list[Event]:
    held = scanner.close() if scanner is not None else ""
    return [BlockDelta(index=index, choice=choice, channel="text", fragment=held)] if held else []
