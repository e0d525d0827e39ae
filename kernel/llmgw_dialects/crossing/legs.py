"""One exchange's way across two dialects, in steps: each changes the prompt on its way in, and undoes that on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from llmgw.events import Event
from llmgw.model import Profile, Prompt, Request
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

    def back(self, event: Event) -> Iterable[Event]:
        """What an event means to the client; often the event itself."""
        return (event,)

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
    _listening: list[Step] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._listening = [step for step in reversed(self.steps) if type(step).back is not Step.back]

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
        """The event, led back through the steps."""
        events: list[Event] = [event]
        for step in self._listening:
            events = [made for one in events for made in step.back(one)]
        return events

    @property
    def kept(self) -> Mapping[str, str]:
        """What all steps keep."""
        return {key: value for step in self.steps for key, value in step.kept.items()}
