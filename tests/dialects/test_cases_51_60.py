"""Acceptance cases 52 to 60 that need no gateway: broken arguments, SSE mechanics, what cannot be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from asking import Assistant, Call, Result, User, asks, told
from crossings import DIALECTS, PAIRS, asked
from said import Said, frames_of, says
from sdk_oracles import heard

from llmgw.errors import Unsupported
from llmgw.events import fold
from llmgw.losses import LossPolicy

CUTS = (0, 1, 7, 64)

# ---- 52 -----------------------------------------------------------------------------------------

BROKEN = '{"a": 1, "b": "unfin'


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in PAIRS if back != "G"])
def test_case_52_a_limit_inside_arguments(front: str, back: str, cut: int) -> None:
    """The reply ended at its limit: the call is closed as it is, and for Gemini, which has whole calls only, left out."""
    one = asked(front, back, asks(front, tools=("f",)), stream=True)
    data = one.answered(says(back, Said("Wait.", calls=(("c1", "f", BROKEN),), stop="max_tokens"), stream=True), cut=cut)
    match front:
        case "C":
            got = heard("C", data, stream=True)
            assert ("length", [("f", BROKEN)]) == (got.stop, got.calls)
        case "S":
            got = heard("S", data, stream=True)
            assert ("incomplete/max_output_tokens", [("f", BROKEN)]) == (got.stop, got.calls)
            assert ["incomplete"] == [item.status for item in got.native.output if item.type == "function_call"]
        case "A":
            frames = frames_of(data)  # of the SDK's accumulator an unfinished text makes what it can
            fragments = [one["delta"].get("partial_json", "") for one in frames if one["type"] == "content_block_delta"]
            starts = [one for one in frames if one["type"] == "content_block_start"]
            stops = [one for one in frames if one["type"] == "content_block_stop"]
            assert BROKEN == "".join(fragments) and len(starts) == len(stops) == 2
            assert "max_tokens" == next(one["delta"]["stop_reason"] for one in frames if one["type"] == "message_delta")
        case _:
            got = heard("G", data, stream=True)
            assert ("Wait.", "MAX_TOKENS", []) == (got.text, got.stop, got.calls)


@pytest.mark.parametrize(("front", "back"), [("A", "C"), ("G", "C"), ("A", "S"), ("G", "S"), ("S", "C"), ("C", "S")])
def test_case_52_a_limit_inside_arguments_of_a_whole_reply(front: str, back: str) -> None:
    """The same in a body: the end is the limit, and no object is made up of half of one."""
    one = asked(front, back, asks(front, tools=("f",)))
    got = heard(
        front,
        one.answered(says(back, Said("Wait.", calls=(("c1", "f", BROKEN),), stop="max_tokens"), stream=False)),
        stream=False,
    )

    assert {"C": "length", "S": "incomplete/max_output_tokens", "A": "max_tokens", "G": "MAX_TOKENS"}[front] == got.stop
    assert "Wait." == got.text
    if front in "CS":
        assert [("f", BROKEN)] == got.calls
    elif front == "G":
        assert [] == got.calls
    else:
        assert all(args in ({}, {"_raw": BROKEN}) for _, args in got.calls)


# ---- 53 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a":', {"_raw": '{"a":'}), ('{"a":1,}', {"_raw": '{"a":1,}'}), ("[1, 2]", {"_value": [1, 2]}), ('"x"', {"_value": "x"}),
     ("", {}), ("null", {})],
)  # fmt: skip
@pytest.mark.parametrize("back", "AG")
@pytest.mark.parametrize("front", "CS")
def test_case_53_arguments_that_are_no_object_are_put_into_one(front: str, back: str, text: str, expected: Any) -> None:
    """The call is kept with its words, its result still belongs to it, and what was approximated is on the record."""
    one = asked(front, back, asks(front, User(), Assistant("", (Call("c1", "f", text),)), Result("c1", "sorry"), tools=("f",)))
    found = told(back, one.body)

    assert ([expected], ["sorry"]) == ([args for _, _, args in found.calls], [said for _, said in found.results])
    assert found.calls[0][0] == found.results[0][0]
    assert bool(expected) == ("tool_call.arguments" in one.features)


@pytest.mark.parametrize("text", ['{"a":', '{"a":1,}', '{"a": 1e400, "b": 18446744073709551617, "a": 1.0}'])
@pytest.mark.parametrize(("front", "back"), [("C", "S"), ("S", "C")])
def test_case_53_between_texts_arguments_stay_as_they_are(front: str, back: str, text: str) -> None:
    """Both of OpenAI's dialects hold a text: valid or not, it is the model's own."""
    body = asked(front, back, asks(front, User(), Assistant("", (Call("c1", "f", text),)), Result("c1"), tools=("f",))).body
    call = body["input"][1] if back == "S" else body["messages"][1]["tool_calls"][0]["function"]
    assert text == call["arguments"]


# ---- 55 -----------------------------------------------------------------------------------------

TEXT = "a\u2028b\u2029c\x85d 🙂é\r\n\\n"


def crlf(stream: bytes) -> bytes:
    return stream.replace(b"\n", b"\r\n")


def lone_cr(stream: bytes) -> bytes:
    return stream.replace(b"\n", b"\r")


def no_space(stream: bytes) -> bytes:
    return stream.replace(b"data: ", b"data:").replace(b"event: ", b"event:")


def many_lines(stream: bytes) -> bytes:
    """Each frame's JSON over several ``data`` lines."""
    return stream.replace(b'data: {"', b'data: {\ndata: "')


