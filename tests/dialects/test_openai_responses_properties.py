"""Laws for any request and any reply that Responses can express, and for any reply of another dialect."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from responses import STREAM, WHOLE, final, foreign, objects, read, read_whole, write
from test_openai_responses_sdk import gist, plain, streamed

from llmgw.events import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Choice,
    Event,
    Reply,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
    unfold,
)
from llmgw.model import (
    Base64,
    Carrier,
    Compaction,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Instruction,
    ItemReference,
    Message,
    Namespace,
    OutputFormat,
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
from llmgw_dialects.openai_responses import DIALECT
from llmgw_testing import every_cut

LAW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    ["\u2028", "🙂", '"', "\\", "\n\n", "data: x"]
)
names = st.text("abcXYZ_-0", min_size=1, max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
schemas = st.builds(lambda properties: {"type": "object", "properties": properties}, st.dictionaries(words, values, max_size=3))
arguments = st.dictionaries(words, values | st.just(123456789012345678901234567890), max_size=2).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
own = st.builds(Carrier, st.just("openai"), st.just("encrypted_content"), names)

# ---- requests -----------------------------------------------------------------------------------

texts = st.builds(Text, words)
images = st.builds(
    Image,
    st.builds(Base64, st.just("image/png"), names) | st.builds(Url, st.just("https://x/y")),
    detail=st.sampled_from(["auto", "low", "high", "original"]),
)
documents = st.builds(Document, st.builds(Base64, st.just("application/pdf"), names), filename=names)
calls = st.builds(
    ToolCall,
    call_id=names,
    name=names,
    arguments=words,
    kind=st.sampled_from(["function", "custom"]),
    namespace=st.none() | names,
)
thoughts = st.builds(Reasoning, summary=st.lists(words, max_size=2).map(tuple), carrier=own)


def some(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(parts, min_size=1, max_size=3).map(tuple)


@st.composite
def assistants(draw: st.DrawFn) -> Message:
    """What an assistant says, in any order; words that stand together are of different messages, or of the same."""
    parts = draw(st.lists(thoughts | calls | texts, min_size=1, max_size=5))
    group, out = -1, []
    for n, part in enumerate(parts):
        if isinstance(part, Text):
            joins = n > 0 and isinstance(parts[n - 1], Text) and draw(st.booleans())
            group = group if joins else group + 1
            part = evolve(part, group=group, phase=None if joins else draw(st.sampled_from([None, "commentary", "final_answer"])))
            if joins and isinstance(out[-1], Text):
                part = evolve(part, phase=out[-1].phase)
        out.append(part)
    if draw(st.booleans()) and isinstance(out[-1], Text):
        out.append(draw(st.builds(Refusal, words)))
    return Message(role="assistant", parts=tuple(out))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Turns in which the assistant never speaks twice in a row, for that would be one run."""
    items: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        items.append(draw(st.builds(Message, role=st.just("user"), parts=some(texts | images | documents))))
        said = draw(assistants())
        items.append(said)
        for part in said.parts:
            if isinstance(part, ToolCall):
                parts = draw(st.tuples(texts) | st.tuples(texts, images))
                items.append(ToolResult(call_id=part.call_id, kind=part.kind, parts=parts))
        items += draw(st.lists(st.builds(ItemReference, id=names) | st.just(Compaction(trigger=True)), max_size=1))
    customs = {part.call_id for item in items for part in getattr(item, "parts", ()) if getattr(part, "kind", "") == "custom"}
    fixed = [
        evolve(item, kind="custom" if item.call_id in customs else "function") if isinstance(item, ToolResult) else item
        for item in items
    ]
    return tuple(fixed)


functions = st.builds(FunctionTool, name=names, description=st.none() | words, schema=schemas, strict=st.booleans())
freeform = st.builds(CustomTool, name=names, description=st.none() | words) | st.builds(
    CustomTool, name=names, syntax=st.sampled_from(["lark", "regex"]), definition=words
)
tools = functions | freeform | st.builds(Namespace, name=names, description=words, tools=some(functions | freeform))
choices = (
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoice, st.just("named"), st.tuples(st.builds(ToolRef, names, st.sampled_from(["function", "custom"]))))
    | st.builds(ToolChoice, st.just("allowed"), some(st.builds(ToolRef, names)), st.sampled_from(["auto", "required"]))
)  # fmt: skip
samplings = st.builds(
    Sampling,
    max_output=st.none() | st.integers(16, 99), temperature=st.none() | st.floats(0, 2), top_p=st.none() | st.floats(0, 1),
    top_logprobs=st.none() | st.integers(0, 20), logprobs=st.sampled_from([None, True]), verbosity=st.none() | st.just("low"),
)  # fmt: skip
thinking = st.builds(
    ReasoningConfig, effort=st.none() | st.just("high"), show=st.none() | st.just("auto"), want_encrypted=st.booleans(),
    context=st.none() | st.just("all_turns"),
)  # fmt: skip
outputs = st.builds(OutputFormat, kind=st.sampled_from(["text", "json_object"])) | st.builds(
    OutputFormat, kind=st.just("json_schema"), name=names, schema=schemas, strict=st.none() | st.booleans()
)
prompts = st.builds(
    Prompt,
    items=conversations(), tools=some(tools), tool_choice=st.none() | choices, sampling=samplings, reasoning=thinking,
    output=st.none() | outputs, parallel_tools=st.none() | st.booleans(),
    metadata=st.none() | st.dictionaries(names, words, max_size=2),
    tier=st.none() | names, end_user=st.none() | names, safety_id=st.none() | names, max_tool_calls=st.none() | st.integers(1, 9),
)  # fmt: skip


