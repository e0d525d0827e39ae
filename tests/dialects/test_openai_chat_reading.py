"""What providers send, and what it means: each trap once."""

from __future__ import annotations

import json

import pytest
from chat import DONE, body, chunk, data_of, frame, read, read_whole

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
    UsageUpdate,
    fold,
)
from llmgw.model import Audio, Base64, Carrier, OpaquePart, Reasoning, Refusal, Text, ToolCall
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import every_cut

FIRST = chunk({"role": "assistant", "content": ""})
END = chunk({}, "stop") + DONE


def call(*entries: dict[str, object]) -> bytes:
    return chunk({"tool_calls": list(entries)})


def calls(*frames: bytes) -> list[tuple[str, str]]:
    parts = fold(read(FIRST, *frames, chunk({}, "tool_calls"), DONE)).choices[0].parts
    return [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]


def error_of(events: list[Event]) -> Error:
    assert isinstance(events[-1], Error)
    return events[-1]


# ---- the plain way ------------------------------------------------------------------------------


def test_a_stream_becomes_start_block_stop_usage_end() -> None:
    """A common stream has these events, in this order."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    events = read(FIRST, chunk({"content": "Hi"}), chunk({"content": "!"}), chunk({}, "stop"), chunk(usage=usage), DONE)
    kinds = [ResponseStart, BlockStart, BlockDelta, BlockDelta, BlockStop, Stop, UsageUpdate, ResponseEnd]
    assert kinds == [type(event) for event in events]
    assert ("c1", "gpt", 5) == (fold(events).id, fold(events).model, fold(events).created)


def test_stop_comes_at_once() -> None:
    """``Stop`` is told in the frame with the finish_reason, not when the provider closes."""
    reader = DIALECT.reader(stream=True)
    assert isinstance(list(reader.feed(FIRST + chunk({"content": "Hi"}, "stop")))[-1], Stop)


def test_comments_and_empty_chunks_are_events() -> None:
    """Each frame makes an event: a comment a sign of life, an empty chunk something raw."""
    events = read(b": OPENROUTER PROCESSING\n\n", FIRST, chunk({}), chunk(), chunk({"content": "x"}), END)
    assert [Progress, ResponseStart, Raw, Raw] == [type(event) for event in events[:4]]


def test_a_repeated_finish_reason_is_nothing_new() -> None:
    """A second finish_reason of a choice makes no second stop."""
    events = read(FIRST, chunk({"content": "x"}, "stop"), chunk({}, "length"), DONE)
    assert ["end"] == [event.reason.kind for event in events if isinstance(event, Stop)]


def test_nothing_comes_after_the_end() -> None:
    """After the terminal event, more bytes make no events."""
    reader = DIALECT.reader(stream=True)
    list(reader.feed(FIRST + END))
    assert ([], []) == (list(reader.feed(FIRST)), list(reader.close()))


def test_azures_first_chunk_does_not_name_the_reply() -> None:
    """A first chunk without id and choices is raw; the reply has the id of the next."""
    azure = frame({"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [{}]})
    events = read(azure, FIRST, chunk({"content": "x"}), END)
    assert isinstance(events[0], Raw)
    assert "c1" == fold(events).id


@pytest.mark.parametrize(
    "line", [b"data:%s\n\n", b"data: %s\r\n\r\n", b"id: 7\r\ndata: %s\r\rretry: 3\n\n", b": hi\ndata: %s\n\n"]
)
def test_any_form_of_event_stream_is_read(line: bytes) -> None:
    """CRLF, CR, no space after the colon, comments and other fields are all the same."""
    stream = b"".join(line.replace(b"%s", one) for one in (FIRST[6:-2], chunk({"content": "é\u2028".encode().decode()})[6:-2]))
    stream += line.replace(b"%s", chunk({}, "stop")[6:-2]) + line.replace(b"%s", b"[DONE]")
    events = read(stream)
    assert "é\u2028" == fold(events).choices[0].parts[0].text  # type: ignore[attr-defined]
    for pieces in every_cut(stream):
        assert stream.startswith(data_of(read(*pieces)))


# ---- text, thoughts, refusals -------------------------------------------------------------------


def parts(*deltas: dict[str, object]) -> tuple[object, ...]:
    return fold(read(FIRST, *map(chunk, deltas), END)).choices[0].parts


def test_thoughts_under_either_key_are_read_once() -> None:
    """``reasoning_content`` and ``reasoning`` with the same text are one thought."""
    assert (Reasoning(raw_text=("ab",)), Text("c")) == parts(
        {"reasoning_content": "a", "reasoning": "a"}, {"reasoning": "b", "content": None}, {"content": "c", "reasoning": ""}
    )


def test_details_are_gathered_whole() -> None:
    """The pieces of ``reasoning_details`` are put together by index, and give the text if nothing else does."""
    one, two = ({"type": "reasoning.text", "text": text, "index": 0} for text in "ab")
    sealed = {"type": "reasoning.encrypted", "data": "xyz", "index": 1}
    (thought, text) = parts({"reasoning_details": [one]}, {"reasoning_details": [two, sealed]}, {"content": "c"})
    assert isinstance(thought, Reasoning) and thought.carrier is not None
    assert ("ab",) == thought.raw_text
    assert [{**one, "text": "ab"}, sealed] == json.loads(thought.carrier.payload)
    assert Text("c") == text


def test_details_beside_a_plain_text_do_not_repeat_it() -> None:
    """Where a plain text comes along, details are only kept."""
    details = [{"type": "reasoning.text", "text": "a", "index": 0}]
    (thought,) = parts({"reasoning": "a", "reasoning_details": details})
    assert isinstance(thought, Reasoning)
    assert ("a",) == thought.raw_text


def test_mistrals_lists_are_read() -> None:
    """A content that is a list is read entry by entry; what we do not know in it stays as it is."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}
    odd = {"type": "reference", "reference_ids": [1]}
    assert (
        Reasoning(raw_text=("a",)), Text("b"), OpaquePart(dialect="openai.chat", type="reference", raw=odd), Text("c"),
    ) == parts({"content": [thinking]}, {"content": [{"type": "text", "text": "b"}, odd]}, {"content": "c"})  # fmt: skip


