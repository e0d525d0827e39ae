"""What a client of Responses gets for the events of any provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from responses import (
    STREAM,
    WHOLE,
    Stream,
    block,
    body,
    call,
    carried,
    final,
    foreign,
    message,
    objects,
    read,
    read_whole,
    relay,
    reply,
    request,
    types,
    write,
)

from llmgw.errors import TooMany, UpstreamBroken
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Progress,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
)
from llmgw.model import Carrier, Citation, Loss
from llmgw_dialects.envelope import opened
from llmgw_dialects.openai_responses import DIALECT

SIGNED = Carrier(provider="google", kind="thought_signature", payload="sig==")
THOUGHT = Carrier(provider="anthropic", kind="signature", payload="EqQB")


def output(events: list[Event], asked: Any = STREAM) -> list[dict[str, Any]]:
    """The items of the last frame, which are those of the frames before it, and those of a whole body."""
    stream = write(asked, events)
    items: list[dict[str, Any]] = final(stream)["output"]
    done = {tree["output_index"]: tree["item"] for tree in objects(stream) if tree["type"].endswith("output_item.done")}
    assert [done[at] for at in sorted(done)] == items
    assert sorted(done) == list(range(len(done)))
    whole = json.loads(write(evolve(asked, stream=False), events))
    assert items == whole["output"]
    return items


# ---- a text -------------------------------------------------------------------------------------


def test_a_text_is_told_in_all_its_frames() -> None:
    """Created, in progress, the item, its part, fragments, and all of it again, numbered from 0."""
    stream = write(STREAM, foreign(*reply(block(0, "text", "Hel", "lo"))))
    assert types(stream) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    trees = objects(stream)
    assert list(range(10)) == [tree["sequence_number"] for tree in trees]
    assert {trees[2]["item"]["id"]} == {tree["item_id"] for tree in trees[3:8]} == {trees[8]["item"]["id"]}
    assert [] == trees[0]["response"]["output"] and "in_progress" == trees[0]["response"]["status"]
    assert "Hello" == final(stream)["output"][0]["content"][0]["text"]
    assert stream.startswith(b"event: response.created\ndata: {")


def test_the_response_echoes_its_request() -> None:
    """What the client asked for is said back to it in its own JSON, and what it did not ask for has OpenAI's default."""
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": None, "x-own": 1}]
    asked = request(stream=True, tools=tools, temperature=0.2, instructions="be brief", metadata={"k": "v"}, max_output_tokens=99)
    response = final(write(asked, foreign(*reply(block(0, "text", "x")))))
    assert (tools, 0.2, "be brief", {"k": "v"}, 99) == tuple(
        response[key] for key in ("tools", "temperature", "instructions", "metadata", "max_output_tokens")
    )
    assert ("auto", True, 1.0, {"format": {"type": "text"}}, "disabled", False) == tuple(
        response[key] for key in ("tool_choice", "parallel_tool_calls", "top_p", "text", "truncation", "store")
    )
    assert ("resp_r1", "claude", 7, "response") == tuple(response[key] for key in ("id", "model", "created_at", "object"))


