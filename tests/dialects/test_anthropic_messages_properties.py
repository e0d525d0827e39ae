"""Laws for any request and any reply that Messages can express, and for any reply of another dialect."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event  # type: ignore[import-untyped]
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import STREAM, WHOLE, feed, lawful, objects, read, request, touched, write

from llmgw import jsons
from llmgw.errors import ClientError
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
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
    BuiltinTool,
    CacheMark,
    CachePolicy,
    Carrier,
    Document,
    FileId,
    FunctionTool,
    Image,
    Instruction,
    Message,
    OpaquePart,
    OutputFormat,
    Part,
    PlainText,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    SearchResult,
    ServerState,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Url,
    Video,
)
from llmgw.stages import Head
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.envelope import opened
from llmgw_testing import every_cut

LAW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcXYZ_-0", min_size=1, max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
schemas = st.dictionaries(words, values, max_size=3)
arguments = schemas.map(lambda value: jsons.dumps(value).decode())


# ---- requests -----------------------------------------------------------------------------------

marks = st.none() | st.sampled_from(
    [
        CacheMark(raw={"cache_control": {"type": "ephemeral"}}),
        CacheMark(3600.0, raw={"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    ]
)
texts = st.builds(Text, words, cache=marks)
blobs = (
    st.builds(Base64, st.just("image/png"), names) | st.just(Url("https://x/y")) | st.builds(FileId, names, st.just("anthropic"))
)
images = st.builds(Image, blobs, cache=marks)
pdfs = st.builds(Base64, st.just("application/pdf"), names).map(lambda blob: (blob, "application/pdf"))
plain = st.builds(PlainText, words).map(lambda blob: (blob, "text/plain"))
pieces = st.lists(st.builds(Text, words), min_size=1, max_size=2).map(lambda parts: (tuple(parts), None))
documents = st.builds(
    lambda source, **rest: Document(source[0], media_type=source[1], **rest),
    pdfs | plain | pieces | st.just((Url("https://x/y.pdf"), None)),
    filename=st.none() | names,
    context=st.none() | words,
    citations_enabled=st.none() | st.booleans(),
    cache=marks,
)
hits = st.builds(SearchResult, url=words, title=words, parts=st.lists(st.builds(Text, words), max_size=2).map(tuple), cache=marks)
opaques = st.builds(lambda value: OpaquePart(dialect=DIALECT.name, type="odd", raw={"type": "odd", "x": value}), values)
thoughts = st.builds(
    Reasoning,
    summary=st.lists(words, max_size=1).map(tuple),
    carrier=st.builds(Carrier, st.just("anthropic"), st.just("signature"), names),
) | st.builds(Reasoning, redacted=st.just(True), carrier=st.builds(Carrier, st.just("anthropic"), st.just("redacted"), names))


def some(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(parts, min_size=1, max_size=3).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Turns that Messages can hold: each call answered at the head of the next user turn."""
    items: list[Any] = draw(st.lists(st.builds(Instruction, parts=some(texts)), max_size=1))
    turn, calls, number = 0, [], 0
    for _ in range(draw(st.integers(1, 3))):
        for call in calls:
            result = st.builds(
                ToolResult,
                call_id=st.just(""),
                parts=some(texts | images | documents),
                is_error=st.none() | st.booleans(),
                cache=marks,
            )
            items.append(evolve(draw(st.just(ToolResult(call_id="")) | result), call_id=call.call_id, turn=turn))  # type: ignore[arg-type]
        if not calls or draw(st.booleans()):
            items.append(Message(role="user", parts=draw(some(texts | images | documents | hits | opaques)), turn=turn))
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            number += 1
            calls.append(ToolCall(call_id=f"c{number}", name=draw(names), arguments=draw(arguments), cache=draw(marks)))
        said: list[Part] = [*draw(st.lists(thoughts | texts | opaques, max_size=3)), *calls]
        items.append(Message(role="assistant", parts=tuple(said or [Text("x")]), turn=turn + 1))
        turn += 2
        if not calls and draw(st.booleans()):
            items.append(Instruction(parts=draw(some(texts)), leading=False, effort=draw(st.none() | names), turn=turn))
            turn += 1
    return tuple(items)