def comments(stream: bytes) -> bytes:
    return b": hello\n\n" + stream.replace(b"\n\n", b"\n\n: ping\n\n:\nretry: 5\nid: 7\n")


def bom(stream: bytes) -> bytes:
    return b"\xef\xbb\xbf" + stream


def raw_text(stream: bytes) -> bytes:
    """Separators of lines that Unicode knows stand in strings as they are."""
    for char in "\u2028\u2029\x85🙂é":
        stream = re.sub(rb"(?<!\\)" + re.escape(json.dumps(char)[1:-1].encode()), char.encode(), stream)
    return stream


def no_last_blank(stream: bytes) -> bytes:
    return stream.rstrip(b"\n")


def awake(front: str, stream: bytes) -> bytes:
    """A client's stream without signs of life."""
    if front == "S":
        stream = stream.replace(b": keep-alive\n\n", b"")
        first, *rest = re.split(rb"(?=event: )", stream)
        kept = [one for at, one in enumerate(rest) if at < 2 or not one.startswith(b"event: response.in_progress\n")]
        return re.sub(rb'"sequence_number":\d+', b"", first + b"".join(kept))
    stream = re.sub(rb'event: ping\ndata: {"type":"ping"}\n\n|: keep-alive\n\n', b"", stream)
    return re.sub(rb"(?<=\r\n\r\n)\n+|^\n+", b"", stream)


MECHANICS: list[Callable[[bytes], bytes]] = [crlf, lone_cr, no_space, many_lines, comments, bom, raw_text, no_last_blank]


@pytest.mark.parametrize("mechanic", MECHANICS, ids=[one.__name__ for one in MECHANICS])
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_case_55_frames_are_read_alike_however_they_are_written(
    front: str, back: str, mechanic: Callable[[bytes], bytes]
) -> None:
    """Line ends, spaces, comments and cuts do not matter: the client gets the same bytes, and for a comment a sign of life."""
    one = asked(front, back, asks(front, tools=("f",)), stream=True)
    plain = says(back, Said(TEXT, calls=(("c1", "f", json.dumps({"a": TEXT})),)), stream=True)
    expected = one.answered(plain)
    written = mechanic(plain)
    for cut in (0, 1, 7, 64):
        answered = asked(front, back, asks(front, tools=("f",)), stream=True).answered(written, cut=cut)
        if mechanic is comments:
            assert awake(front, expected) == awake(front, answered)
        else:
            assert expected == answered
    got = heard(front, expected, stream=True)
    assert (TEXT, [("f", {"a": TEXT})]) == (got.text, got.calls)


