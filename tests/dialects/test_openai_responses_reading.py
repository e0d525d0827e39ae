"""What the frames and bodies of a provider mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses import RESPONSE, USAGE, Stream, body, call, message, output_text, read, read_whole

from llmgw.errors import UpstreamBroken, UpstreamRefused
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Progress,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
)
from llmgw.model import Carrier, Citation, OpaquePart, Part, Reasoning, Refusal, ServerToolCall, Text, ToolCall
from llmgw_dialects.openai_responses import DIALECT


def parts(events: list[Event]) -> tuple[Part, ...]:
    return fold(events).choices[0].parts


def stop(events: list[Event]) -> StopReason | None:
    return fold(events).choices[0].stop


def test_a_text_is_read_event_by_event() -> None:
    """Start, block, fragments, usage, stop and end; frames that only announce or repeat are raw."""
    events = read(Stream().created().text(0, "Hel", "lo", phase="final_answer").end(message("msg_0", "Hello")).data)
    meta = {"group": 0, "id": "msg_0", "phase": "final_answer"}
    usage = Usage(input_total=4, output_total=3, cache_read=1, cache_write=0, reasoning=2)
    assert [event for event in events if not isinstance(event, Raw)] == [
        ResponseStart(id="resp_1", model="gpt", created=5),
        BlockStart(index=0, kind="text", meta=meta),
        BlockDelta(index=0, channel="text", fragment="Hel"),
        BlockDelta(index=0, channel="text", fragment="lo"),
        BlockStop(index=0),
        UsageUpdate(usage=usage),
        Stop(reason=StopReason("end", raw="completed")),
        ResponseEnd(status="completed"),
    ]


def test_a_whole_body_is_read_as_a_stream_is() -> None:
    """The same items, streamed or whole, fold to the same reply."""
    told = Stream().created().text(0, "a", "b").call(1, "f", '{"x":', "1}", namespace="ns").end()
    items = [message("msg_0", "ab"), call("f", '{"x":1}', 1, namespace="ns")]
    assert fold(read(told.data)) == fold(read_whole(body(*items)))
    assert StopReason("tool_use", raw="completed") == stop(read_whole(body(*items)))


def test_what_is_encrypted_counts_when_it_is_done() -> None:
    """The value in the announcement may not be whole; the one at the end is."""
    item = {"id": "rs", "type": "reasoning", "summary": []}
    told = Stream().created().add("output_item.added", output_index=0, item={**item, "encrypted_content": "part"})
    told.add("output_item.done", output_index=0, item={**item, "encrypted_content": "whole"}).end()
    assert (Reasoning(id="rs", carrier=Carrier("openai", "encrypted_content", "whole")),) == parts(read(told.data))


def test_summaries_and_raw_thoughts_are_told_apart() -> None:
    """Summary texts by their number, raw texts by theirs; what only the end says is told then."""
    told = Stream().created().add("output_item.added", output_index=0, item={"id": "rs", "type": "reasoning", "summary": []})
    where = {"item_id": "rs", "output_index": 0}
    told.add("reasoning_summary_text.delta", **where, summary_index=0, delta="one")
    told.add("reasoning_summary_text.delta", **where, summary_index=1, delta="two")
    told.add("reasoning_text.delta", **where, content_index=0, delta="raw")
    summary = [{"type": "summary_text", "text": text} for text in ("one", "two more", "three")]
    told.add("output_item.done", output_index=0, item={"id": "rs", "type": "reasoning", "summary": summary}).end()
    assert (Reasoning(summary=("one", "two more", "three"), raw_text=("raw",), id="rs"),) == parts(read(told.data))


def test_items_are_told_apart_by_their_place() -> None:
    """Copilot changes ids from frame to frame; the place stays."""
    told = Stream().created()
    told.add("output_item.added", output_index=0, item=call("f", "") | {"id": "a", "call_id": "c"})
    told.add("function_call_arguments.delta", item_id="b", output_index=0, delta="{}")
    done = call("f", "{}") | {"id": "d", "call_id": "c"}
    told.add("output_item.done", output_index=0, item=done).end(done | {"id": "e"})
    assert (ToolCall(call_id="c", name="f", arguments="{}", item_id="a"),) == parts(read(told.data))


def test_parallel_calls_may_interleave() -> None:
    """Two calls that grow by turns are two open blocks."""
    told = Stream().created()
    for at in range(2):
        told.add("output_item.added", output_index=at, item=call("f", "", at))
    for at, fragment in ((1, "{"), (0, "["), (0, "]"), (1, "}")):
        told.add("function_call_arguments.delta", item_id=f"fc_{at}", output_index=at, delta=fragment)
    for at, text in ((1, "{}"), (0, "[]")):
        told.add("output_item.done", output_index=at, item=call("f", text, at))
    found = parts(read(told.end().data))
    assert ["[]", "{}"] == [part.arguments for part in found if isinstance(part, ToolCall)]


def test_items_of_the_last_frame_alone_are_told() -> None:
    """What stands nowhere but in the last frame is not lost, and what was streamed is not told twice."""
    told = Stream().created().text(0, "a").end(message("msg_0", "a"), call("f", "{}", 1))
    assert (Text("a", group=0, id="msg_0"), ToolCall(call_id="call_1", name="f", arguments="{}", item_id="fc_1")) == parts(
        read(told.data)
    )


def test_an_empty_last_frame_takes_nothing_away() -> None:
    """Codex's back-end repeats no item at the end."""
    assert (Text("a", group=0, id="msg_0"),) == parts(read(Stream().created().text(0, "a").end().data))