functions = st.builds(
    FunctionTool,
    name=names,
    description=st.none() | words,
    schema=schemas,
    strict=st.none() | st.booleans(),
    cache=marks,
    defer_loading=st.none() | st.booleans(),
    eager_stream=st.none() | st.booleans(),
    allowed_callers=st.none() | st.just(["direct"]),
)
builtins = st.sampled_from(
    [
        BuiltinTool(kind=kind, vendor="anthropic", name=kind, config={"type": type_, "name": kind}, client_executed=client)
        for kind, type_, client in [
            ("bash", "bash_20250124", True),
            ("web_search", "web_search_20260318", False),
            ("new_2", "new_2", False),
        ]
    ]
)
choices = st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])) | st.builds(
    ToolChoice, st.just("named"), st.tuples(st.builds(ToolRef, names))
)
samplings = st.builds(
    Sampling,
    max_output=st.integers(0, 9),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 9),
    stop=st.lists(words, max_size=2).map(tuple),
)
shows = st.none() | st.sampled_from(["summarized", "omitted"])
reasonings = (
    st.builds(ReasoningConfig, mode=st.just("adaptive"), effort=st.none() | st.just("high"), show=shows)
    | st.builds(ReasoningConfig, mode=st.just("budget"), budget=st.integers(1, 9), show=shows)
    | st.builds(ReasoningConfig, mode=st.sampled_from(["unset", "off", "between_tools"]))
)
prompts = st.builds(
    Prompt,
    items=conversations(),
    tools=st.lists(functions | builtins, min_size=1, max_size=3).map(tuple),
    tool_choice=st.none() | choices,
    sampling=samplings,
    reasoning=reasonings,
    output=st.none() | st.builds(OutputFormat, kind=st.just("json_schema"), schema=schemas),
    tier=st.none() | st.just("standard_only"),
    end_user=st.none() | names,
    cache=st.just(CachePolicy()) | st.just(CachePolicy(auto=True, auto_ttl=3600.0)),
    server_state=st.builds(ServerState, container=st.none() | names),
)


@LAW
@given(prompts)
def test_a_prompt_survives_being_written(prompt: Prompt) -> None:
    """A prompt that Messages can express, written from scratch and read again, is the same prompt, and nothing was lost."""
    losses: list[Any] = []
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt), losses)
    assert prompt == DIALECT.read_request(Head(), data).prompt
    assert [] == losses


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
    st.lists(
        st.dictionaries(st.sampled_from(["role", "content"]), values | st.sampled_from(["user", "system"]), max_size=2),
        max_size=3,
    ),
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "input", "id", "name", "tool_use_id"]),
            values | st.sampled_from(["text", "tool_use", "tool_result", "document", "image", "thinking", "search_result"]),
        ),
        max_size=3,
    ),
    values,
)
def test_no_request_makes_the_codec_stumble(messages: list[dict[str, Any]], blocks: list[Any], value: Any) -> None:
    """Whatever a client sends, it is read, or refused with an error that is ours."""
    for said in (messages, [{"role": "user", "content": blocks}]):
        with suppress(ClientError):
            asked = request(
                messages=said,
                tools=value,
                tool_choice=value,
                thinking=value,
                stop_sequences=value,
                output_config=value,
                system=value,
            )
            _ = asked.prompt
            DIALECT.write_request(evolve(asked, prompt=evolve(asked.prompt, tier="auto")))
            DIALECT.write_request(evolve(asked, raw=None, prompt=asked.prompt))


foreign = st.builds(
    Prompt,
    items=st.lists(
        st.builds(
            Message,
            role=st.sampled_from(["user", "assistant"]),
            parts=st.lists(
                texts
                | images
                | documents
                | st.builds(Video, st.just(Url("u")))
                | st.builds(Refusal, words)
                | st.builds(ToolCall, call_id=names, name=names, arguments=words, kind=st.sampled_from(["function", "custom"]))
                | st.builds(
                    Reasoning,
                    summary=st.tuples(words),
                    carrier=st.none() | st.builds(Carrier, st.just("openai"), st.just("encrypted_content"), names),
                ),
                max_size=3,
            ).map(tuple),
        )
        | st.builds(
            ToolResult, call_id=names, parts=st.lists(texts | images, max_size=2).map(tuple), structured=st.none() | schemas
        )
        | st.builds(Instruction, parts=some(texts), leading=st.booleans()),
        max_size=6,
    ).map(tuple),
)


