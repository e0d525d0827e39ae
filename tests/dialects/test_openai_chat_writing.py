"""What clients get."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from chat import DONE, STREAM, WHOLE, bare, body, chunk, frame, objects, read, read_whole, write

from llmgw.errors import UpstreamBroken
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Frame,
    Progress,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
    framed,
)
from llmgw.model import Carrier, Citation, Loss, Request, ToolCall
from llmgw_dialects.openai_chat import DIALECT

FIRST = chunk({"role": "assistant", "content": ""}, system_fingerprint="fp")
END = chunk({}, "stop") + DONE
QUIET = evolve(STREAM, stream_usage=False)


def foreign(*inside: Event, stop: StopReason | None = None) -> list[Event]:
    """The events of a reply from nowhere."""
    end = [Stop(reason=stop or StopReason("end")), UsageUpdate(usage=Usage(input_total=1, output_total=2)), ResponseEnd()]
    return [ResponseStart(id="r", model="claude", created=7), *inside, *end]


def text(words: str, index: int = 0) -> list[Event]:
    return [BlockStart(index=index, kind="text"), BlockDelta(index=index, channel="text", fragment=words), BlockStop(index=index)]


def deltas(events: list[Event]) -> list[object]:
    return [tree["choices"][0]["delta"] for tree in objects(write(STREAM, events)) if tree["choices"]][1:-1]


# ---- a stream of a provider's own ---------------------------------------------------------------


def test_a_changed_text_is_written_on_its_own_chunk() -> None:
    """One changed delta is written into its original chunk; the other frames are copied."""
    frames = [FIRST, chunk({"content": "a"}, obfuscation="x", odd=[1]), chunk({"content": "b"}), END]
    events = [evolve(e, fragment="A") if isinstance(e, BlockDelta) and e.fragment == "a" else e for e in read(*frames)]
    written = write(STREAM, events)
    assert written.startswith(FIRST) and written.endswith(frames[2] + END)
    assert {**json.loads(frames[1][6:]), "choices": [{"index": 0, "delta": {"content": "A"}, "finish_reason": None}]} == objects(
        written
    )[1]


def test_what_is_left_of_a_frame_is_written_once() -> None:
    """If something is put between the events of one frame, each of its pieces is written once all the same."""
    mixed = chunk({"role": "assistant", "reasoning": "r", "content": "c"}, "stop", usage={"prompt_tokens": 1}, odd=1)
    events = read(mixed, DONE)
    for at in range(1, len(events) - 1):
        inserted = [*events[:at], Progress(), *events[at:]]
        written = write(STREAM, inserted)
        assert fold(events) == fold(read(written))
        assert 1 == sum("odd" in tree for tree in objects(written))
        assert 1 == sum("role" in tree["choices"][0]["delta"] for tree in objects(written) if tree["choices"])


def test_a_dropped_event_is_dropped_alone() -> None:
    """If a filter keeps an event back, the rest of its frame is written."""
    events = read(chunk({"role": "assistant", "reasoning": "r", "content": "c"}), END)
    left = [e for e in events if not (isinstance(e, BlockDelta) and e.channel == "reasoning_raw")]
    assert [{"role": "assistant", "content": "c"}] == [tree["choices"][0]["delta"] for tree in objects(write(STREAM, left))][:1]


def test_a_block_put_into_a_providers_stream_does_not_repeat_the_role() -> None:
    """An inserted block is written amid the provider's frames, under the provider's id, with no second role."""
    events = read(FIRST, chunk({"content": "x"}), END)
    moved = [evolve(e, index=1) if isinstance(e, BlockStart | BlockDelta | BlockStop) else e for e in events[1:]]
    written = write(STREAM, [events[0], *text("hello "), *moved])
    assert "hello x" == "".join(part.text for part in fold(read(written)).choices[0].parts)  # type: ignore[attr-defined]
    assert 1 == written.count(b'"role"')
    assert {"c1"} == {tree["id"] for tree in objects(written)}


def test_a_changed_name_is_in_each_chunk() -> None:
    """If the model's name was changed at the start, it is so to the end, and no other byte differs."""
    frames = [FIRST, chunk({"content": "x"}), END]
    events = read(*frames)
    written = write(STREAM, [evolve(events[0], model="alias"), *events[1:]])
    assert {"alias"} == {tree["model"] for tree in objects(written)}
    assert frames[1].replace(b'"gpt"', b'"alias"') in written