@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_case_55_a_line_of_five_megabytes(front: str, back: str) -> None:
    """A long line is a line."""
    text = "ab\u2028é" * (5 * 2**20 // 7)
    one = asked(front, back, asks(front), stream=True)
    got = heard(front, one.answered(says(back, Said(text, pieces=len(text)), stream=True), cut=65_537), stream=True)
    assert text == got.text


@pytest.mark.parametrize("back", "CSA")
def test_case_55_gemini_clients_get_data_lines_only(back: str) -> None:
    """Google's SDKs die of a comment, an event's name or ``[DONE]``; the space behind the colon must be there."""
    one = asked("G", back, asks("G", tools=("f",)), stream=True)
    data = one.answered(comments(says(back, Said("hi", calls=(("c1", "f", "{}"),)), stream=True)))
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]

    assert all(not line or line.startswith(b'data: {"') for line in lines)
    writer = DIALECTS["G"].writer(one.request)
    assert not writer.idle().strip(b"\r\n ")


@pytest.mark.parametrize("back", "CSAG")
def test_case_55_the_readers_of_whole_bodies_take_any_cut(back: str) -> None:
    """A body in pieces is a body, with white space before it."""
    data = b"\n " + says(back, Said(TEXT), stream=False)
    replies = []
    for cut in (0, 1, 7):
        reader = DIALECTS[back].reader(stream=False)
        pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
        replies.append(fold([*(event for piece in pieces for event in reader.feed(piece)), *reader.close()]))
    assert replies[0] == replies[1] == replies[2]
    assert TEXT == "".join(getattr(part, "text", "") for part in replies[0].choices[0].parts)


# ---- 59 -----------------------------------------------------------------------------------------

SOUND = {"messages": [{"role": "user", "content": [
    {"type": "text", "text": "listen"}, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
]}]}  # fmt: skip
WISHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "n": ({**asks("C"), "n": 2}, "n", "n"),
    "audio": (SOUND, "messages[0].content[1]", "input.audio"),
    "modalities": (
        {**asks("C"), "modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}},
        "modalities",
        "modalities",
    ),
}


@pytest.mark.parametrize(("body", "param", "feature"), list(WISHES.values()), ids=list(WISHES))
@pytest.mark.parametrize("back", "AS")
def test_case_59_what_changes_the_meaning_is_refused_with_the_clients_path(
    back: str, body: Any, param: str, feature: str
) -> None:
    """400, and ``param`` is where it stands in the client's own body; a deployment that allows it has it on the record."""
    with pytest.raises(Unsupported) as caught:
        asked("C", back, body, policy=LossPolicy())
    assert str(caught.value.param).startswith(param) and 400 == caught.value.status
    error = json.loads(DIALECTS["C"].write_error(caught.value))["error"]
    assert (caught.value.param, "invalid_request_error") == (error["param"], error["type"])

    allowed = asked("C", back, body, policy=LossPolicy({feature: "drop", feature.partition(".")[0]: "drop", "audio_out": "drop"}))
    assert feature in allowed.features


def test_case_59_logprobs_are_asked_of_responses_and_lost_on_anthropic() -> None:
    """One has a word for them, the other has none and it is on the record."""
    body = {**asks("C"), "logprobs": True, "top_logprobs": 3}
    there = asked("C", "S", body, model="gpt-4.1", policy=LossPolicy())
    nowhere = asked("C", "A", body, policy=LossPolicy())

    assert (3, ["message.output_text.logprobs"]) == (
        there.body["top_logprobs"],
        [one for one in there.body["include"] if "logprobs" in one],
    )
    assert not {"logprobs", "top_logprobs"} & there.features
    assert {"logprobs"} <= nowhere.features and "logprobs" not in json.dumps(nowhere.body)
    with pytest.raises(Unsupported, match="logprobs"):
        asked("C", "A", body, policy=LossPolicy({"logprobs": "reject"}))


@pytest.mark.parametrize("back", "AS")
def test_case_59_a_bias_is_lost_on_the_record(back: str) -> None:
    """Tokens are not portable."""
    one = asked("C", back, {**asks("C"), "logit_bias": {"50256": -100}}, policy=LossPolicy())
    assert "logit_bias" in one.features and b"50256" not in one.data
    with pytest.raises(Unsupported) as caught:
        asked("C", back, {**asks("C"), "logit_bias": {"50256": -100}}, policy=LossPolicy({"logit_bias": "reject"}))
    assert "logit_bias" == caught.value.param
