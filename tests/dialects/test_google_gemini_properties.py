"""Laws for any request and any reply that Gemini can express, and for any reply of another dialect."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from attrs import evolve
from gemini import ARRAY, STREAM, WHOLE, array, feed, frame, head, lawful, read, request, write
from gemini_recordings import told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgw.errors import ClientError
from llmgw.events import Choice, Reply, StopReason, Usage, fold, unfold
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    Carrier,
    Document,
    FileUri,
    FunctionTool,
    Image,
    Instruction,
    Message,
    OutputFormat,
    Part,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Video,
)
from llmgw_dialects.google_gemini import DIALECT
from llmgw_dialects.google_gemini.arrays import ArraySplitter, element
from llmgw_testing import every_cut

LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcXYZ_0", min_size=1, max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(words, values, max_size=3)
schemas = st.dictionaries(words, st.booleans() | words, min_size=1, max_size=3)
signatures = st.none() | st.builds(
    Carrier, provider=st.just("google"), kind=st.just("thought_signature"), payload=st.just("c2ln")
)


def compact(value: Any) -> str:
    """Arguments as a model writes them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---- requests -----------------------------------------------------------------------------------

texts = st.builds(Text, words, carrier=signatures)
blobs = st.builds(Base64, st.just("image/png"), names) | st.builds(FileUri, st.just("gs://b/x"), st.just("image/png"))
images = st.builds(Image, blobs, resolution=st.none() | st.just("LOW"))
documents = st.builds(Document, st.builds(Base64, st.just("application/pdf"), names), media_type=st.just("application/pdf"))
sounds = st.builds(Audio, st.builds(Base64, st.just("audio/wav"), names))
films = st.builds(Video, st.builds(FileUri, st.just("https://youtu.be/x"), st.just("video/mp4")), start=st.none() | st.just(1.5))
calls = st.builds(ToolCall, call_id=names, name=names, arguments=arguments.map(compact), carrier=signatures)


def some(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One to three of them."""
    return st.lists(parts, min_size=1, max_size=3).map(tuple)


@st.composite
def results(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    """A result of a call: a text, a failure, or an object; with pictures or not."""
    media = tuple(draw(st.lists(st.builds(Image, st.builds(Base64, st.just("image/png"), names)), max_size=1)))
    told: dict[str, Any] = {"call_id": call.call_id, "name": call.name}
    if draw(st.booleans()):
        return ToolResult(parts=(Text(draw(words)), *media), is_error=draw(st.sampled_from([None, True])), **told)
    return ToolResult(structured={"temp": draw(st.integers(0, 9)), "unit": "C"}, **told)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Turns that Gemini can hold: user and model in turn, results right behind the calls, in their order."""
    items: list[Any] = []
    for turn in range(0, 2 * draw(st.integers(1, 3)), 2):
        called = draw(st.lists(calls, max_size=2, unique_by=lambda call: call.call_id))
        called = [evolve(call, call_id=f"{call.call_id}{turn}") for call in called]
        if turn == 0 or not items[-1].parts or not isinstance(items[-1].parts[-1], ToolCall):
            items.append(Message(role="user", parts=draw(some(texts | images | documents | sounds | films)), turn=turn))
        said = draw(st.lists(texts, min_size=0 if called else 1, max_size=2))
        items.append(Message(role="assistant", parts=(*said, *called), turn=turn + 1))
        items += [evolve(draw(results(call)), turn=turn + 2) for call in called]
        if called:
            items.append(Message(role="user", parts=draw(some(texts)), turn=turn + 2))
            items.append(Message(role="assistant", parts=draw(some(texts)), turn=turn + 3))
    return tuple(items)


functions = st.builds(FunctionTool, name=names, description=st.none() | words, schema=st.none() | schemas)
builtins = st.sampled_from([
    BuiltinTool(kind="web_search", vendor="google.gemini", name="googleSearch", config={}),
    BuiltinTool(kind="code_execution", vendor="google.gemini", name="codeExecution", config={}),
])  # fmt: skip
references = st.lists(st.builds(ToolRef, names), min_size=2, max_size=3).map(tuple)
choices = (
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoice, st.just("named"), st.tuples(st.builds(ToolRef, names)))
    | st.builds(ToolChoice, st.just("allowed"), references, st.just("required"))
    | st.builds(ToolChoice, st.just("validated"), references)
)
samplings = st.builds(
    Sampling,
    max_output=st.none() | st.integers(1, 9), temperature=st.none() | st.floats(0, 2), top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 9), seed=st.none() | st.integers(0, 9), stop=st.lists(words, max_size=2).map(tuple),
    n=st.none() | st.integers(1, 3), logprobs=st.none() | st.booleans(), top_logprobs=st.none() | st.integers(0, 3),
    frequency_penalty=st.none() | st.floats(-2, 2), modalities=st.none() | st.just(("text", "image")),
)  # fmt: skip
thinking = (
    st.builds(ReasoningConfig, show=st.sampled_from([None, "auto", "omitted"]), mode=st.sampled_from(["unset", "off", "auto"]))
    | st.builds(ReasoningConfig, mode=st.just("budget"), budget=st.integers(1, 99))
    | st.builds(ReasoningConfig, effort=st.sampled_from(["minimal", "low", "high"]))
)
outputs = st.none() | st.sampled_from([
    OutputFormat(kind="json_object"), OutputFormat(kind="json_schema", schema={"type": "object"}),
    OutputFormat(kind="mime", mime="text/x.enum", schema={"type": "string", "enum": ["a"]}),
])  # fmt: skip
prompts = st.builds(
    Prompt,
    items=st.tuples(st.lists(st.builds(Instruction, parts=some(st.builds(Text, words))), max_size=1), conversations()).map(
        lambda both: (*both[0], *both[1])
    ),
    tools=st.tuples(st.lists(functions, max_size=2), st.lists(builtins, max_size=1)).map(lambda both: (*both[0], *both[1])),
    tool_choice=st.none() | choices, sampling=samplings, reasoning=thinking, output=outputs,
    tier=st.none() | st.sampled_from(["flex", "priority"]),
)  # fmt: skip


