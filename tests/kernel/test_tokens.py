from __future__ import annotations

import statistics
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import UsageUpdate
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    Carrier,
    Compaction,
    CustomTool,
    Document,
    FileId,
    FileUri,
    FunctionTool,
    Image,
    Instruction,
    Item,
    ItemReference,
    McpServer,
    Message,
    Namespace,
    OpaqueItem,
    OpaquePart,
    OutputFormat,
    Part,
    PlainText,
    Prompt,
    Reasoning,
    Refusal,
    SearchResult,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    ToolResult,
    ToolSetChange,
    Url,
    Video,
)
from llmgw.tokens import estimated, of_text

SEALED = Carrier("acme", "encrypted_content", "x" * 400)
PICTURE = Base64("image/png", "AAAA")
PARTS: list[Part] = [
    Text("word"),
    Refusal("no"),
    Reasoning(summary=("so",)),
    Reasoning(raw_text=("so",)),
    Reasoning(carrier=SEALED),
    ToolCall(call_id="1", name="f", arguments="{}"),
    Image(PICTURE),
    Image(Url("http://h/i.png")),
    Document(PICTURE),
    Document(FileId("f")),
    Document(PlainText("word")),
    Document((Text("word"),)),
    Audio(PICTURE),
    Audio(id="a"),
    Audio(id="a", transcript="hm"),
    Audio(Url("http://h/a.mp3")),
    Video(PICTURE),
    Video(FileUri("gs://v")),
    SearchResult(url="http://h", title="t", parts=(Text("word"),)),
    ServerToolCall(tool="search", input={"q": "x"}),
    ServerToolCall(tool="search", raw={"q": "x"}),
    ServerToolResult(tool="search", output=[1]),
    ServerToolResult(tool="search"),
    OpaquePart(dialect="toy", type="odd", raw={"a": 1}),
]
ITEMS: list[Item] = [
    Instruction(parts=(Text("Be brief."),)),
    ToolResult(call_id="1", parts=(Text("word"),)),
    ToolResult(call_id="1", structured={"a": 1}),
    ToolResult(call_id="1", parts=(Image(PICTURE),)),
    ToolSetChange(added=(FunctionTool(name="f"),)),
    Compaction(carrier=SEALED),
    ItemReference(id="i"),
    OpaqueItem(dialect="toy", type="odd", raw={"a": 1}),
]
TOOLS: list[Any] = [
    FunctionTool(name="f"),
    CustomTool(name="f", definition="start: WORD"),
    BuiltinTool(kind="search", vendor="acme"),
    McpServer(label="files", url="http://h"),
    Namespace(name="n", tools=(FunctionTool(name="f"),)),
]


def saying(*parts: Part) -> Prompt:
    """A prompt of one message."""
    return Prompt(items=(Message(role="user", parts=parts),))


EMPTY = estimated(saying())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_every_part_counts(part: Part) -> None:
    """None of them is free, alone or beside others."""
    assert EMPTY < estimated(saying(part))
    assert estimated(saying(Text("Hello"))) < estimated(saying(Text("Hello"), part))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_every_item_counts(item: Item) -> None:
    """More than a message that says nothing."""
    assert EMPTY < estimated(Prompt(items=(item,)))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: type(tool).__name__)
def test_every_tool_counts(tool: Any) -> None:
    """The first most, for with it comes what a provider says about tools."""
    none, one, two = (estimated(Prompt(items=saying().items, tools=(tool,) * number)) for number in range(3))

    assert 0 < two - one < one - none


def test_more_of_it_counts_more() -> None:
    """Schemas, arguments, descriptions, documents, sounds and thoughts by their length."""
    long = "words and words " * 100
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in "abcdef"}}
    pairs: list[tuple[Prompt, Prompt]] = [
        (Prompt(tools=(FunctionTool(name="f"),)), Prompt(tools=(FunctionTool(name="f", schema=schema),))),
        (Prompt(tools=(FunctionTool(name="f"),)), Prompt(tools=(FunctionTool(name="f", description=long),))),
        (Prompt(), Prompt(output=OutputFormat(kind="json_schema", schema=schema))),
        (saying(ToolCall(call_id="1", name="f", arguments="{}")), saying(ToolCall(call_id="1", name="f", arguments=long))),
        (saying(Document(Base64("application/pdf", "A" * 100))), saying(Document(Base64("application/pdf", "A" * 1_000_000)))),
        (saying(Document(PlainText("x"))), saying(Document(PlainText(long)))),
        (saying(Document(PlainText("x"))), saying(Document(PlainText("x"), context=long))),
        (saying(Audio(Base64("audio/mp3", "A" * 100))), saying(Audio(Base64("audio/mp3", "A" * 1_000_000)))),
        (saying(Reasoning(carrier=Carrier("a", "redacted", "x" * 40))), saying(Reasoning(carrier=SEALED))),
        (saying(Reasoning(summary=("so",))), saying(Reasoning(summary=("so",), carrier=SEALED))),
        (saying(SearchResult(url="u", title="t")), saying(SearchResult(url="u", title="t", parts=(Text(long),)))),
    ]
    for less, more in pairs:
        assert estimated(less) + 20 < estimated(more)


