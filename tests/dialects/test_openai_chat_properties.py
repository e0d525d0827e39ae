"""Laws for any request and any reply that Chat can express."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from attrs import evolve
from chat import STREAM, WHOLE, feed, read, request, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgw.errors import ClientError
from llmgw.events import Choice, Reply, StopReason, Usage, fold, unfold
from llmgw.model import (
    Base64,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Instruction,
    Message,
    OutputFormat,
    Part,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Url,
)
from llmgw.stages import Head
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import every_cut

LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcXYZ_-0", min_size=1, max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
schemas = st.dictionaries(words, values, max_size=3)


# ---- requests -----------------------------------------------------------------------------------

texts = st.builds(Text, words)
images = st.builds(
    Image,
    st.builds(Base64, st.just("image/png"), names) | st.builds(Url, st.just("https://x/y")),
    detail=st.none() | st.just("low"),
)
documents = st.builds(Document, st.builds(Base64, st.just("application/pdf"), names), filename=st.none() | names)
calls = st.builds(ToolCall, call_id=names, name=names, arguments=words, kind=st.sampled_from(["function", "custom"]))
thoughts = st.builds(Reasoning, raw_text=st.tuples(words))


@st.composite
def assistants(draw: st.DrawFn) -> Message:
    """What an assistant says, in the order that a message has."""
    parts: list[Part] = draw(st.lists(thoughts, max_size=1))
    parts += draw(st.lists(texts, max_size=2))
    parts += draw(st.lists(st.builds(Refusal, words), max_size=1))
    parts += draw(st.lists(calls, max_size=2))
    return Message(role="assistant", parts=tuple(parts) or (Text("x"),))


def some(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(parts, min_size=1, max_size=3).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Turns that Chat can hold: results right behind the assistant, no two assistants in a row."""
    items: list[Any] = draw(
        st.lists(st.builds(Instruction, role=st.sampled_from(["system", "developer"]), parts=some(texts)), max_size=2)
    )
    for _ in range(draw(st.integers(1, 3))):
        items.append(
            draw(st.builds(Message, role=st.just("user"), parts=some(texts | images | documents), name=st.none() | names))
        )
        items.append(draw(assistants()))
        items += draw(st.lists(st.builds(ToolResult, call_id=names, parts=st.tuples(texts)), max_size=2))
    return tuple(evolve(item, turn=turn) for turn, item in enumerate(items))


functions = st.builds(
    FunctionTool, name=names, description=st.none() | words, schema=st.none() | schemas, strict=st.none() | st.booleans()
)
customs = st.builds(CustomTool, name=names, description=st.none() | words) | st.builds(
    CustomTool, name=names, syntax=st.sampled_from(["lark", "regex"]), definition=words
)
choices = (
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoice, st.just("named"), st.tuples(st.builds(ToolRef, names, st.sampled_from(["function", "custom"]))))
    | st.builds(ToolChoice, st.just("allowed"), some(st.builds(ToolRef, names)), st.sampled_from(["auto", "required"]))
)  # fmt: skip
samplings = st.builds(
    Sampling,
    max_output=st.none() | st.integers(1, 9), temperature=st.none() | st.floats(0, 2), top_p=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(0, 9), stop=st.lists(words, max_size=2).map(tuple), n=st.none() | st.integers(1, 3),
    logprobs=st.none() | st.booleans(), verbosity=st.none() | names,
)  # fmt: skip
outputs = st.builds(OutputFormat, kind=st.sampled_from(["text", "json_object"])) | st.builds(
    OutputFormat, kind=st.just("json_schema"), name=names, schema=st.none() | schemas, strict=st.none() | st.booleans()
)
prompts = st.builds(
    Prompt,
    items=conversations(), tools=st.lists(functions | customs, min_size=1, max_size=3).map(tuple),
        tool_choice=st.none() | choices,
    parallel_tools=st.none() | st.booleans(), sampling=samplings, reasoning=st.builds(ReasoningConfig, effort=st.none() | names),
    output=st.none() | outputs, tier=st.none() | names, end_user=st.none() | names, safety_id=st.none() | names,
    metadata=st.none() | st.dictionaries(words, words, max_size=2),
)  # fmt: skip


@LAW
@given(prompts)
def test_a_prompt_survives_being_written(prompt: Prompt) -> None:
    """A prompt that Chat can express, written from scratch and read again, is the same prompt."""
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    assert prompt == DIALECT.read_request(Head(), data).prompt