def test_refusals_are_read() -> None:
    """A refusal is a block of its own."""
    assert (Refusal("No."),) == parts({"refusal": "N"}, {"refusal": "o."})


def test_sound_is_read() -> None:
    """Audio is a block whose pieces are media."""
    sound = Audio(Base64("", "AA="), id="a1", transcript="hm")

    assert (sound,) == parts({"audio": {"id": "a1", "transcript": "hm"}}, {"audio": {"data": "AA="}})


def test_annotations_and_logprobs_belong_to_the_text() -> None:
    """Citations and log probabilities are told about the text's block."""
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    logprobs = {"content": [{"token": "x", "logprob": -1, "bytes": None, "top_logprobs": []}]}
    first = frame({"id": "c1", "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": logprobs}]})
    (text,) = fold(read(first, chunk({"annotations": [{"index": 0, **cited}]}), END)).choices[0].parts
    assert isinstance(text, Text)
    assert ("u", cited) == (text.citations[0].url, text.citations[0].raw)
    assert logprobs["content"] == text.logprobs


# ---- tool calls ---------------------------------------------------------------------------------


def f(arguments: object = "", name: str | None = None) -> dict[str, object]:
    return {"arguments": arguments, **({} if name is None else {"name": name})}


def test_parallel_calls_may_interleave() -> None:
    """Fragments of two calls may take turns; each goes to its call."""
    assert [("a", "12"), ("b", "34")] == calls(
        call({"index": 0, "id": "x", "function": f("", "a")}), call({"index": 1, "id": "y", "function": f("3", "b")}),
        call({"index": 0, "function": f("12")}), call({"index": 1, "function": f("4")}),
    )  # fmt: skip


def test_a_new_id_at_the_same_index_is_a_new_call() -> None:
    """Some upstreams count every call 0."""
    assert [("a", "1"), ("a", "2")] == calls(
        call({"index": 0, "id": "x", "function": f("1", "a")}), call({"index": 0, "id": "y", "function": f("2", "a")})
    )


def test_an_id_and_a_name_may_be_repeated_or_empty() -> None:
    """The same id, or an empty one, in each fragment is the same call; of the names the first counts."""
    assert [("a", "123")] == calls(
        call({"index": 0, "id": "x", "function": f("1", "a")}), call({"index": 0, "id": "x", "function": f("2", "a")}),
        call({"index": 0, "id": "", "function": f("3", "")}),
    )  # fmt: skip


def test_calls_without_index_or_id_are_told_apart() -> None:
    """Without an index position counts; without ids another name, or the same again behind whole arguments, is a new call."""
    assert [("a", "{}"), ("a", '{"n":1}'), ("b", "")] == calls(
        call({"id": "", "function": f("{}", "a")}), call({"id": "", "function": f('{"n":1}', "a")}),
        call({"function": f("", "b")}),
    )  # fmt: skip
    assert [("a", "1"), ("b", "2")] == calls(call({"function": f("1", "a")}, {"function": f("2", "b")}))


def test_missing_ids_are_minted_the_same_each_time() -> None:
    """A call without an id gets one that depends on nothing but the reply and its place in it."""
    stream = (FIRST, call({"index": 0, "function": f("1", "a")}), chunk({}, "stop"), DONE)
    ids = {fold(read(*stream)).choices[0].parts[0].call_id for _ in range(2)}  # type: ignore[attr-defined]
    assert len(ids) == 1 and "" not in ids


