"""The answer's form, where a model can be held to it and where it can only be asked."""

from __future__ import annotations

from typing import Any

import pytest
from steps import USER, stepped

from llmgw.model import FunctionTool, Instruction, Message, OutputFormat, Prompt, Text, ToolResult
from llmgw_dialects.crossing.outputs import Outputs

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
F = (FunctionTool(name="f"),)
JSON_WORDS = "Answer with a JSON value only, without any other text and without code fences."


def formed(way: str, output: OutputFormat, *, tools: Any = (), items: Any = (USER,), **rest: Any) -> Any:
    return stepped(Outputs, way, Prompt(items=items, tools=tools, output=output), **rest)


def words(made: Any) -> list[str]:
    return [part.text for item in made.prompt.items for part in item.parts[1:] if isinstance(part, Text)]


@pytest.mark.parametrize("way", ["CA", "SG", "AG"])
def test_a_schema_where_it_is_known(way: str) -> None:
    """A provider that holds a model to a schema is told."""
    made = formed(way, OutputFormat(kind="json_schema", schema=SCHEMA))
    assert made.prompt is made.step.leg.request.prompt


@pytest.mark.parametrize("way", ["AC", "AS"])
def test_openai_wants_a_name(way: str) -> None:
    """Dialects without names for schemas give none; OpenAI's get one."""
    assert "response" == formed(way, OutputFormat(kind="json_schema", schema=SCHEMA)).prompt.output.name
    assert "n" == formed(way, OutputFormat(kind="json_schema", schema=SCHEMA, name="n")).prompt.output.name


@pytest.mark.parametrize(("way", "model", "tools", "kept"), [
    ("CA", "claude-3-5-haiku-latest", (), None), ("CG", "gemini-2.5-flash", F, None),
    ("AC", "deepseek-v4-pro", (), "json_object"),
])  # fmt: skip
def test_a_schema_where_it_is_not(way: str, model: str, tools: Any, kept: str | None) -> None:
    """Otherwise the schema is told in words behind what the user said; a model that can is held to JSON at least."""
    made = formed(way, OutputFormat(kind="json_schema", schema=SCHEMA), model=model, tools=tools)
    assert [
        f'{JSON_WORDS} It must be valid against this JSON Schema: {{"type":"object","properties":{{"a":{{"type":"string"}}}}}}'
    ] == words(made)
    assert kept == (made.prompt.output and made.prompt.output.kind)
    assert [("response_format", "emulated")] == made.lost


def test_gemini_2_without_tools() -> None:
    """It is the tools that an older Gemini cannot combine with a form."""
    made = formed("CG", OutputFormat(kind="json_schema", schema=SCHEMA), model="gemini-2.5-flash")
    assert [] == made.losses and made.prompt.output is not None


@pytest.mark.parametrize("schema", [{"type": "array", "items": {}}, {"enum": ["a"]}])
def test_openai_answers_with_objects(schema: Any) -> None:
    """What is no object OpenAI must be asked for in words."""
    made = formed("GS", OutputFormat(kind="json_schema", schema=schema))
    assert made.prompt.output is None and 1 == len(words(made))
    assert [] == formed("AG", OutputFormat(kind="json_schema", schema=schema)).losses


@pytest.mark.parametrize(("way", "said", "added"), [
    ("CA", "as json", [JSON_WORDS]), ("CG", "x", []), ("GC", "x", [JSON_WORDS]), ("GC", "As JSON please", []),
    ("GS", "x", [JSON_WORDS]),
])  # fmt: skip
def test_any_json(way: str, said: str, added: list[str]) -> None:
    """Claude is asked in words; OpenAI wants the word to be said; Gemini needs neither."""
    made = formed(way, OutputFormat(kind="json_object"), items=(Message(role="user", parts=(Text(said),)),))
    assert added == words(made)
    assert (None if way == "CA" else "json_object") == (made.prompt.output and made.prompt.output.kind)


def test_the_word_may_stand_in_the_instructions() -> None:
    """The whole conversation counts."""
    items = (Instruction(parts=(Text("Speak JSON."),)), USER)
    assert [] == formed("GC", OutputFormat(kind="json_object"), items=items).losses


@pytest.mark.parametrize(("way", "output", "kind", "added"), [
    ("GC", OutputFormat(kind="mime", mime="text/x.enum", schema={"type": "string", "enum": ["a", 1]}), None,
     ["Answer with exactly one of these values and nothing else: a, 1"]),
    ("GC", OutputFormat(kind="mime", mime="application/json", schema=SCHEMA), "json_schema", []),
    ("GC", OutputFormat(kind="mime", mime="text/csv"), None, []), ("AC", OutputFormat(), "text", []),
])  # fmt: skip
def test_other_types(way: str, output: OutputFormat, kind: str | None, added: list[str]) -> None:
    """Of Gemini's other types an enum can be asked for, the rest is lost."""
    made = formed(way, output)
    assert kind == (made.prompt.output and made.prompt.output.kind) and added == words(made)
    if output.mime == "text/csv":
        assert [("response_format.mime", "dropped")] == made.lost


def test_gemini_keeps_its_types() -> None:
    """Within Google's dialects nothing changes."""
    made = formed("CG", OutputFormat(kind="mime", mime="text/x.enum", schema={"enum": ["a"]}))
    assert made.prompt is made.step.leg.request.prompt


def test_words_stand_where_they_stay() -> None:
    """In a tool loop the words stay with what the user said, so that what comes before a cache mark keeps its bytes."""
    items = (USER, Message(role="assistant", parts=(Text("x"),), turn=1), ToolResult(call_id="c", turn=2))
    made = formed("CA", OutputFormat(kind="json_object"), items=items)
    assert (Message(role="user", parts=(Text("hi"), Text(JSON_WORDS))), *items[1:]) == made.prompt.items
    alone = formed("CA", OutputFormat(kind="json_object"), items=())
    assert (Message(role="user", parts=(Text(JSON_WORDS),), turn=1),) == alone.prompt.items
