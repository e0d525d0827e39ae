"""Pictures and documents in tool results, for models whose results hold text alone: the user shows them behind the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from llmgw.model import Document, Image, Item, Message, Part, Prompt, Text, ToolResult
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import calls_in, revised

_MEDIA: Final = (Image, Document)
_BELOW: Final = "[attached below]"


class Shown(Step):
    """Shows the media of a run of results in one message of the user's; ``results`` has already put the run together.

    Each is labelled by where it came from: the result's number and the tool's name, for the call's id is the model's own word and
    has no place in what a user says.
    """

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with text alone in its results."""
        if self.leg.profile.result_media or not any(_media(item) for item in prompt.items):
            return prompt
        names = {call.call_id: call.name for call in calls_in(prompt.items)}
        out: list[Item] = []
        run: list[ToolResult] = []
        for item in prompt.items:
            if isinstance(item, ToolResult):
                run.append(item)
                continue
            out += self._run(run, names)
            run = []
            out.append(item)
        return revised(prompt, items=(*out, *self._run(run, names)))

    def _run(self, run: list[ToolResult], names: Mapping[str, str]) -> list[Item]:
        """Results one behind the other, and what shows their media."""
        shown: list[Part] = []
        out: list[Item] = []
        for number, item in enumerate(run, 1):
            media = _media(item)
            if not media:
                out.append(item)
                continue
            self.leg.losses.emulated("tool_result.media", "a user message", item)
            for part in media:
                kind = "Image" if isinstance(part, Image) else "File"
                shown += [Text(f"{kind} {len(shown) // 2 + 1} from result {number} ({names.get(item.call_id, 'a tool')}):"), part]
            out.append(evolve(item, parts=(*(part for part in item.parts if part not in media), Text(_BELOW))))
        return [*out, Message(role="user", parts=tuple(shown), turn=run[-1].turn)] if shown else out


def _media(item: Item) -> list[Part]:
    return [part for part in item.parts if isinstance(part, _MEDIA)] if isinstance(item, ToolResult) else []
