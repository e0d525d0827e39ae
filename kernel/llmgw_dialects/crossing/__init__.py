"""From one dialect into another, whichever the two are: all that a codec cannot know by itself.

A codec writes what the canonical model says in its own words. Whether a tool's name is one that the provider takes, whether every
call has its result, what to do with a freeform tool or another vendor's signature: that is the same question for every pair of
dialects, answered here once, from the target's profile (``llmgw.model.Profile``).
"""

from __future__ import annotations

from llmgw.model import Loss, Profile, Request
from llmgw.stages import Crossing
from llmgw_dialects.crossing.legs import Leg, Step, Way
from llmgw_dialects.losses import Losses

__all__ = ["STEPS", "Leg", "Step", "Way", "cross"]

STEPS: tuple[type[Step], ...] = ()
"""In the order of the way in; the way back is reversed."""


def cross(request: Request, target: str, profile: Profile, losses: list[Loss]) -> Crossing | None:
    """How a request gets into a dialect; None where it is of this dialect already.

    Args:
        request: for the model that the provider knows.
        target: the dialect to be written.
        profile: of the model.
        losses: takes what cannot be expressed.
    """
    if request.dialect == target:
        return None
    leg = Leg(request, target, profile, Losses(target, request.dialect, losses))
    return Way(leg, [step(leg) for step in STEPS])
