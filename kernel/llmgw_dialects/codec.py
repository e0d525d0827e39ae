"""What the codecs of all wire formats have in common."""

from __future__ import annotations

from llmgw.model import Loss, Profile, Request
from llmgw.stages import Crossing, Dialect
from llmgw_dialects import profiles
from llmgw_dialects.crossing import cross


class Codec(Dialect):
    """A dialect whose models are known, and into which requests of the others can cross."""

    def profile(self, model: str) -> Profile:
        """What is known of a model that is spoken to in this dialect."""
        return profiles.profile(self.name, model)

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossing | None:
        """How a request of another dialect gets into this one; None where it can be written as it is."""
        return cross(request, self.name, profile, losses)