def test_changed_thoughts_are_not_told_by_their_details() -> None:
    """If a thought was changed, the details that repeat it say what it says now."""
    for plain in ({}, {"reasoning": "secret"}):
        details = [{"type": "reasoning.text", "text": "secret", "index": 0}]
        events = read(chunk({**plain, "reasoning_details": details}), END)
        changed = [evolve(e, fragment="***") if isinstance(e, BlockDelta) else e for e in events[:-2]]
        written = write(STREAM, changed)
        assert b"secret" not in written
        assert "***" == fold([*read(written, END)]).choices[0].parts[0].raw_text[0]  # type: ignore[attr-defined]


def test_a_changed_call_keeps_the_providers_index() -> None:
    """Fragments written anew have the number of those that were copied."""
    call = {"index": 3, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}, "odd": 1}
    more = chunk({"tool_calls": [{"index": 3, "function": {"arguments": "{}"}}]})
    events = read(chunk({"tool_calls": [call]}), more, END)
    events = [evolve(e, meta={**e.meta, "name": "g"}) if isinstance(e, BlockStart) else e for e in events]
    written = write(STREAM, events)
    assert [{**call, "function": {"name": "g", "arguments": ""}}] == objects(written)[0]["choices"][0]["delta"]["tool_calls"]
    assert more in written


def test_an_end_is_added_only_to_what_the_writer_began() -> None:
    """If the provider sent no ``[DONE]``, nor does the gateway; to its own words it does."""
    assert not write(STREAM, read(FIRST, chunk({"content": "x"}, "stop"))).endswith(DONE)
    assert write(STREAM, foreign(*text("x"))).endswith(DONE)


def test_an_error_behind_a_frame_without_an_empty_line_is_a_frame() -> None:
    """What the gateway adds never runs into what the provider left unfinished."""
    written = write(STREAM, [*read(FIRST, chunk({"content": "x"})[:-2])])
    assert b'}\n\ndata: {"error"' in written


# ---- a stream from elsewhere --------------------------------------------------------------------


