"""Replies of the Messages codec: streams and bodies read, relayed, and written for a client, whoever the provider was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from messages import (
    DONE,
    PING,
    STREAM,
    WHOLE,
    bare,
    begin,
    body,
    call,
    closing,
    data_of,
    end,
    frame,
    lawful,
    more,
    objects,
    opening,
    read,
    read_whole,
    relay,
    text,
    touched,
    write,
)

from llmgw.errors import ModelNotFound, UpstreamRefused, UpstreamReply
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Choice,
    Error,
    Event,
    Progress,
    Raw,
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
from llmgw.model import Carrier, Loss, OpaquePart, Reasoning, ServerToolCall, ServerToolResult, Text, ToolCall
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.envelope import opened

GOOGLE = Carrier("google", "thought_signature", "CiQ=")


def parts(events: list[Event]) -> tuple[Any, ...]:
    """What the first choice says."""
    return fold(events).choices[0].parts


def streamed(*events: Event) -> list[Any]:
    """The frames written for these events, within a message."""
    made = [ResponseStart(id="r", model="m"), *events, Stop(reason=StopReason("end")), ResponseEnd()]
    return objects(write(STREAM, lawful(made)))


def blocks(frames: list[Any]) -> list[str]:
    """In a word each: what begins, with its type, and what is added, with its type."""
    keys = {"content_block_start": "content_block", "content_block_delta": "delta"}
    return [one[keys[one["type"]]]["type"] if one["type"] in keys else one["type"] for one in frames]


# ---- reading ------------------------------------------------------------------------------------


def test_blocks_are_numbered_in_the_order_they_open() -> None:
    """However a provider counts, blocks have the numbers 0, 1, 2; one that lacks its end is closed."""
    events = read(opening(), text(3, "a"), begin(7, "text", text=""), more(7, "text_delta", text="b"), closing(), DONE)
    assert (Text("a"), Text("b")) == parts(events)
    assert [0, 1] == [event.index for event in events if isinstance(event, BlockStart)]


def test_a_call_tells_the_arguments_of_its_start() -> None:
    """Arguments that came with the start of a call are one fragment; a call without any has an empty object."""
    whole = begin(0, "tool_use", id="c", name="f", input={"a": 1}) + end(0)
    events = read(opening(), whole, call(1, "d", "g", ""), call(2, "e", "h", '{"x"', ": 1.0}"), closing("tool_use"), DONE)
    assert ['{"a":1}', "{}", '{"x": 1.0}'] == [part.arguments for part in parts(events)]


def test_server_tools_are_read_when_they_are_whole() -> None:
    """What a server tool was asked is there when its block stops, in a stream as in a body."""
    asked = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    stream = [
        begin(0, "server_tool_use", id="s", name="web_search", input={}),
        more(0, "input_json_delta", partial_json='{"query":'),
        more(0, "input_json_delta", partial_json='"q"}'),
        end(0),
        begin(1, "web_search_tool_result", tool_use_id="s", content=[]),
        end(1),
    ]
    events = read(opening(), *stream, closing(), DONE)
    assert parts(events) == parts(read_whole(body(asked, found)))
    one, two = parts(events)
    assert isinstance(one, ServerToolCall) and ("web_search", {"query": "q"}) == (one.tool, one.input)
    assert isinstance(two, ServerToolResult) and ("web_search", "s", []) == (two.tool, two.id, two.output)


def test_what_we_do_not_know_is_carried() -> None:
    """Blocks, deltas and events of unknown types come out as they came in, and fold to what they are in a body."""
    odd = [begin(0, "odd", x=1), more(0, "odd_delta", y=2), end(0), frame("odd_event", z=3)]
    stream = b"".join([opening(odd=4), *odd, closing(odd=5), DONE])
    events = read(stream)
    assert (OpaquePart(dialect=DIALECT.name, type="odd", raw={"type": "odd", "x": 1}),) == parts(events)
    assert parts(events) == parts(read_whole(body({"type": "odd", "x": 1})))
    assert stream == write(STREAM, events)
    assert objects(stream) == objects(write(STREAM, touched(events)))


def test_usage_is_summed_and_later_totals_overwrite() -> None:
    """Input counts what was cached too; what a later frame does not say again stands."""
    first = {
        "input_tokens": 3,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "output_tokens": 1,
        "service_tier": "x",
    }
    events = read(
        opening(usage=first), closing(usage={"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}), DONE
    )
    usage = fold(events).usage
    assert Usage(input_total=18, output_total=9, cache_read=10, cache_write=5, reasoning=4) == usage
    assert usage is not None and "x" == usage.raw["service_tier"]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("end_turn", "end"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_use"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_window"),
        ("new_word", "other"),
    ],
)
def test_reasons_to_stop(word: str, kind: str) -> None:
    """Each reason to stop has its kind, and is written back as it was."""
    events = read(opening(), text(0, "a"), closing(word), DONE)
    assert StopReason(kind, raw=word) == fold(events).choices[0].stop  # type: ignore[arg-type]
    assert word == objects(write(STREAM, touched(events)))[-2]["delta"]["stop_reason"]


def test_an_end_without_message_stop_is_whole_if_a_reason_was_given() -> None:
    """A provider that closes behind its reason to stop has said all; one that closes before it was cut short."""
    whole, cut = [opening(), text(0, "a"), closing()], [opening(), text(0, "a")]
    for way in (read, relay):
        assert isinstance(way(*whole)[-1], ResponseEnd)
        last = way(*cut)[-1]
        assert isinstance(last, Error) and "broke off" in last.error.message


def test_a_ping_is_a_sign_of_life() -> None:
    """A ping is progress, before the message as within it, and means nothing."""
    events = read(PING, opening(), PING, text(0, "a"), closing(), DONE)
    assert 2 == sum(isinstance(event, Progress) for event in events)


@pytest.mark.parametrize("way", [read, relay])
def test_an_error_in_a_stream_is_the_providers(way: Any) -> None:
    """An error event ends the reply with its kind, and goes to a client of this dialect as it came."""
    failed = frame("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_1")
    stream = opening() + text(0, "a") + failed
    events = way(stream)
    last = events[-1]
    assert isinstance(last, Error) and ("overloaded", "Overloaded") == (last.error.kind, last.error.message)
    assert stream == write(STREAM, events)
    assert 529 == DIALECT.error_status(last.error)


def test_a_model_that_writes_of_errors_is_no_error() -> None:
    """Words of a model are not mistaken for its provider's, nor for the end."""
    words = 'event: error\ndata: {"type":"error"}\n\n"message_stop"'
    stream = opening() + text(0, words) + closing() + DONE
    for way in (read, relay):
        events = way(stream)
        assert isinstance(events[-1], ResponseEnd) and stream == data_of(events)