@LAW
@given(foreign)
def test_any_conversation_can_be_written(prompt: Prompt) -> None:
    """A conversation in any order becomes turns without gaps: no empty one, results first, and always the same bytes."""
    asked = Request(dialect="x", model="m", prompt=prompt)
    data = DIALECT.write_request(asked)
    assert data == DIALECT.write_request(asked)
    turns = json.loads(data)["messages"]
    assert all(turn["content"] for turn in turns)
    for one, two in pairwise(turns):
        assert one["role"] != two["role"] or one["role"] == "system"
    for turn in turns:
        kinds = [block["type"] == "tool_result" for block in turn["content"]] if isinstance(turn["content"], list) else []
        assert turn["role"] == "user" or not any(kinds)
        if turn is not turns[0]:
            assert kinds == sorted(kinds, reverse=True) or turns[turns.index(turn) - 1]["role"] != "assistant"


# ---- replies ------------------------------------------------------------------------------------

stops = st.sampled_from(
    [
        StopReason("end", raw="end_turn"),
        StopReason("max_tokens", raw="max_tokens"),
        StopReason("pause", raw="pause_turn"),
        StopReason("stop_sequence", sequence="x", raw="stop_sequence"),
        StopReason("refusal", category="bio", explanation="no", raw="refusal"),
    ]
)
counts = st.none() | st.integers(0, 99)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, write_ = draw(counts), draw(counts)
    total = draw(st.integers(0, 99)) + (read or 0) + (write_ or 0)
    return Usage(
        input_total=total, output_total=draw(st.integers(0, 99)), cache_read=read, cache_write=write_, reasoning=draw(counts)
    )


calls = st.builds(ToolCall, call_id=names, name=names, arguments=arguments)
answered = st.builds(Text, words) | thoughts | calls | opaques


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A reply of this dialect."""
    parts = tuple(draw(st.lists(answered, max_size=5)))
    called = any(isinstance(part, ToolCall) for part in parts)
    stop = StopReason("tool_use", raw="tool_use") if called else draw(stops)
    return Reply(id=draw(names), model=draw(names), choices=(Choice(parts=parts, stop=stop),), usage=draw(usages()))


@LAW
@given(replies())
def test_a_reply_survives_being_written(reply: Reply) -> None:
    """A reply that Messages can express, written as a stream or as a body and read again, is the same reply."""
    assert reply == fold(read(write(STREAM, unfold(reply))))
    assert reply == fold(lawful(feed(DIALECT.reader(stream=False), write(WHOLE, unfold(reply)))))


@settings(LAW, max_examples=10)
@given(replies())
def test_a_reply_may_be_cut_anywhere(reply: Reply) -> None:
    """However a stream is cut, it is the same reply."""
    for cut in every_cut(write(STREAM, unfold(reply))):
        assert reply == fold(read(*cut))


wide = st.integers(2**60, 2**90).map(lambda number: f'{{"n": {number}, "x": 1.0}}')
tricky = words | st.sampled_from(["\u2028", "🙂\u0085", "\r\n\r\n", "data: x", '"'])
carriers = st.builds(
    Carrier, st.sampled_from(["openai", "google"]), st.sampled_from(["encrypted_content", "thought_signature"]), names
)
others = (
    st.builds(Text, tricky)
    | st.builds(Text, st.just(""))
    | st.builds(Refusal, tricky)
    | st.builds(Reasoning, summary=st.lists(tricky, max_size=2).map(tuple), carrier=st.none() | carriers)
    | st.builds(Reasoning, raw_text=st.tuples(tricky), carrier=st.none() | carriers)
)
foreign_calls = st.builds(
    ToolCall, call_id=names, name=names, arguments=arguments | wide | st.just(""), carrier=st.none() | carriers
) | st.builds(ToolCall, call_id=names, name=names, arguments=tricky, kind=st.just("custom"))


@st.composite
def foreign_events(draw: st.DrawFn) -> tuple[Reply, list[Event]]:
    """A reply of another dialect, its parallel calls streamed side by side."""
    parts: list[Part] = draw(st.lists(others, max_size=4))
    called: list[Part] = draw(st.lists(foreign_calls, max_size=3))
    reply = Reply(
        id="r", model="m", choices=(Choice(parts=(*parts, *called), stop=StopReason("end", raw="stop")),), usage=draw(usages())
    )
    start, *events = unfold(reply)
    tail = [event for event in events if not hasattr(event, "index")]
    blocks = [
        split(draw, [event for event in events if getattr(event, "index", -1) == n]) for n in range(len(parts) + len(called))
    ]
    out = [event for block in blocks[: len(parts)] for event in block]
    side = blocks[len(parts) :]
    out += [block.pop(0) for block in side]  # all begin
    while any(len(block) > 1 for block in side):
        out.append(draw(st.sampled_from([block for block in side if len(block) > 1])).pop(0))
    out += [event for block in side for event in block]  # and all stop
    return reply, [start, *out, *tail]


def split(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Deltas in pieces; a call that carries something comes whole, as those of Gemini do."""
    if any(isinstance(event, BlockMeta) for event in events) and isinstance(events[0], BlockStart) and "call" in events[0].kind:
        return events
    out: list[Event] = []
    for event in events:
        if isinstance(event, BlockDelta) and len(event.fragment) > 1:
            at = draw(st.integers(0, len(event.fragment)))
            out += [evolve(event, fragment=event.fragment[:at]), evolve(event, fragment=event.fragment[at:])]
        else:
            out.append(event)
    return out