def test_usage_is_never_missing() -> None:
    """Counts of the provider's are told with all details; where it told none there are zeros."""
    none = final(write(STREAM, foreign(*reply(block(0, "text", "x")))))["usage"]
    assert 0 == none["total_tokens"] and {"cached_tokens": 0, "cache_write_tokens": 0} == none["input_tokens_details"]
    told = UsageUpdate(usage=Usage(input_total=9, output_total=5, cache_read=4, reasoning=2))
    events = reply(block(0, "text", "x"))
    usage = final(write(STREAM, foreign(*events[:-1], told, events[-1])))["usage"]
    assert (9, 5, 14, 4, 2) == (
        usage["input_tokens"], usage["output_tokens"], usage["total_tokens"], usage["input_tokens_details"]["cached_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
    )  # fmt: skip


def test_texts_of_a_group_share_a_message() -> None:
    """A text of the same group is another part of the message; one of another group, or behind a call, opens a new one."""
    blocks = [
        block(0, "text", "a", group=0), block(1, "text", "b", group=0), block(2, "text", "c", group=1),
        block(3, "tool_call", "{}", call_id="k", name="f"), block(4, "text", "d", group=1), block(5, "refusal", "no"),
    ]  # fmt: skip
    items = output(foreign(*reply(*blocks, stop="tool_use")))
    said = [[part.get("text") or part["refusal"] for part in item["content"]] for item in items if item["type"] == "message"]
    assert [["a", "b"], ["c"], ["d", "no"]] == said
    assert "function_call" == items[2]["type"]
    assert len({item["id"] for item in items}) == 4


def test_citations_count_codepoints_of_the_whole_text() -> None:
    """Offsets in bytes or UTF-16 become code points once the text is known; what has no URL and no file is lost."""
    cited = [
        Citation("url", url="https://a", title="A", start=5, end=10, unit="byte"),
        Citation("url", url="https://b", start=2, end=4, unit="utf16"),
        Citation("char", cited_text="x"),
    ]
    text = block(0, "text", "é🙂", "xyz")
    metas = [BlockMeta(index=0, what="citation", value=one) for one in cited]
    losses: list[Loss] = []
    events = foreign(*reply([text[0], *metas, *text[1:]]))
    stream = write(STREAM, events, losses)
    first, second = final(stream)["output"][0]["content"][0]["annotations"]
    assert {"type": "url_citation", "start_index": 1, "end_index": 5, "title": "A", "url": "https://a"} == first
    assert (1, 3) == (second["start_index"], second["end_index"])
    added = [tree for tree in objects(stream) if tree["type"].endswith("annotation.added")]
    assert [first, second] == [tree["annotation"] for tree in added] and [0, 1] == [tree["annotation_index"] for tree in added]
    assert ["citation.char"] == [loss.feature for loss in losses]


# ---- thoughts -----------------------------------------------------------------------------------


def test_a_thought_is_told_as_summaries() -> None:
    """Each summary is a part; its item ends with what only its issuer can read, sealed."""
    thought = [
        BlockStart(index=0, kind="reasoning"),
        BlockDelta(index=0, channel="reasoning_summary", fragment="one", part=0),
        BlockDelta(index=0, channel="reasoning_summary", fragment="two", part=1),
        BlockMeta(index=0, what="carrier", value=THOUGHT),
        BlockStop(index=0),
    ]
    events = foreign(*reply(thought, block(1, "text", "x")))
    item = output(events)[0]
    assert ["one", "two"] == [part["text"] for part in item["summary"]]
    found = opened(item["encrypted_content"])
    assert found is not None and THOUGHT == found.carrier and "one\n\ntwo" == found.text
    names = types(write(STREAM, events))
    assert names[2:12] == [
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done",
        "reasoning_summary_part.done", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
    ]  # fmt: skip


def test_raw_thoughts_of_others_are_told_as_summaries() -> None:
    """Clients show summaries; a thought that nobody signed is marked as not OpenAI's, so that it is known when it comes back."""
    raw = [BlockStart(index=0, kind="reasoning"), BlockDelta(index=0, channel="reasoning_raw", fragment="hm"), BlockStop(index=0)]
    (item,) = output(foreign(*reply(raw), dialect="openai.chat"))
    assert [{"type": "summary_text", "text": "hm"}] == item["summary"] and "content" not in item
    found = opened(item["encrypted_content"])
    assert found is not None and found.carrier is None and "hm" == found.text


def test_raw_thoughts_of_nobodys_stay_raw() -> None:
    """Raw texts of this dialect are told as such."""
    raw = [BlockStart(index=0, kind="reasoning"), BlockDelta(index=0, channel="reasoning_raw", fragment="hm"), BlockStop(index=0)]
    (item,) = output(reply(raw))
    assert [{"type": "reasoning_text", "text": "hm"}] == item["content"] and [] == item["summary"]
    assert "encrypted_content" not in item


def test_a_native_carrier_goes_as_it_is() -> None:
    """What OpenAI has encrypted is not sealed."""
    own = Carrier("openai", "encrypted_content", "gAAAA")
    (item,) = output(reply(carried(block(0, "reasoning"), own)))
    assert "gAAAA" == item["encrypted_content"]


# ---- calls --------------------------------------------------------------------------------------


def test_a_signature_stands_before_its_call() -> None:
    """Opaque state on a call is a thought of its own before it, wherever in the call's frame it came; each call has its own."""
    calls = [block(n, "tool_call", "{}", call_id=f"c{n}", name="f") for n in range(2)]
    one = carried(calls[0], SIGNED)
    two = [calls[1][0], BlockMeta(index=1, what="carrier", value=evolve(SIGNED, payload="two")), *calls[1][1:]]
    items = output(reply(one, two, stop="tool_use"))
    assert ["reasoning", "function_call"] * 2 == [item["type"] for item in items]
    for item, payload in zip(items[::2], ("sig==", "two"), strict=True):
        found = opened(item["encrypted_content"])
        assert found is not None and found.carrier is not None and payload == found.carrier.payload
        assert [] == item["summary"]


def test_a_call_is_announced_with_its_first_fragment() -> None:
    """A call waits no longer than it must: a fragment in a later frame tells that no opaque state comes with it."""
    writer = DIALECT.writer(STREAM)
    start, first, second, stop = foreign(*block(0, "tool_call", "{", "}", call_id="c", name="f"))
    writer.feed(foreign(ResponseStart(id="r"))[0])
    assert b"" == writer.feed(start)
    assert ["output_item.added", "function_call_arguments.delta"] == types(writer.feed(first))
    assert ["function_call_arguments.delta"] == types(writer.feed(second))
    assert ["function_call_arguments.done"] == types(writer.feed(stop))
    assert ["output_item.done", "output_item.added"] == types(writer.feed(foreign(BlockStart(index=1, kind="reasoning"))[0]))


def test_a_late_signature_stands_behind_its_call() -> None:
    """What comes when the call has been announced says that it belongs to what is before it."""
    start, delta, stop = foreign(*block(0, "tool_call", "{}", call_id="c", name="f"))
    late = foreign(BlockMeta(index=0, what="carrier", value=SIGNED))
    items = output([*foreign(*reply())[:1], start, delta, *late, stop, *foreign(*reply(stop="tool_use"))[1:]])
    found = opened(items[1]["encrypted_content"])
    assert found is not None and found.carrier is not None and "after" == found.carrier.position


def test_calls_that_interleave_have_their_own_places() -> None:
    """Fragments go to the call that they belong to, which keeps its place and id."""
    one, two = (block(n, "tool_call", f'{{"{n}":', "1}", call_id=f"c{n}", name="f") for n in range(2))
    mixed = [one[0], two[0], two[1], one[1], one[2], two[2], two[3], one[3]]
    items = output(foreign(*reply(mixed, stop="tool_use")))
    assert [('{"0":1}', "c0"), ('{"1":1}', "c1")] == [(item["arguments"], item["call_id"]) for item in items]


def test_freeform_calls_and_namespaces_are_told() -> None:
    """A freeform call streams its input; a namespace stands beside the name, as Codex needs it."""
    events = foreign(
        *reply(block(0, "custom_tool_call", "*** ", "End", call_id="c", name="exec", namespace="functions"), stop="tool_use")
    )
    (item,) = output(events)
    assert ("custom_tool_call", "*** End", "exec", "functions") == (item["type"], item["input"], item["name"], item["namespace"])
    assert 2 == types(write(STREAM, events)).count("custom_tool_call_input.delta")


def test_empty_arguments_are_an_empty_object() -> None:
    """A call without arguments is told as ``{}``, for clients parse them."""
    (item,) = output(foreign(*reply(block(0, "tool_call", call_id="c", name="f"), stop="tool_use")))
    assert "{}" == item["arguments"]


def test_openais_own_tools_are_told_in_their_items() -> None:
    """A call that a crossing has made one of OpenAI's own tools again becomes the item that the client knows."""
    start = BlockStart(index=0, kind="tool_call", meta={"call_id": "c", "name": "shell", "kind": "builtin"})
    delta = BlockDelta(index=0, channel="args", fragment='{"commands":["ls"]}')
    (item,) = output(foreign(*reply([start, delta, BlockStop(index=0)], stop="tool_use")))
    assert ("shell_call", "c", {"commands": ["ls"]}) == (item["type"], item["call_id"], item["action"])


def test_a_search_is_told_to_who_asked_for_one() -> None:
    """The provider's own search is an item for a client that declared it, and lost for others."""
    events = foreign(
        *reply(
            [
                BlockStart(index=0, kind="server_tool_call", meta={"tool": "web_search", "input": {"query": "q"}}),
                BlockStop(index=0),
            ],
            block(1, "text", "x"),
        )
    )
    first, _ = output(events, request(stream=True, tools=[{"type": "web_search"}]))
    assert ("web_search_call", {"type": "search", "query": "q"}) == (first["type"], first["action"])
    losses: list[Loss] = []
    assert 1 == len(final(write(STREAM, events, losses))["output"])
    assert ["server_tool_call"] == [loss.feature for loss in losses]


# ---- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "status", "reason"), [
    ("end", "completed", None), ("stop_sequence", "completed", None), ("tool_use", "completed", None),
    ("pause", "completed", None),
    ("max_tokens", "incomplete", "max_output_tokens"), ("context_window", "incomplete", "max_output_tokens"),
    ("content_filter", "incomplete", "content_filter"), ("refusal", "incomplete", "content_filter"),
    ("malformed_tool_call", "failed", None),
])  # fmt: skip
def test_stops_are_told_by_status(kind: Any, status: str, reason: str | None) -> None:
    """Each kind of end has its status, its reason and its event; a refusal without words is never a success."""
    stream = write(STREAM, foreign(*reply(block(0, "text", "half"), stop=kind)))
    response = final(stream)
    assert status == response["status"] and status == types(stream)[-1]
    assert reason == (response["incomplete_details"] or {}).get("reason")
    assert (response["error"] is None) == (status != "failed")
    whole = json.loads(write(WHOLE, foreign(*reply(block(0, "text", "half"), stop=kind))))
    assert (status, response["output"]) == (whole["status"], whole["output"])


