"""Claude Code's billing note reaches nobody but Anthropic."""

from __future__ import annotations

from crossed import ANTHROPIC, CHAT, GEMINI, features, leg, losses, read_from, user

from llmgw.model import Instruction, Prompt, Text
from llmgw_dialects.crossing.attribution import Attribution

NOTE = read_from(Text("x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"), "system", 0)
RULES = Text("You are Claude Code.")


def test_note_is_left_out() -> None:
    """The block goes, what follows it stays the very same, and the loss says where it stood."""
    step = Attribution(leg(ANTHROPIC, CHAT))
    prompt = step.prompt(Prompt(items=(Instruction(parts=(NOTE, RULES)), user("hi"))))

    assert isinstance(prompt.items[0], Instruction)
    assert prompt.items[0].parts == (RULES,)
    assert prompt.items[0].parts[0] is RULES
    assert [(loss.path, loss.feature, loss.action) for loss in losses(step)] == [("system[0]", "attribution", "dropped")]


def test_note_alone_takes_its_instruction_along() -> None:
    """An instruction that held nothing else is gone."""
    step = Attribution(leg(ANTHROPIC, GEMINI))

    assert step.prompt(Prompt(items=(Instruction(parts=(NOTE,)), Instruction(parts=(RULES,)), user("hi")))).items == (
        Instruction(parts=(RULES,)),
        user("hi"),
    )


def test_only_the_first_text_with_that_very_beginning() -> None:
    """A note that is not first, or is spelt otherwise, is the client's own text."""
    for parts in ((RULES, NOTE), (Text(" " + NOTE.text), RULES), (Text("X" + NOTE.text[1:]),)):
        step = Attribution(leg(ANTHROPIC, CHAT))
        prompt = Prompt(items=(Instruction(parts=parts), user("hi")))
        assert step.prompt(prompt) is prompt
        assert features(step) == []


def test_anthropic_gets_it() -> None:
    """For Anthropic's own dialect the note stays."""
    prompt = Prompt(items=(Instruction(parts=(NOTE, RULES)),))

    assert Attribution(leg(CHAT, ANTHROPIC)).prompt(prompt) is prompt