# ---- writing for a client -----------------------------------------------------------------------


def test_a_foreign_stream_has_the_order_that_clients_want() -> None:
    """A stream of another dialect is opened, its blocks stand one behind the other, and it ends with its usage."""
    events = [
        ResponseStart(id="r", model="m"),
        BlockStart(index=0, kind="text"),
        BlockDelta(index=0, channel="text", fragment="a"),
        BlockStop(index=0),
        Stop(reason=StopReason("max_tokens", raw="length")),
        UsageUpdate(usage=Usage(input_total=9, output_total=2, cache_read=4)),
        ResponseEnd(),
    ]
    frames = objects(write(STREAM, events))
    assert {"input_tokens": 0, "output_tokens": 0} == frames[0]["message"]["usage"]
    assert ["message_start", "text", "text_delta", "content_block_stop", "message_delta", "message_stop"] == blocks(frames)
    assert {"stop_reason": "max_tokens", "stop_sequence": None} == frames[-2]["delta"]
    assert {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 2} == frames[-2]["usage"]


def test_usage_that_comes_at_once_is_in_the_start() -> None:
    """Usage known before anything is said stands in the first frame."""
    frames = streamed(UsageUpdate(usage=Usage(input_total=9)), BlockStart(index=0, kind="text"), BlockStop(index=0))
    assert {"input_tokens": 9, "output_tokens": 0} == frames[0]["message"]["usage"]