def test_a_foreign_reply_is_a_stream_as_openai_sends_it() -> None:
    """Role first, then deltas, the finish_reason, usage if asked for, and the end."""
    written = write(STREAM, foreign(*text("Hi")))
    kind = {"id": "r", "object": "chat.completion.chunk", "created": 7, "model": "claude"}
    assert [
        {**kind, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**kind, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
        {**kind, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**kind, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    ] == objects(written)
    assert b"usage" not in write(QUIET, foreign(*text("Hi")))


def test_foreign_calls_are_counted_from_zero() -> None:
    """Tool calls are numbered by themselves, whatever blocks stand before them; a signature comes with a function."""
    signature = Carrier(provider="google", kind="thought_signature", payload="sig")
    inside: list[Event] = [
        *text("x"),
        BlockStart(index=1, kind="tool_call", meta={"call_id": "a", "name": "f"}),
        BlockStart(index=2, kind="custom_tool_call", meta={"call_id": "b", "name": "g"}),
        BlockDelta(index=2, channel="input", fragment="ls"), BlockDelta(index=1, channel="args", fragment="{}"),
        BlockMeta(index=1, what="carrier", value=signature),
    ]  # fmt: skip
    google = {"google": {"thought_signature": "sig"}}
    assert [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": ""}},
        {"index": 1, "custom": {"input": "ls"}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 0, "function": {"arguments": ""}, "extra_content": google},
    ] == [delta["tool_calls"][0] for delta in deltas(foreign(*inside))[1:]]  # type: ignore[index]


def test_foreign_thoughts_refusals_and_citations_are_told() -> None:
    """Reasoning is ``reasoning_content``, a new summary a new paragraph; a citation has an index."""
    cited = Citation("url", url="u", title="t", start=1, end=2)
    inside: list[Event] = [
        BlockStart(index=0, kind="reasoning"), BlockDelta(index=0, channel="reasoning_summary", fragment="a"),
        BlockDelta(index=0, channel="reasoning_summary", fragment="b", part=1), BlockStop(index=0),
        BlockStart(index=1, kind="text"), BlockMeta(index=1, what="citation", value=cited), BlockStop(index=1),
        BlockStart(index=2, kind="refusal"), BlockDelta(index=2, channel="refusal", fragment="no"),
    ]  # fmt: skip
    url = {"start_index": 1, "end_index": 2, "title": "t", "url": "u"}
    assert [
        {"reasoning_content": "a"}, {"reasoning_content": "\n\nb"},
        {"annotations": [{"index": 0, "type": "url_citation", "url_citation": url}]}, {"refusal": "no"},
    ] == deltas(foreign(*inside))  # fmt: skip


@pytest.mark.parametrize(("kind", "said"), [
    ("end", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("context_window", "length"),
    ("tool_use", "tool_calls"),
    ("pause", "stop"), ("refusal", "content_filter"), ("content_filter", "content_filter"), ("other", "stop"),
])  # fmt: skip
def test_foreign_stops_are_translated(kind: str, said: str) -> None:
    """Each kind of end has its word, and no other dialect's word gets through."""
    reason = StopReason(kind, raw="end_of_turn")  # type: ignore[arg-type]
    last = objects(write(QUIET, foreign(stop=reason)))[-1]
    assert said == last["choices"][0]["finish_reason"]
    assert said == json.loads(write(WHOLE, foreign(stop=reason)))["choices"][0]["finish_reason"]


@pytest.mark.parametrize(("why", "said"), [(None, "content_filter"), ("It may do harm.", "stop")])
def test_a_foreign_refusal_in_words_is_told_as_one(why: str | None, said: str) -> None:
    """By its reason under ``refusal``, else by its end: words alone would pass for an answer (case: Claude refuses in text)."""
    reason = StopReason("refusal", explanation=why)
    words = [BlockStart(index=0, kind="text"), BlockDelta(index=0, channel="text", fragment="I will not."), BlockStop(index=0)]
    events: list[Event] = [ResponseStart(), *words, Stop(reason=reason), ResponseEnd()]
    [whole] = json.loads(write(WHOLE, events))["choices"]
    assert (said, why, "I will not.") == (whole["finish_reason"], whole["message"]["refusal"], whole["message"]["content"])
    choices = [one["choices"][0] for one in objects(write(QUIET, events))]
    told = [one["delta"]["refusal"] for one in choices if one["delta"].get("refusal")]
    assert (said, [why] if why else []) == (choices[-1]["finish_reason"], told)


OPEN = BlockStart(index=0, kind="text")
SIGNATURE = Carrier(provider="anthropic", kind="signature", payload="s")
THOUGHT = Carrier(provider="google", kind="thought_signature", payload="s")


def lost(request: Request, events: list[Event]) -> list[Loss]:
    """What is told to be lost of these events."""
    losses: list[Loss] = []
    writer = DIALECT.writer(request, losses)
    for event in events:
        writer.feed(event)
    return losses


@pytest.mark.parametrize("request_", [STREAM, WHOLE], ids=["stream", "whole"])
@pytest.mark.parametrize(("inside", "feature"), [
    ([BlockStart(index=0, kind="server_tool_call", meta={"tool": "web_search"})], "server_tool_call"),
    ([BlockStart(index=0, kind="server_tool_result", meta={"tool": "web_search"})], "server_tool_result"),
    ([BlockStart(index=0, kind="opaque", meta={"dialect": "anthropic.messages", "type": "x", "raw": {}})], "opaque"),
    ([BlockStart(index=0, kind="media", meta={"type": "image"})], "media"),
    ([OPEN, BlockMeta(index=0, what="citation", value=Citation("page", start=1))], "citation.page"),
    ([OPEN, BlockMeta(index=0, what="carrier", value=THOUGHT)], "carrier.thought_signature"),
    ([OPEN, BlockMeta(index=0, what="carrier", value=SIGNATURE)], "carrier.signature"),
])  # fmt: skip
def test_what_chat_cannot_say_is_told(request_: Request, inside: list[Event], feature: str) -> None:
    """What a foreign reply has and Chat has no word for is a loss, with its place in the reply and where it came from."""
    events = [framed([event], Frame("anthropic.messages", b"x"))[0] for event in [*inside, BlockStop(index=0)]]
    expected = Loss("choices[0].parts[0]", feature, "dropped", "anthropic.messages", DIALECT.name)
    assert [expected] == lost(request_, foreign(*events))


@pytest.mark.parametrize("request_", [STREAM, WHOLE], ids=["stream", "whole"])
def test_what_chat_can_say_is_no_loss(request_: Request) -> None:
    """Texts, thoughts, calls with a signature, citations of URLs, sound and our own opaque parts lose nothing."""
    inside: list[Event] = [
        *text("x"),
        BlockStart(index=1, kind="text"), BlockMeta(index=1, what="citation", value=Citation("url", url="u")),
        BlockStart(index=2, kind="reasoning"),
        BlockMeta(index=2, what="carrier", value=Carrier(provider="unknown", kind="details", payload="[]")),
        BlockStart(index=3, kind="tool_call", meta={"name": "f"}), BlockMeta(index=3, what="carrier", value=THOUGHT),
        BlockStart(index=4, kind="custom_tool_call", meta={"name": "f"}), BlockMeta(index=4, what="carrier", value=THOUGHT),
        BlockStart(index=5, kind="media", meta={"type": "audio"}), BlockStart(index=6, kind="refusal"),
        BlockStart(index=7, kind="opaque", meta={"dialect": DIALECT.name, "type": "x", "raw": {"type": "x"}}),
    ]  # fmt: skip
    assert [] == lost(request_, foreign(*inside))


def test_a_signature_of_a_custom_call_is_told() -> None:
    """A custom tool's call keeps its signature in a stream, as it does in a body."""
    call = BlockStart(index=0, kind="custom_tool_call", meta={"call_id": "a", "name": "f"})
    inside: list[Event] = [call, BlockMeta(index=0, what="carrier", value=THOUGHT), BlockStop(index=0)]
    for request_, way in ((STREAM, read), (WHOLE, read_whole)):
        (part,) = fold(way(write(request_, foreign(*inside)))).choices[0].parts
        assert isinstance(part, ToolCall) and part.carrier is not None
        assert ("custom", "s") == (part.kind, part.carrier.payload)


def test_other_peoples_raw_events_are_not_printed() -> None:
    """A raw event of another dialect is nothing to a client of this one; one of ours is printed."""
    assert b"" == DIALECT.writer(STREAM).feed(Raw(dialect="anthropic.messages", payload={}))
    assert b'data: {"x":1}\n\n' == DIALECT.writer(STREAM).feed(Raw(dialect=DIALECT.name, payload={"x": 1}))


def test_an_error_is_a_frame_and_the_last_one() -> None:
    """An error in a stream is an object with ``error``, from which the SDKs raise; no ``[DONE]`` follows."""
    written = write(STREAM, [*foreign(*text("x"))[:-3], Error(error=UpstreamBroken("broke off"))])
    assert b'data: {"error":{"message":"broke off","type":"server_error","param":null,"code":"upstream_error"}}\n\n' in written
    assert not written.endswith(DONE)


def test_waiting_is_a_comment() -> None:
    """What keeps a stream alive is a comment; a whole body has none."""
    assert (b": keep-alive\n\n", b"") == (DIALECT.writer(STREAM).idle(), DIALECT.writer(WHOLE).idle())


# ---- whole bodies -------------------------------------------------------------------------------


def test_a_foreign_reply_is_a_body_as_openai_sends_it() -> None:
    """A whole reply has message, finish_reason and usage; content is null where there are only calls."""
    call: list[Event] = [BlockStart(index=0, kind="tool_call", meta={"call_id": "a", "name": "f"}),
                         BlockDelta(index=0, channel="args", fragment="{}"), BlockStop(index=0)]  # fmt: skip
    message = {"role": "assistant", "content": None, "refusal": None,
               "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}  # fmt: skip
    assert {
        "id": "r", "object": "chat.completion", "created": 7, "model": "claude",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    } == json.loads(write(WHOLE, foreign(*call, stop=StopReason("tool_use"))))  # fmt: skip


def test_a_whole_body_keeps_the_vendors_spelling() -> None:
    """A changed thought is written under the vendor's own key, a changed text into the vendor's own list."""
    data = body({"content": "x", "reasoning": "r", "odd": 1})
    events = [evolve(e, fragment="R") if isinstance(e, BlockDelta) and e.fragment == "r" else e for e in read_whole(data)]
    assert data.replace(b'"r"', b'"R"') == write(WHOLE, events)
    data = body(
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "r"}], "closed": True},
                {"type": "text", "text": "x"},
            ]
        }
    )
    events = [evolve(e, fragment="X") if isinstance(e, BlockDelta) and e.fragment == "x" else e for e in read_whole(data)]
    assert data.replace(b'"x"', b'"X"') == write(WHOLE, events)