def accumulated(data: bytes) -> dict[str, Any]:
    """What the SDK's own accumulator makes of a stream, and the text of each call's arguments."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in objects(data):
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    out: dict[str, Any] = snapshot.model_dump(warnings=False)
    for index, text in buffers.items():
        out["content"][index]["text_of_input"] = text.decode()
    return out


def one_at_a_time(frames: list[Any]) -> None:
    """Blocks are numbered from 0, and each closes before the next opens; a signature comes once, right before the end."""
    number, current, signed = -1, None, False
    for one in frames:
        match one["type"]:
            case "content_block_start":
                number += 1
                assert current is None and one["index"] == number
                current, signed = number, False
            case "content_block_delta":
                assert one["index"] == current and not signed
                signed = one["delta"]["type"] == "signature_delta"
            case "content_block_stop":
                assert one["index"] == current
                current = None
            case _:
                pass
    assert current is None


@LAW
@given(foreign_events())
def test_a_foreign_reply_is_one_message_to_the_sdk(made: tuple[Reply, list[Event]]) -> None:
    """However calls were interleaved, the SDK's accumulator gets them in their order, whole; and a body says the same."""
    reply, events = made
    data = write(STREAM, events)
    one_at_a_time(objects(data))
    message = accumulated(data)
    content = message["content"]
    parts = reply.choices[0].parts
    said = [part.text for part in parts if isinstance(part, Text | Refusal) and part.text]
    assert said == [block["text"] for block in content if block["type"] == "text"]
    called = [part for part in parts if isinstance(part, ToolCall)]
    used = [block for block in content if block["type"] == "tool_use"]
    assert [(part.call_id, part.name) for part in called] == [(block["id"], block["name"]) for block in used]
    for part, block in zip(called, used, strict=True):
        text = block.get("text_of_input", "")
        assert part.arguments == (text if part.kind == "function" else json.loads(text)["input"])
    shown = [sealed(block) for block in content if block["type"] in ("thinking", "redacted_thinking")]
    given_ = [(thought(part), part.carrier) for part in parts if isinstance(part, Reasoning) and (thought(part) or part.carrier)]
    assert [text for text, _ in given_] == [text for text, _ in shown][: len(given_)]
    assert all(mine is None or mine == its for (_, mine), (_, its) in zip(given_, shown, strict=False))
    refused = any(isinstance(part, Refusal) for part in parts)
    assert message["stop_reason"] == ("refusal" if refused else "end_turn")
    assert message["usage"]["input_tokens"] == reply.usage.input_total - (reply.usage.cache_read or 0) - (
        reply.usage.cache_write or 0
    )  # type: ignore[union-attr,operator]
    assert comparable(json.loads(write(WHOLE, events))) == comparable(message)


def thought(part: Reasoning) -> str:
    return "\n\n".join(part.summary) or "".join(part.raw_text)


def sealed(block: dict[str, Any]) -> tuple[str, Carrier | None]:
    """The thought in a block, and what is sealed in it."""
    found = opened(block.get("signature") or block["data"])
    assert found is not None
    assert found.thought(block.get("thinking", "")) == block.get("thinking", "")
    return block.get("thinking", ""), found.carrier


