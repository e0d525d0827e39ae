"""Instructions in the middle are said where they were given."""

from __future__ import annotations

from crossed import ANTHROPIC, CHAT, GEMINI, RESPONSES, assistant, call, features, leg, losses, read_from, result, user

from llmgw.model import Base64, CacheMark, Image, Instruction, Item, Message, Prompt, Text
from llmgw_dialects.crossing.instructions import Instructions
from llmgw_dialects.crossing.results import Results

RULES = Instruction(parts=(Text("rules"),))
PICTURE = Image(Base64("image/png", "AAAA"))


def middle(*parts: Text | Image, **rest: object) -> Instruction:
    return Instruction(parts=parts or (Text("be quick"),), leading=False, **rest)  # type: ignore[arg-type]  # its fields


def said(*items: Item, target: str = GEMINI, client: str = RESPONSES, **profile: bool) -> tuple[tuple[Item, ...], list[str]]:
    step = Instructions(leg(client, target, **profile))
    return step.prompt(Prompt(items=items)).items, features(step)


def test_in_the_middle_the_user_says_it() -> None:
    """Where there is no system in the middle it becomes a reminder of the user's at the same place; the leading one stays."""
    items, lost = said(RULES, user("hi"), assistant("x"), middle(Text("be quick"), Text("and kind")), mid_instructions=False)

    assert items == (
        RULES,
        user("hi"),
        assistant("x"),
        user("<system-reminder>\nbe quick\n\nand kind\n</system-reminder>"),
    )
    assert items[0] is RULES
    assert lost == ["instruction.mid"]


def test_never_between_a_call_and_its_result() -> None:
    """With the results in their place it stands behind them, as the system or as the user."""
    items = (RULES, user("hi"), assistant(call("a")), middle(role="developer"), result("a", name="f"), user("go"))
    for allowed in (True, False):
        one = leg(RESPONSES, ANTHROPIC, mid_instructions=allowed)
        prompt = Instructions(one).prompt(Results(one).prompt(Prompt(items=items)))
        assert [type(item).__name__ for item in prompt.items[3:5]] == ["ToolResult", "Instruction" if allowed else "Message"]
        assert prompt.items[0] is RULES
        assert prompt.items[5] is items[5]


def test_where_it_is_allowed_nothing_changes() -> None:
    """A model that takes them gets them as they are."""
    prompt = Prompt(items=(RULES, user("hi"), middle(role="developer")))

    assert Instructions(leg(RESPONSES, ANTHROPIC)).prompt(prompt) is prompt


def test_mark_stays() -> None:
    """A cache mark inside or on the instruction sits on the reminder."""
    mark = CacheMark(300)
    for one in (middle(Text("a", cache=mark), Text("b")), middle(Text("a"), cache=mark)):
        (item,), _ = said(one, mid_instructions=False)
        assert isinstance(item, Message)
        assert item.parts[0].cache == mark


def test_developer_is_the_system_where_there_is_none() -> None:
    """The role changes, at the beginning and in the middle, and each change is told at its place."""
    step = Instructions(leg(RESPONSES, CHAT, developer=False))
    first = read_from(Instruction(role="developer", parts=(Text("a"),)), "input", 0, dialect=RESPONSES)
    prompt = step.prompt(Prompt(items=(first, user("hi"), middle(role="developer"))))

    assert [item.role for item in prompt.items if isinstance(item, Instruction)] == ["system", "system"]
    assert [(loss.path, loss.feature) for loss in losses(step)] == [
        ("input[0]", "instruction.role"),
        ("instruction.role", "instruction.role"),
    ]


def test_pictures_move_to_the_next_user_message() -> None:
    """The system takes text alone: a picture goes into the user's next turn, or into one at the end."""
    shown = Instruction(parts=(Text("like this"), PICTURE))

    assert said(shown, RULES, user("hi"), user("go"), target=ANTHROPIC) == (
        (Instruction(parts=(Text("like this"),)), RULES, Message(role="user", parts=(PICTURE, Text("hi"))), user("go")),
        ["instruction.media"],
    )
    assert said(Instruction(parts=(PICTURE,)), target=CHAT)[0] == (Message(role="user", parts=(PICTURE,)),)
    assert said(user("hi"), middle(Text("a"), PICTURE), mid_instructions=False)[0][1] == Message(
        role="user", parts=(Text("<system-reminder>\na\n</system-reminder>"), PICTURE)
    )


def test_responses_takes_pictures_where_they_are() -> None:
    """The Responses API lets an instruction show something."""
    prompt = Prompt(items=(Instruction(parts=(Text("like this"), PICTURE)), user("hi")))

    assert Instructions(leg(CHAT, RESPONSES)).prompt(prompt) is prompt


def test_what_only_anthropic_says_of_an_instruction_is_told() -> None:
    """When it is to be forgotten, and how much to think of it, is lost with the wrapping, not silently."""
    _, lost = said(user("hi"), middle(clear_at={"x": 1}, effort="low"), client=ANTHROPIC, mid_instructions=False)

    assert lost == ["instruction.mid", "instruction.clear_at", "instruction.effort"]