def test_a_failed_reply_has_no_body() -> None:
    """Where the reply is whole, an error is the application's to answer."""
    assert b"" == write(WHOLE, [*foreign(*text("x"))[:-1], Error(error=UpstreamBroken("broke off"))])


def test_missing_names_are_made_up_the_same_each_time() -> None:
    """A reply without id, time and model gets such as do not change from run to run."""
    events = [ResponseStart(), *text("x"), Stop(reason=StopReason("end")), ResponseEnd()]
    first, second = (json.loads(write(WHOLE, events)) for _ in range(2))
    assert first == second and first["id"].startswith("chatcmpl-")
    assert (0, "m") == (first["created"], first["model"])


def test_content_types() -> None:
    """A stream is an event stream, a body JSON."""
    types = [DIALECT.writer(request).content_type for request in (STREAM, WHOLE)]
    assert ["text/event-stream; charset=utf-8", "application/json"] == types


def test_a_stream_is_a_whole_body_for_a_client_that_wants_one() -> None:
    """A streamed reply of this dialect is put together; sound, which a fold does not keep, included."""
    events = read(chunk({"audio": {"id": "a", "transcript": "x"}}), chunk({"audio": {"data": "AA", "transcript": "y"}}), END)
    message = json.loads(write(WHOLE, events))["choices"][0]["message"]
    assert {"id": "a", "data": "AA", "transcript": "xy"} == message["audio"]