def test_freeform_calls_are_read() -> None:
    """A freeform call grows by its input; the client's own namespace is kept."""
    item = {"id": "ctc", "type": "custom_tool_call", "call_id": "c", "name": "exec", "namespace": "functions", "input": ""}
    told = Stream().created().add("output_item.added", output_index=0, item=item)
    told.add("custom_tool_call_input.delta", item_id="ctc", output_index=0, delta="ls\u2028")
    told.add("output_item.done", output_index=0, item={**item, "input": "ls\u2028 -l"}).end()
    expected = ToolCall(call_id="c", name="exec", arguments="ls\u2028 -l", kind="custom", namespace="functions", item_id="ctc")
    assert (expected,) == parts(read(told.data))


def test_tools_of_openais_are_told_when_they_are_done() -> None:
    """A hosted tool is progress until its item is whole; one of an unknown type is carried; a client's shell is a call."""
    search = {"id": "ws", "type": "web_search_call", "status": "in_progress", "action": {"type": "search"}}
    whole = {**search, "status": "completed", "action": {"type": "search", "query": "q"}}
    told = Stream().created().add("output_item.added", output_index=0, item=search)
    told.add("web_search_call.searching", item_id="ws", output_index=0)
    told.add("output_item.done", output_index=0, item=whole)
    shell = {"id": "sh", "type": "shell_call", "call_id": "c", "status": "completed", "action": {"commands": ["ls"]}}
    told.add("output_item.done", output_index=1, item=shell)
    new = {"id": "x", "type": "from_the_future"}
    told.add("output_item.done", output_index=2, item=new).end()
    events = read(told.data)
    assert 1 == sum(isinstance(event, Progress) and event.kind == "server_tool" for event in events)
    assert parts(events) == (
        ServerToolCall(tool="web_search", id="ws", input={"type": "search", "query": "q"}, raw=whole),
        ToolCall(call_id="c", name="shell", arguments='{"commands":["ls"]}', kind="builtin", item_id="sh"),
        OpaquePart(dialect="openai.responses", type="from_the_future", raw=new),
    )
    assert StopReason("tool_use", raw="completed") == stop(events)


def test_a_shell_in_openais_container_is_openais() -> None:
    """A shell that runs in a container is nothing for the client to do."""
    shell = {"id": "sh", "type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "container_reference"}}
    events = read_whole(body(shell))
    assert isinstance(parts(events)[0], OpaquePart) and StopReason("end", raw="completed") == stop(events)


def test_annotations_and_logprobs_are_read_once() -> None:
    """What frames and their repetitions say twice is told once; an annotation of an unknown type is kept too."""
    cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    odd = {"type": "from_the_future"}
    logprob = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    where = {"item_id": "m", "output_index": 0, "content_index": 0}
    told = Stream().created().add("output_item.added", output_index=0, item=message("m"))
    told.add("content_part.added", **where, part=output_text(""))
    told.add("output_text.delta", **where, delta="a", logprobs=[logprob])
    told.add("output_text.annotation.added", **where, annotation_index=0, annotation=cited)
    part = output_text("a", annotations=[cited, odd], logprobs=[logprob])
    told.add("content_part.done", **where, part=part).end(message("m") | {"content": [part]})
    (text,) = parts(read(told.data))
    assert isinstance(text, Text)
    assert (Citation("url", url="https://a", title="A", start=0, end=2, raw=cited),) == text.citations
    assert [logprob] == text.logprobs and {"annotations": [odd]} == text.extras


def test_a_refusal_is_a_block_and_a_stop() -> None:
    """A refusal part is the model's refusal, and why it ended."""
    events = read_whole(body(message("m") | {"content": [{"type": "refusal", "refusal": "no"}]}))
    assert (Refusal("no"),) == parts(events) and StopReason("refusal", raw="completed") == stop(events)


@pytest.mark.parametrize(("fields", "kind", "raw"), [
    ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_tokens", "max_output_tokens"),
    ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", "content_filter"),
    ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "steered", "steered"),
    ({"status": "incomplete", "incomplete_details": None}, "other", "incomplete"),
    ({"status": "queued"}, "other", "queued"), ({"status": "cancelled"}, "cancelled", "cancelled"),
])  # fmt: skip
def test_ends_are_read(fields: dict[str, Any], kind: Any, raw: str) -> None:
    """Status and reason say why it ended, whole or streamed."""
    assert StopReason(kind, raw=raw) == stop(read_whole(body(**fields)))
    assert StopReason(kind, raw=raw) == stop(read(Stream().created().end(**fields).data))