def semantic(prompt: Prompt) -> Prompt:
    """A prompt without what only tells where it was read, and with what is always said."""
    items: list[Any] = []
    for item in prompt.items:
        item = evolve(item, turn=0)
        if isinstance(item, Message):
            parts = [evolve(part, item_id=None, status=None) if isinstance(part, ToolCall) else part for part in item.parts]
            item = evolve(item, parts=tuple(parts))
        if isinstance(item, ToolResult) and all(isinstance(part, Text) for part in item.parts):
            item = evolve(item, parts=(Text("".join(part.text for part in item.parts if isinstance(part, Text))),))
        items.append(item)
    return evolve(prompt, items=tuple(items), include=frozenset(), server_state=evolve(prompt.server_state, store=False))


@LAW
@given(prompts)
def test_any_prompt_survives_writing_and_reading(prompt: Prompt) -> None:
    """A prompt of what Responses can say, written and read again, says the same."""
    written = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    assert semantic(prompt) == semantic(DIALECT.read_request(Head(), written).prompt)


@LAW
@given(prompts)
def test_instructions_survive_writing_and_reading(prompt: Prompt) -> None:
    """Leading instructions are joined; where one has a name of its own place it stays among the items."""
    lead = (Instruction(parts=(Text("one"),)), Instruction(role="developer", parts=(Text("two"),)))
    written = DIALECT.write_request(Request(dialect="x", model="m", prompt=evolve(prompt, items=(*lead, *prompt.items))))
    again = DIALECT.read_request(Head(), written).prompt
    assert "one\n\ntwo" == again.items[0].parts[0].text  # type: ignore[attr-defined]
    assert semantic(prompt).items == semantic(evolve(again, items=again.items[1:])).items


@LAW
@given(prompts, st.data())
def test_any_edit_leaves_the_rest(prompt: Prompt, data: st.DataObject) -> None:
    """In a request read from a body, one item may be replaced by any other, and all others are as they were."""
    body = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    asked = DIALECT.read_request(Head(), body)
    items = asked.prompt.items
    at = data.draw(st.integers(0, len(items) - 1))
    new = data.draw(st.builds(Message, role=st.just("user"), parts=some(texts | images)))
    changed = asked.with_prompt(items=(*items[:at], new, *items[at + 1 :]))
    again = DIALECT.read_request(Head(), DIALECT.write_request(changed)).prompt
    assert semantic(changed.prompt).items == semantic(again).items


# ---- replies ------------------------------------------------------------------------------------

said = st.builds(Text, words)
thought = st.builds(
    Reasoning,
    summary=st.lists(words, max_size=2).map(tuple),
    raw_text=st.lists(words, max_size=1).map(tuple),
    carrier=st.none() | own,
)
called = st.builds(
    ToolCall,
    call_id=names,
    name=names,
    arguments=arguments,
    kind=st.sampled_from(["function", "custom"]),
    namespace=st.none() | names,
)
usages = st.builds(
    Usage, input_total=st.integers(0, 99), output_total=st.integers(0, 99), cache_read=st.integers(0, 9),
    cache_write=st.integers(0, 9), reasoning=st.integers(0, 9),
)  # fmt: skip


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """What a response can hold, numbered as a reader numbers it."""
    parts: list[Any] = draw(st.lists(said | thought | called, min_size=1, max_size=6))
    group, out = 0, []
    for n, part in enumerate(parts):
        if isinstance(part, Text):
            group += n > 0
            part = evolve(part, group=group, id=f"msg_{n}")
        elif isinstance(part, Reasoning):
            part = evolve(part, id=f"rs_{n}")
        else:
            part = evolve(part, item_id=f"fc_{n}", call_id=f"{part.call_id}{n}")
        out.append(part)
    numbers = sorted({part.group or 0 for part in out if isinstance(part, Text)})
    out = [evolve(part, group=numbers.index(part.group or 0)) if isinstance(part, Text) else part for part in out]
    kind: Any = "tool_use" if any(isinstance(part, ToolCall) for part in out) else "end"
    stops = [StopReason(kind, raw="completed"), StopReason("max_tokens", raw="max_output_tokens")]
    stop = draw(st.sampled_from(stops))
    return Reply(
        id=draw(names),
        model=draw(names),
        created=draw(st.integers(0, 9)),
        choices=(Choice(parts=tuple(out), stop=stop),),
        usage=draw(usages),
    )