def test_no_empty_text_is_written() -> None:
    """A text that stays empty is no block."""
    assert ["message_start", "message_delta", "message_stop"] == blocks(streamed(*unfolded(Text(""))))


def unfolded(*given: Any) -> list[Event]:
    """The events of some parts."""
    return [event for event in unfold(Reply(choices=(Choice(parts=given),))) if hasattr(event, "index")]


def test_a_thought_is_signed_once_right_before_its_end() -> None:
    """A foreign carrier is sealed with its thought; a thought that nobody signed is signed as nobody's."""
    for carrier in (GOOGLE, None):
        frames = streamed(*unfolded(Reasoning(summary=("a", "b"), carrier=carrier), Text("c")))
        assert ["thinking", "thinking_delta", "thinking_delta", "signature_delta", "content_block_stop"] == blocks(frames)[1:6]
        found = opened(frames[4]["delta"]["signature"])
        assert found is not None and (carrier, "a\n\nb") == (found.carrier, found.text)


def test_a_thought_without_words_is_redacted() -> None:
    """Opaque state alone stands in a redacted thought; Anthropic's own signature on an empty one."""
    frames = streamed(*unfolded(Reasoning(carrier=GOOGLE)))
    found = opened(frames[1]["content_block"]["data"])
    assert found is not None and GOOGLE == found.carrier
    own = streamed(*unfolded(Reasoning(carrier=Carrier("anthropic", "signature", "sig"))))
    assert ["thinking", "signature_delta", "content_block_stop"] == blocks(own)[1:4]


def test_what_a_call_carries_is_sealed_before_it() -> None:
    """The first call's carrier signs the thought before it, or stands in place of one; that of others is kept by its id."""
    signed = ToolCall(call_id="c", name="f", arguments='{"a":1}', carrier=GOOGLE)
    frames = streamed(*unfolded(Reasoning(summary=("hm",)), signed))
    assert ["thinking", "thinking_delta", "signature_delta", "content_block_stop", "tool_use"] == blocks(frames)[1:6]
    found = opened(frames[3]["delta"]["signature"])
    assert found is not None and (GOOGLE, "hm") == (found.carrier, found.text)
    losses: list[Loss] = []
    writer = DIALECT.writer(STREAM, losses)
    made = [ResponseStart(), *unfolded(signed, evolve(signed, call_id="d")), Stop(reason=StopReason("tool_use")), ResponseEnd()]
    frames = objects(b"".join(map(writer.feed, made)))
    starts = [one["content_block"]["type"] for one in frames if one["type"] == "content_block_start"]
    assert ["redacted_thinking", "tool_use", "tool_use"] == starts
    assert [] == losses


@pytest.mark.parametrize("stream", [True, False])
def test_behind_a_thought_of_nothing_it_is_sealed_too(stream: bool) -> None:
    """A thought that says nothing and carries nothing takes no call's carrier with it."""
    signed = ToolCall(call_id="c", name="f", arguments="{}", carrier=GOOGLE)
    made = [ResponseStart(), *unfolded(Text("a"), Reasoning(), signed), Stop(reason=StopReason("tool_use")), ResponseEnd()]
    data = b"".join(map(DIALECT.writer(STREAM if stream else WHOLE).feed, made))
    content = [one["content_block"] for one in objects(data) if "content_block" in one] if stream else json.loads(data)["content"]
    assert ["text", "redacted_thinking", "tool_use"] == [one["type"] for one in content]


def test_a_custom_call_is_wrapped_as_it_comes() -> None:
    """Free text is the one text of a function's input, escaped piece by piece."""
    events = [
        BlockStart(index=0, kind="custom_tool_call", meta={"call_id": "c", "name": "patch"}),
        BlockDelta(index=0, channel="input", fragment='a"\n'),
        BlockDelta(index=0, channel="input", fragment="🙂"),
        BlockStop(index=0),
    ]
    pieces = [one["delta"]["partial_json"] for one in streamed(*events) if one["type"] == "content_block_delta"]
    assert ['{"input":"a\\"\\n', "🙂", '"}'] == pieces