def test_a_refusal_is_told_in_words() -> None:
    """A refusal that the provider explains, and one in its own words, are refusal parts of a complete response."""
    for events in (reply(stop="refusal", explanation="not that"), reply(block(0, "refusal", "not that"), stop="refusal")):
        (item,) = output(foreign(*events))
        assert [{"type": "refusal", "refusal": "not that"}] == item["content"]
        assert "completed" == final(write(STREAM, foreign(*events)))["status"]


def test_an_answer_without_anything_is_no_success() -> None:
    """A provider that ended for no known reason and said nothing has failed."""
    assert "failed" == final(write(STREAM, foreign(*reply(stop="other"))))["status"]


def test_a_call_that_was_cut_is_incomplete() -> None:
    """The call in which the limit was reached is closed, and says so."""
    items = output(foreign(*reply(block(0, "tool_call", '{"a":', call_id="c", name="f"), stop="max_tokens")))
    assert ('{"a":', "incomplete") == (items[0]["arguments"], items[0]["status"])


# ---- errors and silence -------------------------------------------------------------------------


def test_an_error_in_the_middle_is_a_response_that_failed() -> None:
    """Once there is a response it fails, with what was said so far, a code that Codex knows, and when to try again."""
    events = [*foreign(*reply(block(0, "text", "half")))[:3], Error(error=TooMany("Slow down.", retry_after=11.05))]
    stream = write(STREAM, events)
    response = final(stream)
    assert ("failed", "failed") == (types(stream)[-1], response["status"])
    assert {"code": "rate_limit_exceeded", "message": "Slow down. Please try again in 12s."} == response["error"]
    assert "half" == response["output"][0]["content"][0]["text"] and "resp_r1" == response["id"]