def test_a_thought_is_not_counted_twice() -> None:
    """Beside a signature stands the thought itself."""
    signature = Carrier("acme", "signature", "x" * 4000)

    assert estimated(saying(Reasoning(raw_text=("so",)))) == estimated(saying(Reasoning(raw_text=("so",), carrier=signature)))


@given(st.text(), st.text())
def test_more_text_never_counts_less(text: str, more: str) -> None:
    """Whatever characters it has."""
    assert of_text(text) <= of_text(text + more) <= of_text(text) + 2 * len(more)
    assert estimated(saying(Text(text))) <= estimated(saying(Text(text + more)))


@given(st.text(min_size=1))
def test_no_text_is_free(text: str) -> None:
    """Every character belongs to some token."""
    assert 1 <= of_text(text)
    assert len(text) <= 64 * of_text(text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_surrogate_pair(text: str) -> None:
    """Clients that cut emoji in two are counted for, wherever it stands."""
    assert 0 < of_text(text)
    assert EMPTY < estimated(saying(OpaquePart(dialect="toy", type="odd", raw={"a": text})))


def test_even_nothing_has_its_frame() -> None:
    """No prompt has no token."""
    assert 0 < estimated(Prompt())


# ---- against what providers counted -------------------------------------------------------------

sys.path.append(str(Path(__file__).parents[1] / "dialects"))


@frozen
class Counted:
    """A recorded prompt, as the provider counted it and as we do."""

    who: tuple[str, str]
    real: int
    ours: int
    plain: bool
    """Whether all of it is text."""
    media: bool


@cache
def counted() -> list[Counted]:
    """All recorded exchanges with a count, but for providers that put up to 1,500 tokens of their own before a prompt.

    Nobody can know these; they are told by what they add to a prompt of a few words.
    """
    from chat_recordings import NAME, events_of, named, read_request
    from recordings import load

    found = []
    for one in load(NAME):
        if one.status != 200 or not one.request or b'"messages"' not in one.request or one.endpoint != "chat.completions":
            continue
        request = read_request(named(one.request))
        usage = [event.usage for event in events_of(one) if isinstance(event, UsageUpdate)]
        if usage and usage[-1].input_total:
            prompt = request.prompt
            parts = {type(part) for item in prompt.items for part in getattr(item, "parts", ())}
            plain = parts <= {Text} and not prompt.tools and prompt.output is None
            who = one.name.partition("--")[0], request.model
            media = not parts.isdisjoint({Image, Audio, Video, Document, OpaquePart})
            found.append(Counted(who, usage[-1].input_total, estimated(prompt), plain, media))
    adding = {one.who for one in found if one.plain and one.ours < 60 and one.real - one.ours >= 20}
    return [one for one in found if one.who not in adding]


def test_recorded_counts_of_text_are_met() -> None:
    """Rarely less than nine tenths of what the provider counted, or more than 1.6 times as much; from 100 tokens on never."""
    texts = [one for one in counted() if one.plain]
    if len(texts) < 100:
        pytest.skip("too few recordings here")

    assert 0.05 >= sum(one.ours < 0.9 * one.real for one in texts) / len(texts)
    assert 0.05 >= sum(one.ours > 1.6 * one.real for one in texts if one.real >= 50) / len(texts)
    assert [] == [one for one in texts if one.real >= 100 and not 0.9 <= one.ours / one.real <= 1.6]


def test_recorded_counts_with_tools_are_not_too_low() -> None:
    """Nor too high where the prompt is long, which is where agents decide by it."""
    found = [one for one in counted() if not one.plain and not one.media]
    if len(found) < 100:
        pytest.skip("too few recordings here")

    assert 0.1 >= sum(one.ours < 0.9 * one.real for one in found) / len(found)
    assert [] == [one for one in found if one.real >= 1000 and one.ours > 1.6 * one.real]


def test_recorded_counts_of_messages_are_met() -> None:
    """Text and plain tools, from 500 tokens on: rarely more than a twentieth too low, mostly a little too high."""
    from messages_recordings import NAME
    from recordings import load

    from llmgw.stages import Head
    from llmgw_dialects.anthropic_messages import DIALECT

    ratios = []
    for one in load(NAME):
        if one.status != 200 or not one.request or one.endpoint != "messages" or b"REDACTED" in one.request:
            continue
        if b'"model":' not in one.request:  # a cloud has it in the path
            continue
        prompt = DIALECT.read_request(Head(), one.request).prompt
        parts = {type(part) for item in prompt.items for part in getattr(item, "parts", ())}
        if not parts <= {Text, ToolCall, Reasoning} or not all(isinstance(tool, FunctionTool) for tool in prompt.tools):
            continue  # nobody but the provider knows what its own tools, files and citations add
        reader = DIALECT.reader(stream=one.stream)
        events = [*reader.feed(one.body), *reader.close()]
        usage = [event.usage for event in events if isinstance(event, UsageUpdate) and event.usage.input_total]
        if usage and (usage[-1].input_total or 0) >= 500:
            ratios.append(estimated(prompt) / (usage[-1].input_total or 1))
    if len(ratios) < 50:
        pytest.skip("too few recordings here")

    assert 0.25 >= sum(one < 0.95 for one in ratios) / len(ratios)
    assert 0.95 <= statistics.median(ratios) <= 1.15
    assert 1.6 >= max(ratios)
