"""One exchange's way across two dialects, in steps: each changes the prompt on its way in, and undoes that on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from llmgw.events import BlockDelta, Channel, Event
from llmgw.model import Profile, Prompt, Request
from llmgw_dialects.crossing.holding import Kind, kinds
from llmgw_dialects.losses import Losses


@define(eq=False)
class Leg:
    """What all steps of one crossing know.

    Args:
        request: as the client asked, for the model that the provider knows.
        target: the provider's dialect.
        profile: of that model.
        losses: takes what cannot be said.
    """

    request: Request
    target: str
    profile: Profile
    losses: Losses
    _looked: tuple[object, ...] = field(default=(), init=False)
    _kinds: frozenset[Kind] = field(default=frozenset(), init=False)

    def holds(self, prompt: Prompt, *wanted: Kind) -> bool:
        """Whether a prompt has anything of these kinds (``holding.kinds``)."""
        looked = (prompt.items, prompt.tools, prompt.tool_choice)
        if len(self._looked) != 3 or any(new is not old for new, old in zip(looked, self._looked, strict=True)):
            self._looked, self._kinds = looked, kinds(prompt)
        return not self._kinds.isdisjoint(wanted)


Heard = tuple[type[Event] | Channel, ...]
"""Kinds of event; of what grows a block maybe only some channels."""


class Step:
    """One rule of translation; a step is made for one exchange and may remember what it did.

    Override what the rule needs. A step that has nothing to do hands back the very prompt that it was given.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg = leg

    @property
    def wanted(self) -> Sequence[str]:
        """Keys of what earlier exchanges kept that would help."""
        return ()

    def recall(self, found: Mapping[str, str]) -> None:
        """Take what was found under the wanted keys."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt on its way to the provider.

        Raises:
            Unsupported: what is necessary for its meaning cannot be said.
        """
        return prompt

    @property
    def hears(self) -> Heard:
        """The events that ``back`` wants to see, once the prompt is known: a step that need not listen costs nothing."""
        return () if type(self).back is Step.back else (Event,)

    def back(self, event: Event) -> Iterable[Event]:
        """What an event means to the client; often the event itself."""
        return (event,)

    def further(self) -> Prompt | None:
        """What to ask the provider next, where its reply broke off to be continued."""
        return None

    @property
    def kept(self) -> Mapping[str, str]:
        """What later exchanges will want to know."""
        return {}


@define(eq=False)
class Way:
    """A crossing (``llmgw.stages.Crossing``) made of steps.

    Args:
        leg: what they know.
        steps: in the order of the way in.
    """

    leg: Leg
    steps: Sequence[Step]
    _listening: list[tuple[int, Step, Heard]] = field(factory=list, init=False)
    _hearing: dict[type[Event] | Channel, list[tuple[int, Step]]] = field(factory=dict, init=False)

    @property
    def wanted(self) -> Sequence[str]:
        """What the steps want."""
        return [key for step in self.steps for key in step.wanted]

    def recall(self, found: Mapping[str, str]) -> None:
        """Tell them."""
        for step in self.steps:
            step.recall(found)

    def request(self) -> Request:
        """The request as the provider's dialect and model can say it."""
        prompt = self.leg.request.prompt
        for step in self.steps:
            prompt = step.prompt(prompt)
        return self.leg.request.saying(prompt)

    def back(self, event: Event) -> Iterable[Event]:
        """The event, led back through the steps that hear it."""
        return self._led(event, -1)

    def _led(self, event: Event, after: int) -> Iterable[Event]:
        """What becomes of an event behind one of the steps."""
        for position, step in self._heard(event):
            if position > after:
                made = tuple(step.back(event))
                if len(made) == 1 and type(made[0]) is type(event):
                    event = made[0]
                else:
                    return [one for each in made for one in self._led(each, position)]
        return (event,)

    def _heard(self, event: Event) -> list[tuple[int, Step]]:
        """Who hears such an event, in the order of the way back."""
        kind = event.channel if isinstance(event, BlockDelta) else type(event)
        hearing = self._hearing.get(kind)
        if hearing is None:
            if not self._hearing:
                order = enumerate(reversed(self.steps))
                self._listening = [(position, step, heard) for position, step in order if (heard := step.hears)]
            hearing = [(position, step) for position, step, heard in self._listening if _hears(heard, event)]
            self._hearing[kind] = hearing
        return hearing

    def further(self) -> Request | None:
        """What the last step wants to ask next, in the provider's terms."""
        prompt = self.steps[-1].further() if self.steps else None
        self._hearing.clear()
        return None if prompt is None else self.leg.request.saying(prompt)

    @property
    def kept(self) -> Mapping[str, str]:
        """What all steps keep."""
        return {key: value for step in self.steps for key, value in step.kept.items()}


def _hears(heard: Heard, event: Event) -> bool:
    return any(
        event.channel == one
        if isinstance(one, str) and isinstance(event, BlockDelta)
        else isinstance(one, type) and isinstance(event, one)
        for one in heard
    )