def test_an_error_before_a_response_is_an_event_alone() -> None:
    """Where no response was announced the error is flat, as the SDK has it."""
    (tree,) = objects(write(STREAM, [Error(error=UpstreamBroken("broke off"))]))
    assert {"type": "error", "sequence_number": 0, "code": "upstream_error", "message": "broke off", "param": None} == tree


def test_silence_is_filled_with_an_event() -> None:
    """Before the response a comment keeps the connection alive, then an event with the same id, which Codex counts."""
    writer = DIALECT.writer(STREAM)
    assert b": keep-alive\n\n" == writer.idle()
    created, _ = objects(writer.feed(foreign(ResponseStart(id="r"))[0]))
    (beat,) = objects(writer.idle())
    assert ("response.in_progress", created["response"], 2) == (beat["type"], beat["response"], beat["sequence_number"])
    assert 3 == objects(writer.feed(foreign(BlockStart(index=0, kind="text"))[0]))[0]["sequence_number"]
    assert ["in_progress"] == types(writer.feed(foreign(Progress())[0]))
    assert b"" == DIALECT.writer(WHOLE).idle()


def test_silence_of_a_relayed_stream_is_filled_too() -> None:
    """A heartbeat amid frames that nobody reads has the response's id and no new number, so those that follow still count on."""
    stream = Stream().created().text(0, "a").end(message("msg_0", "a"))
    reader, writer = DIALECT.relay(stream=True), DIALECT.writer(STREAM)
    for event in reader.feed(b"".join(stream.frames[:4])):
        writer.feed(event)
    (beat,) = objects(writer.idle())
    assert ("response.in_progress", "resp_1", 3) == (beat["type"], beat["response"]["id"], beat["sequence_number"])