def test_a_name_may_come_late() -> None:
    """A call is told once it has a name, with all that came before."""
    assert [("a", "12")] == calls(call({"index": 0, "id": "x", "function": f("1")}), call({"index": 0, "function": f("2", "a")}))
    assert [("", "1")] == calls(call({"index": 0, "id": "x", "function": f("1")}))


def test_arguments_may_be_an_object() -> None:
    """Arguments given as an object become compact JSON text."""
    assert [("a", '{"x":1.0}')] == calls(call({"index": 0, "id": "x", "function": f({"x": 1.0}, "a")}))


def test_custom_legacy_and_signed_calls_are_read() -> None:
    """Custom tools, ``function_call`` and Google's thought signatures are all tool calls."""
    custom = {"index": 0, "id": "x", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    signed = {"index": 1, "id": "y", "function": f("{}", "g"), "extra_content": {"google": {"thought_signature": "sig"}}}
    first, second = parts({"tool_calls": [custom]}, {"tool_calls": [signed]})
    assert ToolCall(call_id="x", name="sh", arguments="ls", kind="custom") == first
    assert isinstance(second, ToolCall)
    assert Carrier(provider="google", kind="thought_signature", payload="sig") == second.carrier
    assert [("old", '{"a":1}')] == calls(chunk({"function_call": f('{"a"', "old")}), chunk({"function_call": f(":1}")}))


def test_a_call_makes_stop_a_tool_use() -> None:
    """OpenAI itself says ``stop`` after a call that the client forced."""
    stop = fold(read(FIRST, call({"index": 0, "id": "x", "function": f("", "a")}), END)).choices[0].stop
    assert stop is not None and ("tool_use", "stop") == (stop.kind, stop.raw)


def test_a_call_stays_open_while_another_is_told() -> None:
    """Blocks of calls stop when their choice ends, not when the next one starts."""
    events = read(FIRST, call({"index": 0, "id": "x", "function": f("", "a")}), call({"index": 1, "id": "y",
        "function": f("", "b")}),
                  chunk({}, "tool_calls"), DONE)  # fmt: skip
    assert [BlockStart, BlockStart, BlockStop, BlockStop, Stop] == [type(event) for event in events[1:-1]]


# ---- choices, usage, ends -----------------------------------------------------------------------


def test_choices_interleave() -> None:
    """Several choices, in one chunk or in several, are each their own."""
    both = frame({"id": "c1", "choices": [{"index": i, "delta": {"content": str(i)}} for i in (0, 1)]})
    reply = fold(read(both, chunk({"content": "b"}, index=1), chunk({}, "stop", index=1), chunk({}, "length"), DONE))
    assert [(0, "0", "max_tokens"), (1, "1b", "end")] == [
        (one.index, one.parts[0].text, one.stop and one.stop.kind)
        for one in reply.choices  # type: ignore[attr-defined]
    ]


def test_usage_may_come_in_any_chunk() -> None:
    """Usage counts wherever it stands, and null is none."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 9}
    reply = fold(read(chunk({"content": "x"}, usage=None), chunk({}, "stop", usage=usage), DONE))
    assert reply.usage is not None
    assert (3, 6, 4) == (reply.usage.input_total, reply.usage.output_total, reply.usage.reasoning)


def test_a_reply_without_done_is_complete_if_it_finished() -> None:
    """With a finish_reason, a missing ``[DONE]`` is no failure."""
    assert isinstance(read(FIRST, chunk({"content": "x"}, "stop"))[-1], ResponseEnd)


def test_done_without_a_finish_reason_is_complete() -> None:
    """With ``[DONE]``, a missing finish_reason is told as one that we do not know."""
    events = read(FIRST, chunk({"content": "x"}, ""), DONE)
    assert ["other"] == [event.reason.kind for event in events if isinstance(event, Stop)]
    assert isinstance(events[-1], ResponseEnd)


@pytest.mark.parametrize("frames", [(), (FIRST,), (FIRST, chunk({"content": "x"})),
    (FIRST, chunk({"content": "x"}), b'data: {"ch'),
                                    (DONE,), (b": hi\n\n",)])  # fmt: skip
def test_a_reply_cut_short_is_an_error(frames: tuple[bytes, ...]) -> None:
    """A stream that ends without an end never looks like success."""
    assert isinstance(error_of(read(*frames)).error, UpstreamBroken)


def test_a_last_frame_may_lack_its_empty_line() -> None:
    """What came without the last empty line counts if it is whole."""
    events = read(FIRST, chunk({"content": "x"}, "stop"), b"data: [DONE]")
    assert isinstance(events[-1], ResponseEnd) and b"data: [DONE]" == data_of(events)[-12:]


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "status"), [
    (frame({"error": {"message": "busy", "code": 503}}), 503),
    (frame({"error": {"message": "busy", "status_code": 429, "type": "rate_limit_error"}}), 429),
    (frame({"error": "busy"}), 502),
    (b'event: error\ndata: {"message":"busy"}\n\n', 502),
    (frame({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "busy",
        "code": 502}}]}), 502),
    (b'{"error": {"message": "busy",\n\n "code": 500}}', 500),
])  # fmt: skip
@pytest.mark.parametrize("began", [True, False])
def test_an_error_in_a_stream_ends_it(error: bytes, status: int, began: bool) -> None:
    """An error frame, and all behind it, is one terminal event with the provider's words."""
    if began and error.startswith(b"{"):
        return  # that comes instead of a stream
    stream = (FIRST + chunk({"content": "x"}) if began else b"") + error + b": bye\n\n"
    if error.startswith(b"{"):
        stream = error
    for pieces in every_cut(stream):
        events = read(*pieces)
        refused = error_of(events).error
        assert isinstance(refused, UpstreamRefused) and refused.upstream is not None
        assert ("busy", status, 200) == (refused.message, refused.status, refused.upstream.status)
        assert stream == data_of(events)


@pytest.mark.parametrize(
    "page", [b"<html><title>502 Bad &amp; Gateway</title>\n\n</html>", b"data: oops\n\n", b"data: [1]\n\n", b"oops\n\n"]
)
def test_garbage_is_an_error_that_shows_it(page: bytes) -> None:
    """What is no stream of objects is told with its first words, and the page is not passed on."""
    error = error_of(read(page))
    assert isinstance(error.error, UpstreamBroken)
    assert error.frame is None


def test_a_frame_over_the_limit_is_an_error() -> None:
    """A frame without end does not fill the memory."""
    reader = DIALECT.reader(stream=True)
    reader._splitter.limit = 10  # type: ignore[attr-defined]
    assert isinstance(error_of([*reader.feed(b"data: " + b"x" * 20)]).error, UpstreamBroken)
    assert [] == list(reader.close())


# ---- whole bodies -------------------------------------------------------------------------------


def test_a_whole_reply_is_read_like_a_stream() -> None:
    """A whole body and a stream that says the same fold to the same reply."""
    message = {"content": "b", "reasoning_content": "a", "refusal": None,
               "tool_calls": [{"id": "x", "type": "function", "function": f("{}", "t")}]}  # fmt: skip
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    stream = read(chunk({"reasoning_content": "a"}), chunk({"content": "b"}), call({"index": 0, **message["tool_calls"][0]}),
         # type: ignore[dict-item]
                  chunk({}, "tool_calls"), chunk(usage=usage), DONE)  # fmt: skip
    assert fold(stream) == fold(read_whole(body(message, "tool_calls", usage=usage)))


def test_a_whole_reply_is_one_frame() -> None:
    """All events of a whole body are of one frame, which is the body."""
    data = body({"content": "x"})
    events = read_whole(data)
    assert 1 == len({id(event.frame) for event in events})
    assert data == data_of(events)


@pytest.mark.parametrize(
    "data", [b"", b"<html><title>Oops</title>", b"[]", b"{}", b'{"choices": 5}', b'{"choices": []}', b'{"id": "x", "object']
)
def test_a_whole_body_that_is_none_is_an_error(data: bytes) -> None:
    """A body without choices is told with its first words."""
    assert isinstance(error_of(read_whole(data)).error, UpstreamBroken)


def test_an_error_in_a_200_is_refused() -> None:
    """A whole body with an error is the provider's refusal, whatever its status."""
    data = b'{"error": {"message": "no", "code": "context_length_exceeded"}}'
    refused = error_of(read_whole(data)).error
    assert isinstance(refused, UpstreamRefused) and refused.upstream is not None
    assert ("context_length", 502, data) == (refused.kind, refused.status, refused.upstream.body)
    assert data == DIALECT.write_error(refused)


def test_a_whole_body_over_the_limit_is_an_error() -> None:
    """A body without end does not fill the memory."""
    reader = DIALECT.reader(stream=False)
    reader._body.limit = 10  # type: ignore[attr-defined]
    reader.feed(b"x" * 20)
    assert isinstance(error_of(list(reader.close())).error, UpstreamBroken)


def test_odd_choices_do_no_harm() -> None:
    """Choices that are no objects, or lack an index or a delta, are read as far as they go."""
    odd = frame({"id": "c1", "choices": [None, {"delta": None}, {"delta": {"content": "x"}, "index": "0"}]})
    assert any(isinstance(event, BlockMeta | BlockDelta) for event in read(odd, END))
