"""Instructions in the middle of a conversation, and what they hold beside text."""

from __future__ import annotations

from attrs import evolve

from llmgw.model import Instruction, Item, Message, Part, Prompt, Text
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import each, revised
from llmgw_dialects.crossing.vendors import RESPONSES


class Instructions(Step):
    """Says an instruction at the place where it was given, as the user if it must be; none is ever moved to the beginning.

    ``results`` has already moved it behind the results of the calls before it.
    """

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with instructions that the model takes."""
        moved = self._without_media(prompt.items)
        return revised(prompt, items=each(moved, self._item))

    def _item(self, item: Item) -> Item:
        if not isinstance(item, Instruction):
            return item
        if not item.leading and not self.leg.profile.mid_instructions:
            return self._reminder(item)
        if item.role == "developer" and not self.leg.profile.developer:
            self.leg.losses.approximated("instruction.role", "developer", "system", item)
            return evolve(item, role="system")
        return item

    def _reminder(self, item: Instruction) -> Message:
        self.leg.losses.emulated("instruction.mid", "a user message", item)
        for name in ("clear_at", "effort"):
            if getattr(item, name):
                self.leg.losses.dropped(f"instruction.{name}", node=item)
        words = "\n\n".join(part.text for part in item.parts if isinstance(part, Text))
        mark = next((part.cache for part in reversed(item.parts) if part.cache is not None), item.cache)
        told = Text(f"<system-reminder>\n{words}\n</system-reminder>", cache=mark)
        media = tuple(part for part in item.parts if not isinstance(part, Text))
        parts = (told, *media) if words.strip() else media or (told,)
        return Message(role="user", parts=parts, turn=item.turn, source=item.source)

    # ---- pictures -------------------------------------------------------------------------------

    def _without_media(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The items with the pictures of instructions in the user's next turn; only Responses takes them where they are."""
        if self.leg.target == RESPONSES or not any(self._media(item) for item in items):
            return items
        out: list[Item] = []
        carried: list[Part] = []
        for item in items:
            media = self._media(item)
            for part in media:
                self.leg.losses.approximated("instruction.media", "an instruction", "the next user message", part)
            carried += media
            if media and isinstance(item, Instruction):
                rest = tuple(part for part in item.parts if isinstance(part, Text))
                out += [evolve(item, parts=rest)] if rest else []
            elif carried and isinstance(item, Message) and item.role == "user":
                out.append(evolve(item, parts=(*carried, *item.parts)))
                carried = []
            else:
                out.append(item)
        turn = items[-1].turn
        return (*out, *([Message(role="user", parts=tuple(carried), turn=turn)] if carried else []))

    def _media(self, item: Item) -> list[Part]:
        """What an instruction holds beside text, where it stays one."""
        if not isinstance(item, Instruction) or not (item.leading or self.leg.profile.mid_instructions):
            return []
        return [part for part in item.parts if not isinstance(part, Text)]