def test_a_relayed_stream_that_breaks_off_fails_in_its_own_response() -> None:
    """The gateway's own error behind relayed frames has the response's id, and counts on."""
    stream = Stream().created().text(0, "a")
    last = objects(write(STREAM, relay(*stream.frames[:4])))[-1]
    assert ("response.failed", "resp_1", 4) == (last["type"], last["response"]["id"], last["sequence_number"])


# ---- streams of this dialect that were changed --------------------------------------------------


def changed(events: list[Event], old: str, new: str | None) -> list[Event]:
    """The events with one fragment changed, or left out."""
    at = next(n for n, event in enumerate(events) if isinstance(event, BlockDelta) and event.fragment == old)
    return [*events[:at], *([] if new is None else [evolve(events[at], fragment=new)]), *events[at + 1 :]]


def test_a_changed_item_is_written_anew_and_no_other() -> None:
    """Frames of items that nobody touched are copied; of the changed one all that repeats it says the new text."""
    told = Stream().created().text(0, "a", "b", ident="m0").call(1, "f", "{}").text(2, "c", ident="m2")
    told.end(message("m0", "ab"), call("f", "{}", 1), message("m2", "c"))
    stream = write(STREAM, changed(read(told.data), "b", "B"))
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n")[:-1]]
    assert told.frames[:4] == frames[:4] and told.frames[8:16] == frames[8:16]
    assert "aB" in frames[5].decode() and "aB" in frames[7].decode()
    assert ["aB", "c"] == [item["content"][0]["text"] for item in final(stream)["output"] if item["type"] == "message"]
    assert list(range(len(told.frames))) == [tree["sequence_number"] for tree in objects(stream)]


def test_a_call_left_out_is_gone_from_all_frames() -> None:
    """If a filter takes a call out, no frame tells of it; the others keep their order, and are numbered anew."""
    told = Stream().created().text(0, "a", ident="m0").call(1, "f", "{}").call(2, "g", "{}")
    told.end(message("m0", "a"), call("f", "{}", 1), call("g", "{}", 2))
    events = [event for event in read(told.data) if getattr(event, "index", None) != 1]
    stream = write(STREAM, events)
    assert b'"call_1"' not in stream and b'"fc_1"' not in stream
    assert ["message", "function_call"] == [item["type"] for item in final(stream)["output"]]
    numbers = [tree["sequence_number"] for tree in objects(stream)]
    assert sorted(set(numbers)) == numbers