def test_a_stream_without_its_last_frame_is_an_error() -> None:
    """A truncated response never looks like success, whether the provider just stops or says ``[DONE]``."""
    told = Stream().created().text(0, "a")
    for tail in (b"", b"data: [DONE]\n\n"):
        events = read(told.data + tail)
        assert isinstance(events[-1], Error) and isinstance(events[-1].error, UpstreamBroken)


def test_a_stream_may_begin_in_the_middle() -> None:
    """A response that is taken up again, or that was never announced, is read all the same."""
    told = Stream()
    told.frames = [b""] * 7
    events = read(told.text(0, "a").end(message("msg_0", "a")).data)
    assert (Text("a", group=0, id="msg_0"),) == parts(events)


def failure(code: str, message: str = "m") -> dict[str, Any]:
    return {"type": "response.failed", "response": {"error": {"code": code, "message": message}}}


@pytest.mark.parametrize(("tree", "kind", "code"), [
    (failure("server_is_overloaded"), "overloaded", "server_is_overloaded"),
    (failure("rate_limit_exceeded", "try again in 1.5s"), "rate_limited", "rate_limit_exceeded"),
    ({"type": "error", "code": "context_length_exceeded", "message": "m"}, "context_length", "context_length_exceeded"),
    ({"type": "error", "error": {"type": "x", "code": "insufficient_quota", "message": "m"}}, "billing", "insufficient_quota"),
    (failure("invalid_prompt"), "invalid_request", "invalid_prompt"),
    ({"type": "response.failed", "response": {"error": None}}, "upstream_error", None),
    ({"error": {"message": "m", "code": "server_error"}}, "upstream_error", "server_error"),
])  # fmt: skip
def test_errors_in_a_stream_are_classified(tree: dict[str, Any], kind: str, code: str | None) -> None:
    """Each shape of an error in a stream is one, with its kind and code, whether the frame has a name or not."""
    for name in (f"event: {tree.get('type', 'error')}\n", ""):
        data = Stream().created().data + f"{name}data: {json.dumps(tree)}\n\n".encode()
        error = read(data)[-1]
        assert isinstance(error, Error) and isinstance(error.error, UpstreamRefused)
        assert (kind, code) == (error.error.kind, error.error.code)
        assert (1.5 if kind == "rate_limited" else None) == error.error.retry_after


def test_a_response_that_failed_is_an_error_as_a_body_too() -> None:
    """A whole response may come with a 200 and have failed."""
    (event,) = read_whole(body(status="failed", error={"code": "server_error", "message": "oops"}))
    assert isinstance(event, Error) and "oops" == event.error.message


@pytest.mark.parametrize("data", [b"<html><title>Bad gateway</title>", b"{}", b'{"output": 3}', b""])
def test_a_body_that_is_no_response_is_broken(data: bytes) -> None:
    """What has no list of items is told in words."""
    (event,) = read_whole(data)
    assert isinstance(event, Error) and isinstance(event.error, UpstreamBroken)


def test_progress_is_told() -> None:
    """A response that waits says so."""
    told = Stream().add("queued", response={**RESPONSE, "status": "queued"}).add("in_progress", response=RESPONSE)
    kinds = [event.kind for event in read(told.text(0, "a").end().data) if isinstance(event, Progress)]
    assert ["in_progress"] == kinds


def test_usage_of_a_body_is_read() -> None:
    """Counts and details have their canonical names."""
    (update,) = (event for event in read_whole(body(message("m", "a"))) if isinstance(event, UsageUpdate))
    assert (
        Usage(input_total=4, output_total=3, cache_read=1, cache_write=0, reasoning=2) == update.usage
        and USAGE == update.usage.raw
    )


def test_meta_of_a_block_comes_before_its_stop() -> None:
    """What belongs to a thought is told while its block is open."""
    item = {"id": "rs", "type": "reasoning", "summary": [], "encrypted_content": "x"}
    events = read_whole(body(item))
    kinds = [type(event) for event in events if getattr(event, "index", None) == 0]
    assert [BlockStart, BlockMeta, BlockStop] == kinds


def test_the_reader_has_ended_with_the_last_frame() -> None:
    """Nothing need be waited for once the whole response has come."""
    reader = DIALECT.reader(stream=True)
    told = Stream().created().text(0, "a").end()
    for frame in told.frames:
        assert not reader.ended
        list(reader.feed(frame))
    assert reader.ended and [] == list(reader.close())
