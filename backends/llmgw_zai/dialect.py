"""Chat Completions as Z.ai speaks it."""

from __future__ import annotations

from typing import Final

from llmgw import jsons
from llmgw.model import Loss, Profile, Request
from llmgw.splice import merged, splice
from llmgw.stages import Crossing
from llmgw_dialects.crossing import Leg, Step, Way
from llmgw_dialects.crossing.carriers import Carriers, Continuity
from llmgw_dialects.crossing.choice import Choice
from llmgw_dialects.crossing.outputs import Outputs
from llmgw_dialects.crossing.parallel import Parallel
from llmgw_dialects.crossing.stops import Stops
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat import OpenAIChat
from llmgw_dialects.profiles import with_overrides
from llmgw_zai.fitting import fitted
from llmgw_zai.models import traits

_STEPS: Final[tuple[type[Step], ...]] = (Carriers, Parallel, Choice, Continuity, Stops, Outputs)
"""What even a request of this dialect needs, where it asks for what Z.ai does not do."""
_SIGNS: Final = (b'"json_schema"', b'"tool_choice"', b'"stop"', b'"parallel_tool_calls"')


class ZaiChat(OpenAIChat):
    """Chat Completions: samplers in an open interval, ``thinking``, tools chosen by the model alone, JSON without a schema."""

    def profile(self, model: str) -> Profile:
        """What is known of a model here."""
        return with_overrides(super().profile(model), traits(model))

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossing | None:
        """The way there, which a request of this dialect takes too where it wants a schema or forces a tool."""
        if request.dialect != self.name or not _wants_more(request):
            return super().crossing(request, profile, losses)
        leg = Leg(request, self.name, profile, Losses(self.name, request.dialect, losses))
        return Way(leg, [step(leg) for step in _STEPS])

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; of a client of this dialect all bytes are copied that Z.ai takes as they are."""
        found = Losses(self.name, request.dialect)
        body = super().write_request(request, found.found)
        tree = jsons.loads(body)
        changes, drop = fitted(tree, request.model, found)
        if losses is not None:
            losses += found.found
        return splice(body, merged(tree, changes, drop)) if changes or drop else body


def _wants_more(request: Request) -> bool:
    """Whether a request wants what must be said in words; a prompt is read only where it may."""
    if request.untouched and request.raw is not None and not any(sign in request.raw.data for sign in _SIGNS):
        return False
    output, choice = request.prompt.output, request.prompt.tool_choice
    schema = output is not None and output.kind == "json_schema"
    forced = choice is not None and choice.mode not in ("auto", "none")
    return schema or forced or request.prompt.parallel_tools is False or len(request.prompt.sampling.stop) > 1


ZAI: Final = ZaiChat(limit="max_tokens")
