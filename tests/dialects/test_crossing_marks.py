"""Cache marks: the client's as far as they go, ours where nothing is cached without."""

from __future__ import annotations

from typing import Any

import pytest
from steps import stepped

from llmgw.model import (
    CacheMark,
    CachePolicy,
    FunctionTool,
    Instruction,
    Message,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from llmgw_dialects.crossing.marks import Marks

M = CacheMark()


def text(words: str, mark: CacheMark | None = None) -> Text:
    return Text(words, cache=mark)


def user(*parts: Any) -> Message:
    return Message(role="user", parts=parts)


def said(*parts: Any) -> Message:
    return Message(role="assistant", parts=parts)


def places(prompt: Prompt) -> list[str]:
    """Where marks stand."""
    found = [tool.name for tool in prompt.tools if tool.cache and isinstance(tool, FunctionTool)]
    for item in prompt.items:
        found += [part.text for part in getattr(item, "parts", ()) if part.cache]
        found += [f"{type(item).__name__}" for _ in (1,) if getattr(item, "cache", None)]
    return found


def history(turns: int) -> tuple[Any, ...]:
    """So many turns of a conversation with a tool loop in each."""
    items: list[Any] = [Instruction(parts=(Text("s1"),)), Instruction(parts=(Text("s2"),))]
    for turn in range(turns):
        call = ToolCall(call_id=f"c{turn}", name="f", arguments="{}")
        items += [
            user(Text(f"u{turn}")),
            said(Text("t"), call),
            ToolResult(call_id=f"c{turn}", parts=(Text("r"),)),
            said(Text("a")),
        ]
    return (*items, user(Text("last")))


TOOLS = (FunctionTool(name="f"), FunctionTool(name="g"))


def test_marks_of_our_own() -> None:
    """Behind the tools, the instructions, and the last two turns of the user; never more than there may be."""
    made = stepped(Marks, "CA", Prompt(items=history(2), tools=TOOLS)).prompt
    assert ["g", "s2", "ToolResult", "last"] == places(made)
    assert made.items[-3].cache == M and made.items[-1].parts[-1].cache == M  # type: ignore[union-attr,attr-defined]
    assert ["g", "s2"] == places(stepped(Marks, "CA", Prompt(items=history(2), tools=TOOLS), marks_max=2).prompt)
    assert ["last"] == places(stepped(Marks, "SA", Prompt(items=(user(Text("last")),))).prompt)


def test_a_turn_later_the_prefix_is_the_same() -> None:
    """What was marked as the last turn is marked as the one before it in the next request."""
    one = stepped(Marks, "CA", Prompt(items=history(1), tools=TOOLS)).prompt
    call = ToolCall(call_id="n", name="f", arguments="{}")
    more = (*history(1), said(call), ToolResult(call_id="n", parts=(Text("r"),)))
    two = stepped(Marks, "CA", Prompt(items=more, tools=TOOLS)).prompt
    assert one.items[-1] == two.items[len(one.items) - 1] and one.tools == two.tools
    assert two.items[-1].cache == M  # type: ignore[union-attr,attr-defined]


def test_results_and_words_are_one_turn() -> None:
    """Words behind results end the same turn, and only its end is marked."""
    items = (user(Text("u")), said(Text("a")), ToolResult(call_id="c"), ToolResult(call_id="d"), user(Text("w")))
    assert ["u", "w"] == places(stepped(Marks, "CA", Prompt(items=items)).prompt)


@pytest.mark.parametrize("way", ["CA", "SA", "GA"])
def test_a_client_that_marks_knows_better(way: str) -> None:
    """One mark of the client's, or its wish for automatic caching, and none is added."""
    made = stepped(Marks, way, Prompt(items=(Instruction(parts=(text("s", M),)), user(Text("u"))), tools=TOOLS))
    assert ["s"] == places(made.prompt) and [] == made.losses
    assert [] == places(stepped(Marks, way, Prompt(items=(user(Text("u")),), cache=CachePolicy(auto=True))).prompt)


@pytest.mark.parametrize("way", ["AC", "AS", "AG"])
def test_none_where_there_are_none(way: str) -> None:
    """A provider without marks gets none, and each is a loss."""
    tools = (FunctionTool(name="f", cache=M),)
    made = stepped(Marks, way, Prompt(items=(Instruction(parts=(text("s", M),)), user(text("u", M))), tools=tools))
    assert [] == places(made.prompt) and [("cache.mark", "dropped")] * 3 == made.lost


def test_the_latest_count() -> None:
    """Of too many marks the last ones stay."""
    items = tuple(user(text(f"u{n}", M)) for n in range(6))
    made = stepped(Marks, "CA", Prompt(items=items, tools=(FunctionTool(name="f", cache=M),)))
    assert ["u2", "u3", "u4", "u5"] == places(made.prompt)
    assert [("cache.mark", "dropped")] * 3 == made.lost


def test_openai_marks_parts_of_what_it_is_told() -> None:
    """OpenAI's newer models take marks on the user's parts and the instructions', not on tools, calls or results."""
    long = CacheMark(ttl=3600.0)
    items = (
        Instruction(parts=(Text("s"), Text("t")), cache=long), user(text("u", M)), said(text("a", M)),
        ToolResult(call_id="c", parts=(text("r", M),)),
    )  # fmt: skip
    made = stepped(Marks, "AS", Prompt(items=items, tools=(FunctionTool(name="f", cache=M),)), model="gpt-5.6")
    assert ["t", "u"] == places(made.prompt)
    assert long == made.prompt.items[0].parts[1].cache  # type: ignore[union-attr,attr-defined]
    assert 3 == len(made.losses)


@pytest.mark.parametrize(("way", "kept"), [("AC", None), ("CS", {"k": 1}), ("CA", None)])
def test_marks_leave_their_words_behind(way: str, kept: Any) -> None:
    """How a client wrote a mark is for its own kin; how long it lasts is for all."""
    made = stepped(Marks, way, Prompt(items=(user(text("u", CacheMark(ttl=300.0, raw={"k": 1}))),)), model="", marks_max=4)
    assert CacheMark(ttl=300.0, raw=kept) == made.prompt.items[0].parts[0].cache  # type: ignore[union-attr,attr-defined]


def test_marks_move_off_what_cannot_have_them() -> None:
    """A mark on a thought or an empty text goes to the part before it; where there is none, it is lost."""
    items = (said(Text("a"), Reasoning(raw_text=("x",), cache=M)), user(Text("u"), text(" ", M)))
    made = stepped(Marks, "CA", Prompt(items=items))
    assert ["a", "u"] == places(made.prompt) and [] == made.losses
    made = stepped(Marks, "CA", Prompt(items=(user(text("", M)),)))
    assert [] == places(made.prompt) and [("cache.mark", "dropped")] == made.lost


@pytest.mark.parametrize(("way", "changes", "expected", "lost"), [
    ("SA", {}, CachePolicy(), ["cache.key", "cache.mode", "cache.ttl", "cache.retention"]),
    ("SC", {}, CachePolicy(key="k", mode="implicit", ttl="30m", retention="24h"), []),
    ("SC", {"refuses": frozenset({"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"})}, CachePolicy(),
     ["cache.key", "cache.mode", "cache.ttl", "cache.retention"]),
    ("SG", {}, CachePolicy(), ["cache.key", "cache.mode", "cache.ttl", "cache.retention"]),
])  # fmt: skip
def test_settings_of_caching(way: str, changes: Any, expected: CachePolicy, lost: list[str]) -> None:
    """OpenAI's settings are for OpenAI, and for those of its kind that take them."""
    policy = CachePolicy(key="k", mode="implicit", ttl="30m", retention="24h")
    made = stepped(Marks, way, Prompt(cache=policy), **changes)
    assert expected == made.prompt.cache and lost == [feature for feature, _ in made.lost]


def test_automatic_caching_is_anthropics() -> None:
    """Others do it anyway."""
    made = stepped(Marks, "AC", Prompt(cache=CachePolicy(auto=True, auto_ttl=300.0)))
    assert CachePolicy() == made.prompt.cache and [] == made.losses