def test_usage_of_nobodys_comes_before_the_providers_end() -> None:
    """Usage that a filter adds to a provider's stream stands in the last chunk, before ``[DONE]``."""
    *events, end = read(FIRST, chunk({"content": "x"}, "stop"), DONE)
    written = write(STREAM, [*events, UsageUpdate(usage=Usage(input_total=1, output_total=1)), end])
    assert written.endswith(DONE)
    assert {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2} == objects(written)[-1]["usage"]


def test_events_without_frames_are_written_like_those_with() -> None:
    """The same events, coming from nowhere, make a stream that says the same."""
    events = read(
        FIRST, chunk({"reasoning": "r"}), chunk({"content": "x"}), frame({"choices": [], "usage": {"prompt_tokens": 1}}), END
    )
    request: Request = STREAM
    assert fold(events) == fold(read(write(request, bare(events))))


def test_a_whole_body_is_a_stream_for_a_client_that_wants_one() -> None:
    """A provider that answers whole although asked for a stream is written as one; its body is no frame of a stream."""
    details = [{"type": "reasoning.text", "text": "r"}]
    data = body(
        {"content": "x", "reasoning": "r", "reasoning_details": details}, usage={"prompt_tokens": 1}, system_fingerprint="fp"
    )
    events = read_whole(data)
    written = write(STREAM, events)
    assert fold(events).choices[0].parts[1:] == fold(read(written)).choices[0].parts[1:]
    assert fold(events).extras == fold(read(written)).extras
    assert written.startswith(b"data: ") and written.endswith(DONE) and data not in written