def plain(prompt: Prompt) -> Prompt:
    """A prompt without the turns of its items, and without which id of a call was the client's own."""
    items = []
    for item in prompt.items:
        parts = tuple(evolve(part, native_id=None) if isinstance(part, ToolCall) else part for part in getattr(item, "parts", ()))
        items.append(evolve(item, turn=0, **({"parts": parts} if hasattr(item, "parts") else {})))  # type: ignore[call-arg]
    return evolve(prompt, items=tuple(items))


@LAW
@given(prompts)
def test_a_prompt_survives_being_written(prompt: Prompt) -> None:
    """A prompt that Gemini can express, written from scratch and read again, is the same prompt."""
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    assert plain(prompt) == plain(DIALECT.read_request(head(), data).prompt)


@LAW
@given(prompts)
def test_a_prompt_is_written_the_same_each_time(prompt: Prompt) -> None:
    """The same prompt gives the same bytes, and nothing of it is told to be lost."""
    losses: list[Any] = []
    first = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt), losses)
    assert first == DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    assert [] == losses


@LAW
@given(prompts, prompts)
def test_one_prompt_can_take_anothers_place(old: Prompt, new: Prompt) -> None:
    """A body whose prompt is replaced as a whole says the new prompt, and keeps what we do not know."""
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=old))
    asked = DIALECT.read_request(head(), json.dumps({"odd": 1.0, **json.loads(data)}).encode())
    written = DIALECT.write_request(evolve(asked, prompt=new))
    assert plain(new) == plain(DIALECT.read_request(head(), written).prompt)
    assert 1.0 == json.loads(written)["odd"]


FIELDS = ["role", "parts", "text", "functionCall", "function_response", "inlineData", "thoughtSignature", "executableCode"]


@LAW
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), values, max_size=4), max_size=3), values)
def test_no_request_makes_the_codec_stumble(contents: list[dict[str, Any]], value: Any) -> None:
    """Whatever a client sends, it is read, or refused with an error that is ours."""
    inner = [{"parts": [one]} for one in contents] + contents
    for field in (inner, value):
        with suppress(ClientError):
            asked = request(
                contents=field, tools=value, toolConfig=value, generationConfig=value, systemInstruction=value, labels=value
            )
            _ = asked.prompt
            DIALECT.write_request(evolve(asked, prompt=evolve(asked.prompt, tier="flex")))
            DIALECT.write_request(evolve(asked, raw=None, prompt=asked.prompt))


# ---- replies ------------------------------------------------------------------------------------

stops = st.sampled_from([
    StopReason("end", raw="STOP"), StopReason("max_tokens", raw="MAX_TOKENS"),
    StopReason("content_filter", category="safety", explanation="no", raw="SAFETY"),
])  # fmt: skip
counts = st.none() | st.integers(0, 99)
usages = st.builds(Usage, input_total=st.integers(0, 99), output_total=st.integers(99, 199), cache_read=counts, reasoning=counts)
thoughts = st.builds(Reasoning, summary=st.tuples(words), carrier=signatures)