@LAW
@given(prompts, prompts)
def test_one_prompt_can_take_anothers_place(old: Prompt, new: Prompt) -> None:
    """A body whose prompt is replaced as a whole says the new prompt, and keeps what we do not know."""
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=old))
    asked = DIALECT.read_request(Head(), json.dumps({"odd": 1.0, **json.loads(data)}).encode())
    written = DIALECT.write_request(evolve(asked, prompt=new))
    assert new == DIALECT.read_request(Head(), written).prompt
    assert 1.0 == json.loads(written)["odd"]


@LAW
@given(
    st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "name", "refusal", "audio"]), values), max_size=3),
    values,
)
def test_no_request_makes_the_codec_stumble(messages: list[dict[str, Any]], value: Any) -> None:
    """Whatever a client sends, it is read, or refused with an error that is ours."""
    with suppress(ClientError):
        asked = request(messages=messages, tools=value, tool_choice=value, response_format=value, stop=value, reasoning=value)
        _ = asked.prompt
        DIALECT.write_request(evolve(asked, prompt=evolve(asked.prompt, tier="x")))


# ---- replies ------------------------------------------------------------------------------------

stops = st.sampled_from([
    StopReason("end", raw="stop"), StopReason("max_tokens", raw="length"), StopReason("content_filter", raw="content_filter"),
])  # fmt: skip
counts = st.none() | st.integers(0, 99)
usages = st.builds(
    Usage,
    input_total=st.integers(0, 99),
    output_total=st.integers(0, 99),
    cache_read=counts,
    cache_write=counts,
    reasoning=counts,
)


def safe(usage: Usage) -> Usage:
    """Without what looks like the vendors' error of leaving reasoning out of the total."""
    return evolve(usage, reasoning=None)


@st.composite
def answers(draw: st.DrawFn, index: int) -> Choice:
    """A choice whose parts stand in the order of a message."""
    parts: list[Part] = draw(st.lists(thoughts, max_size=1))
    parts += draw(st.lists(texts, max_size=1))
    parts += draw(st.lists(st.builds(Refusal, words), max_size=1))
    called = draw(st.lists(calls, max_size=3, unique_by=lambda call: call.call_id))
    stop = StopReason("tool_use", raw="tool_calls") if called else draw(stops)
    return Choice(index=index, parts=(*parts, *called), stop=stop)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A reply with some choices."""
    made = tuple(draw(answers(index)) for index in range(draw(st.integers(1, 2))))
    return Reply(
        id=draw(names), model=draw(names), created=draw(st.integers(0, 9)), choices=made, usage=draw(st.none() | usages.map(safe))
    )


@LAW
@given(replies())
def test_a_reply_survives_being_written(reply: Reply) -> None:
    """A reply that Chat can express, written as a stream or as a body and read again, is the same reply."""
    assert reply == fold(read(write(STREAM, unfold(reply))))
    assert reply == fold(feed(DIALECT.reader(stream=False), write(WHOLE, unfold(reply))))


@settings(LAW, max_examples=10)
@given(replies())
def test_a_reply_may_be_cut_anywhere(reply: Reply) -> None:
    """However a stream is cut, it is the same reply."""
    for pieces in every_cut(write(STREAM, unfold(reply))):
        assert reply == fold(read(*pieces))


@LAW
@given(values, st.binary(max_size=40))
def test_no_provider_makes_the_codec_stumble(value: Any, noise: bytes) -> None:
    """Whatever a provider sends, the events keep the laws and end."""
    wild = {"id": value, "choices": value, "usage": value}
    choice = {
        "index": value,
        "delta": {"content": value, "tool_calls": value, "reasoning_details": value, "audio": value},
        "logprobs": value,
    }
    odd = {"id": "x", "choices": [choice, {"delta": value, "finish_reason": value}]}
    for frames in ([wild], [odd], [odd, wild], [value]):
        stream = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in frames) + noise
        events = read(stream)
        assert events
        write(STREAM, [evolve(event) for event in events])
        feed(DIALECT.relay(stream=True), stream)
        feed(DIALECT.reader(stream=False), json.dumps(frames[0]).encode())
        DIALECT.read_error(500, {}, json.dumps(frames[0]).encode())
        DIALECT.read_error(500, {}, noise)