def test_a_refusal_in_words_ends_in_a_refusal() -> None:
    """A refusal is text, and the reason to stop says so, in a stream as in a body."""
    events = [BlockStart(index=0, kind="refusal"), BlockDelta(index=0, channel="refusal", fragment="no"), BlockStop(index=0)]
    frames = streamed(*events)
    details = {"type": "refusal", "category": None, "explanation": None}
    assert {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details} == frames[-2]["delta"]
    tree = json.loads(write(WHOLE, [ResponseStart(), *events, Stop(reason=StopReason("end")), ResponseEnd()]))
    assert ("refusal", details, [{"type": "text", "text": "no"}]) == (tree["stop_reason"], tree["stop_details"], tree["content"])


def test_what_anthropic_has_no_block_for_is_a_loss() -> None:
    """Other providers' server tools, pictures and second choices are left out, each with a loss."""
    losses: list[Loss] = []
    writer = DIALECT.writer(STREAM, losses)
    meta = {"tool": "web_search", "raw": {"type": "web_search_call"}}
    events = [
        BlockStart(index=0, kind="server_tool_call", meta=meta),
        BlockStop(index=0),
        BlockStart(index=1, kind="media", meta={"type": "image"}),
        BlockDelta(index=1, channel="media", fragment="AA=="),
        BlockStop(index=1),
        BlockStart(index=0, choice=1, kind="text"),
        BlockStop(index=0, choice=1),
        Raw(dialect="x", payload={"index": 0}),
        BlockStart(index=2, kind="text"),
        BlockDelta(index=2, channel="text", fragment="a"),
        BlockMeta(index=2, what="carrier", value=GOOGLE),
        BlockStop(index=2),
    ]
    frames = objects(b"".join(map(writer.feed, [ResponseStart(), *events, Stop(reason=StopReason("end")), ResponseEnd()])))
    assert [0] == [one["index"] for one in frames if one["type"] == "content_block_start"]
    assert ["server_tool_call", "media", "n", "carrier.thought_signature"] == [loss.feature for loss in losses]


def test_a_heartbeat_is_a_ping() -> None:
    """What keeps the connection alive is an event that SDKs skip; a body has none."""
    assert [{"type": "ping"}] == objects(DIALECT.writer(STREAM).idle())
    assert b"" == DIALECT.writer(WHOLE).idle()


# ---- writing a changed stream -------------------------------------------------------------------

STREAM_OF_TWO = [opening(), text(0, "a", "b"), PING, text(1, "c"), closing(odd=1), DONE]


def test_a_changed_fragment_changes_its_frame_alone() -> None:
    """If a fragment is changed only its frame is, and what we do not know in it stays."""
    pieces = [opening(), begin(0, "text", text=""), more(0, "text_delta", text="a", odd=1), end(0), closing(), DONE]
    events = [evolve(event, fragment="x") if isinstance(event, BlockDelta) else event for event in read(*pieces)]
    out = write(STREAM, events)
    assert [{"type": "text_delta", "text": "x", "odd": 1}] == [
        one["delta"] for one in objects(out) if one["type"] == "content_block_delta"
    ]
    before, after = b"".join(pieces[:2]), b"".join(pieces[3:])
    assert out.startswith(before) and out.endswith(after)


def test_blocks_behind_one_that_was_taken_out_are_renumbered() -> None:
    """If a block is taken out, those behind it are copied but for their number."""
    events = [event for event in read(*STREAM_OF_TWO) if getattr(event, "index", None) != 0]
    assert opening() + PING + text(0, "c") + closing(odd=1) + DONE == write(STREAM, events).replace(b'"index":0', b'"index": 0')


def test_a_block_put_in_waits_for_the_one_that_is_open() -> None:
    """A block that begins while another is open stands behind it, and the rest keep their order."""
    events = read(*STREAM_OF_TWO)
    at = next(n for n, event in enumerate(events) if isinstance(event, BlockDelta)) + 1
    new = [evolve(event, index=9) for event in unfolded(Text("new"))]
    again = read(write(STREAM, [*events[:at], *new, *events[at:]]))
    assert (Text("ab"), Text("new"), Text("c")) == parts(again)