@LAW
@given(replies())
def test_any_reply_survives_being_streamed(reply: Reply) -> None:
    """A reply written as a stream, and read again, is the same, and so is the response in its last frame."""
    stream = write(STREAM, unfold(reply))
    assert reply == fold(read(stream))
    assert reply == fold(read_whole(json.dumps(final(stream)).encode()))


@LAW
@given(replies())
def test_any_reply_survives_being_written_whole(reply: Reply) -> None:
    """A reply written as a body, and read again, is the same."""
    assert reply == fold(read_whole(write(WHOLE, unfold(reply))))


@settings(max_examples=10, deadline=None)
@given(replies())
def test_any_cut_of_a_stream_gives_the_same_reply(reply: Reply) -> None:
    """However the bytes of a stream arrive, the reply is the same."""
    stream = write(STREAM, unfold(reply))
    if len(stream) < 20_000:
        for pieces in list(every_cut(stream))[::7]:
            assert reply == fold(read(*pieces))


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """What another dialect may say: blocks of all kinds, the calls among them interleaved, opaque state, refusals."""
    blocks: list[list[Event]] = []
    for index in range(draw(st.integers(1, 6))):
        kind: BlockKind = draw(st.sampled_from(["text", "reasoning", "tool_call", "custom_tool_call", "refusal"]))
        channels: dict[str, Channel] = {
            "tool_call": "args",
            "custom_tool_call": "input",
            "reasoning": "reasoning_raw",
            "refusal": "refusal",
        }
        meta: dict[str, Any] = {"call_id": f"c{index}", "name": draw(names)} if kind.endswith("call") else {}
        fragments = draw(st.lists(words, max_size=3)) if kind != "tool_call" else [draw(arguments)]
        middle: list[Event] = [BlockDelta(index=index, channel=channels.get(kind, "text"), fragment=one) for one in fragments]
        if kind in ("reasoning", "tool_call") and draw(st.booleans()):
            carrier = Carrier("google", "thought_signature", draw(names))
            middle.insert(draw(st.integers(0, len(middle))), BlockMeta(index=index, what="carrier", value=carrier))
        blocks.append([BlockStart(index=index, kind=kind, meta=meta), *middle, BlockStop(index=index)])
    events: list[Event] = [ResponseStart(id="r", model="claude", created=1)]
    open_: list[list[Event]] = []
    for block in blocks:
        start, *rest = block
        is_call = isinstance(start, BlockStart) and start.kind.endswith("call")
        events.append(start)
        open_.append(rest)
        while open_ and not (is_call and draw(st.booleans()) and len(open_) < 3):
            chosen = open_[draw(st.integers(0, len(open_) - 1))]
            events.append(chosen.pop(0))
            open_ = [one for one in open_ if one]
    while open_:
        events.append(open_[0].pop(0))
        open_ = [one for one in open_ if one]
    return [*events, UsageUpdate(usage=draw(usages)), Stop(reason=StopReason("end")), ResponseEnd()]


def shown(events: list[Event]) -> tuple[Any, ...]:
    """What of these events a client of Responses is shown."""
    text, made, thoughts = plain(events)
    refusals = [part.text for part in fold(events).choices[0].parts if isinstance(part, Refusal)]
    raw = ["".join(part.raw_text) for part in fold(events).choices[0].parts if isinstance(part, Reasoning)]
    return (
        text,
        sorted(made),
        [one for one in ("".join(pair) for pair in zip(thoughts, raw, strict=True)) if one],
        "".join(refusals),
    )


@LAW
@given(streams())
def test_any_stream_of_another_dialect_is_understood_by_the_sdk(events: list[Event]) -> None:
    """Written for a client, it is put together by the SDK to the same words and calls, streamed and whole alike."""
    told = foreign(*events, dialect="google.gemini")
    stream = write(STREAM, told)
    numbers = [tree["sequence_number"] for tree in objects(stream)]
    assert list(range(len(numbers))) == numbers
    response = streamed(stream)
    text, made, thoughts = gist(response)
    refusal = "".join(
        part.refusal for item in response.output if item.type == "message" for part in item.content if part.type == "refusal"
    )
    assert shown(events) == (text, sorted(made), [one for one in thoughts if one], refusal)
    assert json.loads(write(WHOLE, told))["output"] == final(stream)["output"]
    assert "completed" == response.status and response.usage.total_tokens >= 0