def test_a_block_put_in_gets_a_place_of_its_own() -> None:
    """A text that a filter adds before the end is an item; what the provider says behind it moves on."""
    told = Stream().created().text(0, "a", ident="m0").text(1, "b", ident="m1").end(message("m0", "a"), message("m1", "b"))
    events = read(told.data)
    at = next(n for n, event in enumerate(events) if isinstance(event, BlockStart) and event.index == 1) - 1
    added = [evolve(event, index=9) for event in block(9, "text", "note", group=7)]  # type: ignore[call-arg]
    stream = write(STREAM, [*events[:at], *added, *events[at:]])
    assert ["a", "note", "b"] == [item["content"][0]["text"] for item in final(stream)["output"]]
    numbers = [tree["sequence_number"] for tree in objects(stream)]
    assert list(range(len(numbers))) == numbers
    done = [(tree["output_index"], tree["item"]["id"]) for tree in objects(stream) if tree["type"].endswith("item.done")]
    assert [0, 1, 2] == sorted(at for at, _ in done)


def test_another_name_is_told_in_all_frames() -> None:
    """If the model's name is changed, each frame with a response says the new one."""
    told = (
        Stream()
        .created()
        .add("in_progress", response={"id": "resp_1", "model": "gpt", "output": []})
        .text(0, "a")
        .end(message("msg_0", "a"))
    )
    events = [evolve(event, model="mine") if isinstance(event, ResponseStart) else event for event in read(told.data)]
    stream = write(STREAM, events)
    assert {"mine"} == {tree["response"]["model"] for tree in objects(stream) if "response" in tree}


def test_another_end_is_told_with_its_event() -> None:
    """If a filter changes why it ended, status, details and the event's name say so."""
    told = Stream().created().text(0, "a").end(message("msg_0", "a"))
    events = [evolve(event, reason=StopReason("max_tokens")) if isinstance(event, Stop) else event for event in read(told.data)]
    stream = write(STREAM, events)
    assert ("incomplete", {"reason": "max_output_tokens"}) == (types(stream)[-1], final(stream)["incomplete_details"])


# ---- whole --------------------------------------------------------------------------------------


def test_a_changed_body_keeps_what_we_do_not_know() -> None:
    """Only the text that was changed differs; unknown keys, their order and numbers stay as they were."""
    data = body(message("m", "old"), x_big=0).replace(b'"x_big": 0', b'"x_big": 12345678901234567890123')
    events = read_whole(data)
    at = next(n for n, event in enumerate(events) if isinstance(event, BlockDelta))
    events[at] = evolve(events[at], fragment="new")  # type: ignore[call-arg]
    assert data.replace(b'"old"', b'"new"') == write(WHOLE, events)


def test_a_stream_for_a_whole_client_keeps_the_providers_response() -> None:
    """A stream of this dialect becomes a body with all that the last frame says of the response."""
    told = Stream().created().text(0, "a").end(message("msg_0", "a"), service_tier="flex", x_own=1)
    whole = json.loads(write(WHOLE, read(told.data)))
    assert ("flex", 1, "completed") == (whole["service_tier"], whole["x_own"], whole["status"])
    assert [message("msg_0", "a")] == whole["output"]


def test_only_one_answer_is_told() -> None:
    """Another choice than the first has no place in a response, and that is said."""
    second = [evolve(event, choice=1) for event in block(0, "text", "b")]  # type: ignore[call-arg]
    events = reply(block(0, "text", "a"))
    events = [*events[:-2], *second, events[-2], Stop(reason=StopReason("end"), choice=1), ResponseEnd()]
    losses: list[Loss] = []
    assert ["a"] == [item["content"][0]["text"] for item in final(write(STREAM, foreign(*events), losses))["output"]]
    assert ["n"] == [loss.feature for loss in losses]