def test_a_message_is_renamed() -> None:
    """If the model's name is changed, it is so in the first frame, and all else is copied."""
    events = read(*STREAM_OF_TWO)
    out = write(STREAM, [evolve(event, model="alias") if isinstance(event, ResponseStart) else event for event in events])
    assert "alias" == objects(out)[0]["message"]["model"]
    assert out.endswith(b"".join(STREAM_OF_TWO[1:]))


def test_a_changed_end_keeps_what_stands_beside_it() -> None:
    """If the reason to stop is changed, the rest of its frame stays."""
    events = [
        evolve(event, reason=StopReason("max_tokens")) if isinstance(event, Stop) else event for event in read(*STREAM_OF_TWO)
    ]
    assert {"stop_reason": "max_tokens", "stop_sequence": None, "odd": 1} == objects(write(STREAM, events))[-2]["delta"]


def test_a_whole_reply_is_streamed() -> None:
    """A body of this dialect is written for a client that wants a stream, with what we do not know of it."""
    tool = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}, "toolset_name": "t"}
    events = read_whole(body({"type": "text", "text": "a"}, tool, reason="tool_use", container={"id": "x"}))
    frames = objects(write(STREAM, events))
    assert {"id": "x"} == frames[0]["message"]["container"]
    assert "t" == next(one for one in frames if one.get("index") == 1)["content_block"]["toolset_name"]
    assert parts(events) == parts(read(write(STREAM, bare(events))))


# ---- errors -------------------------------------------------------------------------------------


def refused(kind: Any, status: int, message: str = "m") -> UpstreamRefused:
    """An error of a provider of another dialect."""
    return UpstreamRefused(message, upstream=UpstreamReply(status, b"{}", dialect="openai.chat"), kind=kind)


@pytest.mark.parametrize(
    ("kind", "given", "status", "word"),
    [
        ("overloaded", 503, 529, "overloaded_error"),
        ("billing", 429, 402, "billing_error"),
        ("rate_limited", 429, 429, "rate_limit_error"),
        ("upstream_error", 502, 502, "api_error"),
        ("timeout", 408, 504, "timeout_error"),
        ("content_policy", 400, 400, "invalid_request_error"),
        ("permission", 403, 403, "permission_error"),
        ("request_too_large", 413, 413, "request_too_large"),
    ],
)
def test_errors_of_others_are_told_in_anthropics_words(kind: Any, given: int, status: int, word: str) -> None:
    """Each kind of error has Anthropic's status and type."""
    error = refused(kind, given)
    assert (status, word) == (DIALECT.error_status(error), json.loads(DIALECT.write_error(error))["error"]["type"])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 10240 tokens.",
            "prompt is too long: 10240 tokens > 8192 maximum",
        ),
        (
            "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1048577 tokens > 1048576 maximum",
        ),
        ("prompt is too long: 5 tokens > 4 maximum", "prompt is too long: 5 tokens > 4 maximum"),
        ("Too much.", "prompt is too long: Too much."),
    ],
)
def test_a_prompt_that_is_too_long_is_told_as_clients_know_it(message: str, told: str) -> None:
    """Clients shorten a conversation at these words, and take the numbers from them."""
    written = json.loads(DIALECT.write_error(refused("context_length", 400, message)))["error"]["message"]
    assert written in (told, f"{told} ({message})")


def test_an_error_has_the_requests_id() -> None:
    """A provider's request id is in the body; the gateway's own errors have none."""
    upstream = UpstreamReply(500, b"{}", dialect="openai.chat", headers={"x-request-id": "req_1"})
    assert "req_1" == json.loads(DIALECT.write_error(UpstreamRefused("m", upstream=upstream)))["request_id"]
    assert None is json.loads(DIALECT.write_error(ModelNotFound("m")))["request_id"]


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("request-id", True),
        ("anthropic-ratelimit-tokens-reset", True),
        ("retry-after", True),
        ("x-should-retry", True),
        ("set-cookie", False),
    ],
)
def test_headers_that_pass(name: str, passes: bool) -> None:
    """Headers that an Anthropic SDK reads pass, others do not."""
    assert passes is DIALECT.passes(name)