def comparable(message: dict[str, Any]) -> Any:
    """A message, from a stream or a body, as far as both have it."""
    content = [
        {
            key: value
            for key, value in block.items()
            if value is not None and key not in ("parsed_output", "text_of_input", "input")
        }
        | ({"input": whole(block)} if "input" in block else {})
        for block in message["content"]
    ]
    usage = {key: value for key, value in message["usage"].items() if value is not None}
    return content, usage, message["stop_reason"], message["stop_sequence"], message.get("stop_details"), message["id"]


def whole(block: dict[str, Any]) -> Any:
    return json.loads(block["text_of_input"]) if block.get("text_of_input") else block["input"]


@LAW
@given(replies(), st.data())
def test_blocks_may_come_and_go(reply: Reply, data: st.DataObject) -> None:
    """If blocks of a provider's stream are taken out, changed, or put in, the others stay and the numbers have no gap."""
    events = read(write(STREAM, unfold(reply)))
    count = len(reply.choices[0].parts)
    gone = data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=2))
    changed = data.draw(st.sets(st.integers(0, len(events)), max_size=3))
    at = data.draw(st.sampled_from([n for n, event in enumerate(events) if isinstance(event, BlockStart | Stop)]))
    new: list[Event] = [
        BlockStart(index=99, kind="text"),
        BlockDelta(index=99, channel="text", fragment="put in"),
        BlockStop(index=99),
    ]
    events = [evolve(event) if n in changed else event for n, event in enumerate(events)]
    events = [*events[:at], *new, *events[at:]]
    kept = [event for event in events if getattr(event, "index", None) not in gone]
    data_ = write(STREAM, kept)
    one_at_a_time(objects(data_))
    parts = [part for part in fold(read(data_)).choices[0].parts if part != Text("put in")]
    expected = [part for n, part in enumerate(reply.choices[0].parts) if n not in gone]
    assert expected == parts
    assert reply.choices[0].stop == fold(read(data_)).choices[0].stop and reply.usage == fold(read(data_)).usage


@LAW
@given(values, st.binary(max_size=40))
def test_no_provider_makes_the_codec_stumble(value: Any, noise: bytes) -> None:
    """Whatever a provider sends, the events keep the laws and end."""
    kinds = ["text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "compaction_delta", "odd"]
    odd: list[Any] = [
        {"type": "message_start", "message": value},
        {"type": "message_start", "message": {"usage": value, "id": value}},
        *(
            {
                "type": "content_block_start",
                "index": n,
                "content_block": {"type": kind, "input": value, "text": value, "citations": value},
            }
            for n, kind in enumerate(["text", "thinking", "tool_use", "server_tool_use", "x_tool_result", "compaction", value])
        ),
        *(
            {
                "type": "content_block_delta",
                "index": n,
                "delta": {"type": kind, "text": value, "citation": value, "content": value},
            }
            for n in (0, 1, 5, value)
            for kind in kinds
        ),
        {"type": "content_block_stop", "index": value},
        {"type": "message_delta", "delta": value, "usage": value},
        {"type": "message_delta", "delta": {"stop_reason": value, "stop_details": value}},
        {"type": value},
        value,
    ]
    for frames in (odd, odd[:-1], odd[::-1]):
        stream = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in frames) + noise
        events = read(stream)
        assert events
        write(STREAM, touched(events))
        write(WHOLE, touched(events))
        feed(DIALECT.relay(stream=True), stream)
    body = {"content": [{"type": "text", "text": value}, value], "usage": value, "stop_reason": value}
    write(WHOLE, touched(lawful(feed(DIALECT.reader(stream=False), json.dumps(body).encode()))))
    DIALECT.read_error(500, {}, json.dumps(value).encode())
    DIALECT.read_error(500, {}, noise)


def test_a_meta_event_alone_writes_nothing() -> None:
    """Events of a block that never began write nothing."""
    events = [
        ResponseStart(),
        BlockMeta(index=3, what="extra", value={}),
        BlockStop(index=3),
        UsageUpdate(usage=Usage()),
        ResponseEnd(),
    ]
    assert ["message_start", "message_delta", "message_stop"] == [one["type"] for one in objects(write(STREAM, events))]