@st.composite
def answers(draw: st.DrawFn, index: int) -> Choice:
    """A candidate."""
    parts: list[Part] = draw(st.lists(thoughts | st.builds(Text, words, carrier=signatures), max_size=3))
    called = draw(st.lists(calls, max_size=3, unique_by=lambda call: call.call_id))
    reason = StopReason("tool_use", raw="STOP") if called else draw(stops)
    return Choice(index=index, parts=(*parts, *called), stop=reason)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A reply with some candidates."""
    made = tuple(draw(answers(index)) for index in range(draw(st.integers(1, 2))))
    return Reply(id=draw(names), model=draw(names), choices=made, usage=draw(st.none() | usages))


def merged(reply: Reply) -> Reply:
    """A reply whose neighbouring thoughts are one, as no wire has a seam between them."""
    choices = []
    for choice in told(reply).choices:
        parts: list[Part] = []
        for part in choice.parts:
            last = parts[-1] if parts else None
            if isinstance(part, Reasoning) and isinstance(last, Reasoning) and last.carrier is None:
                parts[-1] = evolve(part, summary=("".join((*last.summary, *part.summary)),))
            else:
                parts.append(part)
        choices.append(evolve(choice, parts=tuple(parts)))
    return evolve(told(reply), id=reply.id, model=reply.model, choices=tuple(choices))


@LAW
@given(replies())
def test_a_reply_survives_being_written(reply: Reply) -> None:
    """A reply that Gemini can express, written in any framing and read again, is the same reply."""
    expected = merged(reply)
    assert expected == merged(fold(read(write(STREAM, unfold(reply)))))
    assert expected == merged(fold(read(write(ARRAY, unfold(reply)))))
    assert expected == merged(fold(lawful(feed(DIALECT.reader(stream=False), write(WHOLE, unfold(reply))))))


@settings(LAW, max_examples=10)
@given(replies())
def test_a_reply_may_be_cut_anywhere(reply: Reply) -> None:
    """However a stream is cut, in either framing, it is the same reply."""
    for asked in (STREAM, ARRAY):
        data = write(asked, unfold(reply))
        expected = fold(read(data))
        for pieces in every_cut(data, most=300):
            assert expected == fold(read(*pieces))


@LAW
@given(st.lists(st.dictionaries(words, values, max_size=3), max_size=4), st.integers(0, 3))
def test_an_array_is_cut_into_its_elements(elements: list[dict[str, Any]], indent: int) -> None:
    """The pieces of an array are its bytes, and hold its elements, whatever stands in strings and however it was cut."""
    data = json.dumps(elements, indent=indent or None, ensure_ascii=indent % 2 == 0).encode("utf-8", "replace")
    for pieces in every_cut(data, most=60):
        splitter = ArraySplitter()
        found = [one for piece in pieces for one in splitter.feed(piece)]
        assert splitter.closed
        assert data == b"".join([*found, splitter.close()])
        assert json.loads(data) == [json.loads(element(one)) for one in found]


@LAW
@given(values, st.binary(max_size=40))
def test_no_provider_makes_the_codec_stumble(value: Any, noise: bytes) -> None:
    """Whatever a provider sends, the events keep the laws and end."""
    wild = {"responseId": value, "candidates": value, "usageMetadata": value, "promptFeedback": value}
    part = {"text": value, "functionCall": value, "thoughtSignature": value, "inlineData": value}
    candidate = {"index": value, "content": {"parts": [part, {"text": value}, {"toolCall": value}, value]}, "finishReason": value}
    about = {"groundingMetadata": value, "citationMetadata": value, "logprobsResult": value, "content": value}
    odd = {"responseId": "x", "candidates": [candidate, about, {"content": {"parts": value}, "finishReason": "STOP"}]}
    for chunks in ([wild], [odd], [odd, wild], [value]):
        for data in (b"".join(map(frame, chunks)) + noise, array(*chunks) + noise, noise + array(*chunks)):
            events = read(data)
            assert events
            write(STREAM, [evolve(event) for event in events])
            write(ARRAY, [evolve(event) for event in events])
            feed(DIALECT.relay(stream=True), data)
        lawful(feed(DIALECT.reader(stream=False), json.dumps(chunks[0]).encode()))
        DIALECT.read_error(500, {}, json.dumps(chunks[0]).encode())
        DIALECT.read_error(500, {}, noise)
