"""Means for the tests of single steps of a crossing: one step, one prompt, what became of it and what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from llmgw.events import Event
from llmgw.model import Loss, Message, Profile, Prompt, Request, Text
from llmgw_dialects.crossing import Leg, Step
from llmgw_dialects.losses import Losses
from llmgw_dialects.profiles import profile

NAMES = {"C": "openai.chat", "S": "openai.responses", "A": "anthropic.messages", "G": "google.gemini"}
MODELS = {"C": "gpt-4.1", "S": "gpt-5.2", "A": "claude-opus-4-6", "G": "gemini-3.1-pro-preview"}
USER = Message(role="user", parts=(Text("hi"),))


@frozen
class Stepped:
    """What a step did."""

    step: Step
    prompt: Prompt
    losses: list[Loss] = field(factory=list)

    @property
    def lost(self) -> list[tuple[str, str]]:
        """What was lost, by feature and action."""
        return [(loss.feature, loss.action) for loss in self.losses]

    def back(self, events: Iterable[Event]) -> list[Event]:
        """A reply's events, led back."""
        return [made for event in events for made in self.step.back(event)]


def stepped(
    kind: type[Step],
    way: str,
    prompt: Prompt,
    *,
    model: str = "",
    found: Mapping[str, str] | None = None,
    known: Profile | None = None,
    **changes: Any,
) -> Stepped:
    """A prompt behind one step.

    Args:
        kind: the step.
        way: the client's dialect and the provider's, as ``CA``.
        prompt: the client's.
        model: the provider's; one of the dialect's, if not said.
        found: what the vault finds.
        known: the model's profile; what the table knows, if not said.
        changes: to that profile.
    """
    front, back = NAMES[way[0]], NAMES[way[1]]
    request = Request(dialect=front, model=model or MODELS[way[1]], prompt=prompt)
    about = evolve(known or profile(back, request.model), **changes)
    losses: list[Loss] = []
    step = kind(Leg(request, back, about, Losses(back, front, losses)))
    step.recall({key: found[key] for key in step.wanted if key in found} if found else {})
    return Stepped(step, step.prompt(prompt), losses)
