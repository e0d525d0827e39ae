"""From one dialect into another, whichever the two are: all that a codec cannot know by itself.

A codec writes what the canonical model says in its own words. Whether a tool's name is one that the provider takes, whether every
call has its result, what to do with a freeform tool or another vendor's signature: that is the same question for every pair of
dialects, answered here once, from the target's profile (``llmgw.model.Profile``).
"""

from __future__ import annotations

from llmgw.model import Loss, Profile, Request
from llmgw.stages import Crossing
from llmgw_dialects.crossing.arguments import Arguments
from llmgw_dialects.crossing.attribution import Attribution
from llmgw_dialects.crossing.builtins import Builtins
from llmgw_dialects.crossing.calls import Calls
from llmgw_dialects.crossing.carriers import Carriers, Continuity, Stamps
from llmgw_dialects.crossing.choice import Choice
from llmgw_dialects.crossing.continuing import Continuing
from llmgw_dialects.crossing.declared import Declared
from llmgw_dialects.crossing.effort import Effort
from llmgw_dialects.crossing.freeform import Freeform
from llmgw_dialects.crossing.ids import Ids
from llmgw_dialects.crossing.instructions import Instructions
from llmgw_dialects.crossing.lawful import Lawful
from llmgw_dialects.crossing.legs import Leg, Step, Way
from llmgw_dialects.crossing.limits import Limits
from llmgw_dialects.crossing.marks import Marks
from llmgw_dialects.crossing.media import Media
from llmgw_dialects.crossing.names import Names
from llmgw_dialects.crossing.opaque import Opaque
from llmgw_dialects.crossing.outputs import Outputs
from llmgw_dialects.crossing.parallel import Parallel
from llmgw_dialects.crossing.results import Results
from llmgw_dialects.crossing.sampling import OutputLimit, Samplers
from llmgw_dialects.crossing.schemas import Schemas
from llmgw_dialects.crossing.shown import Shown
from llmgw_dialects.crossing.state import State
from llmgw_dialects.crossing.stops import Stops
from llmgw_dialects.crossing.toolsets import Toolsets
from llmgw_dialects.crossing.turns import Turns
from llmgw_dialects.crossing.vault import Vault
from llmgw_dialects.crossing.vendors import RESPONSES
from llmgw_dialects.envelope import MARKS
from llmgw_dialects.losses import Losses

__all__ = ["STEPS", "Leg", "Step", "Way", "cross"]

STEPS: tuple[type[Step], ...] = (
    State,
    Vault,
    Attribution,
    Opaque,
    Toolsets,
    Freeform,
    Builtins,
    Names,
    Ids,
    Results,
    Instructions,
    Media,
    Shown,
    Carriers,
    Turns,
    Arguments,
    Parallel,
    Calls,
    Declared,
    Limits,
    Schemas,
    Marks,
    OutputLimit,
    Effort,
    Choice,
    Continuity,
    Samplers,
    Stops,
    Outputs,
    Stamps,
    Lawful,
    Continuing,
)
"""In the order of the way in; the way back is reversed. Marks are put before the gateway adds words of its own."""

_WITHIN: tuple[type[Step], ...] = (Carriers, Continuity)
"""For a request of the target's own dialect that holds what another vendor issued."""


def cross(request: Request, target: str, profile: Profile, losses: list[Loss]) -> Crossing | None:
    """How a request gets into a dialect; None where it is of this dialect and nothing in it is another vendor's.

    Args:
        request: for the model that the provider knows.
        target: the dialect to be written.
        profile: of the model.
        losses: takes what cannot be expressed.
    """
    steps = STEPS
    if request.dialect == target:
        if not _holds_envelopes(request):
            return None
        steps = _WITHIN
    elif request.dialect == RESPONSES:
        from llmgw_dialects.openai_responses.conversations import Conversations  # a codec's own, which needs the codec

        steps = (Conversations, *steps)
    leg = Leg(request, target, profile, Losses(target, request.dialect, losses))
    return Way(leg, [step(leg) for step in steps])


def _holds_envelopes(request: Request) -> bool:
    """Whether a body may hold an envelope; cheap, and never wrong when it says no."""
    return request.raw is not None and any(mark in request.raw.data for mark in MARKS)
