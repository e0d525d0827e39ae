"""Traps T57 to T73 of the design: streams, constancy, versions, state, bridging, compaction, the unknown, names, numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import SCHEMA, Assistant, Call, Result, User, asks, named_tools, system_of, told
from crossings import DIALECTS, MODELS, PAIRS, asked
from said import Said, candidate, chunk, data_frames, event_frames, frames_of, message, says
from sdk_oracles import heard

from llmgw.errors import ConversationNotFound, Unsupported
from llmgw.events import Error, fold
from llmgw.losses import LossPolicy
from llmgw.sse import Splitter, frames, parse
from llmgw.stages import Head
from llmgw_dialects.envelope import sealed
from llmgw_dialects.profiles import profile

STRICT = LossPolicy()
CUTS = (0, 1, 7, 64)

# ---- T57 to T59: streams ----------------------------------------------------------------------------


def test_t57_one_splitter_for_all() -> None:
    """Whatever ends its lines and wherever it is cut, a stream has the same frames."""
    stream = '\ufeffevent:a\r\ndata:1\r\n\r\n: c\n\ndata: {"x":\ndata: "\u2028é"}\n\ndata: last\n\n'.encode()
    expected = None
    for cut in (1000, 1, 2, 3, 7, 64):
        splitter = Splitter()
        pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
        got = [parse(one) for piece in pieces for one in frames(splitter.feed(piece))]
        expected = expected or got
        assert expected == got
    assert ["1", '{"x":\n"\u2028é"}', "last"] == [data.decode() for _, data in expected or [] if data is not None]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("back", "CSAG")
def test_t58_a_stream_without_its_end_is_an_error(back: str, cut: int) -> None:
    """The bytes stop, and no end has been said: that is never a whole reply, and what was used so far is not forgotten."""
    whole = says(back, Said("Hello there"), stream=True)
    ends = {
        "C": b'"finish_reason": "stop"',
        "S": b"event: response.completed",
        "A": b"event: message_delta",
        "G": b'"finishReason"',
    }
    data = whole[: whole.rfind(b"\n\n", 0, whole.index(ends[back])) + 2]
    reader = DIALECTS[back].reader(stream=True)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
    events = [*(event for piece in pieces for event in reader.feed(piece)), *reader.close()]

    assert isinstance(events[-1], Error) and "upstream_error" == events[-1].error.kind
    assert not any(isinstance(event, Error) for event in events[:-1])


def test_t58_a_vendor_that_says_done_without_a_reason_has_ended() -> None:
    """Some servers of Chat never give one."""
    stream = data_frames(chunk({"role": "assistant", "content": "Hello"})) + b"data: [DONE]\n\n"
    assert "Hello" == heard("A", asked("A", "C", asks("A"), stream=True).answered(stream), stream=True).text


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t59_what_must_not_change_in_a_stream_does_not(front: str, back: str, cut: int) -> None:
    """One id, one time, one model; Responses counts its events from nothing, and its items keep their ids."""
    one = asked(front, back, asks(front, tools=("f",), **reasons(front)), stream=True)
    reply = Said("Hello", thought="hm", calls=(("c1", "f", '{"a":1}'), ("c2", "f", '{"a":2}')))
    told = frames_of(one.answered(says(back, reply, stream=True), cut=cut))
    match front:
        case "C":
            assert 1 == len({(one["id"], one["created"], one["model"]) for one in told}) and told[0]["id"]
            roles = [choice["delta"]["role"] for one in told for choice in one["choices"] if "role" in choice["delta"]]
            assert ["assistant"] == roles
        case "S":
            assert list(range(len(told))) == [one["sequence_number"] for one in told]
            assert 1 == len({(one["response"]["id"], one["response"]["created_at"]) for one in told if "response" in one})
            added = {one["output_index"]: one["item"]["id"] for one in told if one["type"] == "response.output_item.added"}
            done = {one["output_index"]: one["item"]["id"] for one in told if one["type"] == "response.output_item.done"}
            final = [item["id"] for item in told[-1]["response"]["output"]]
            assert added == done == dict(enumerate(final)) and len(set(final)) == len(final)
            assert all(one["item_id"] == added[one["output_index"]] for one in told if "item_id" in one)
        case "A":
            assert 1 == sum(one["type"] == "message_start" for one in told) == sum(one["type"] == "message_stop" for one in told)
            starts = [one["index"] for one in told if one["type"] == "content_block_start"]
            assert list(range(len(starts))) == starts == [one["index"] for one in told if one["type"] == "content_block_stop"]
        case _:
            assert (
                1 == len({one["responseId"] for one in told}) == len({one["modelVersion"] for one in told})
                and told[0]["responseId"]
            )


def reasons(front: str) -> dict[str, Any]:
    """A wish for thoughts that are shown."""
    return {
        "C": {"reasoning_effort": "high"},
        "S": {"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
        "A": {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 9000},
        "G": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
    }[front]  # fmt: skip


# ---- T60 to T63: versions, state, phases, envelopes -------------------------------------------------


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", "2099-01-01"])
def test_t60_the_clients_version_goes_with_its_body(version: str) -> None:
    """Within the dialect both are the client's own."""
    body = {**asks("A"), "temperature": 0.5, "top_k": 3}
    one = asked("A", "A", body, model="m", headers={"anthropic-version": version})
    assert {"anthropic-version": version} == dict(one.back.forwarded(one.request.headers)) and (0.5, 3) == (
        one.body["temperature"],
        one.body["top_k"],
    )


@pytest.mark.parametrize(("model", "kept"), [("claude-3-5-haiku", True), ("claude-opus-5", False)])
def test_t60_what_a_new_model_refuses_of_sampling_is_left_out(model: str, kept: bool) -> None:
    """On the record; an older one gets it."""
    one = asked("C", "A", {**asks("C"), "temperature": 0.5}, model=model)
    assert (0.5 if kept else None) == one.body.get("temperature") and ("temperature" in one.features) != kept


STATES: list[tuple[str, dict[str, Any], str]] = [
    ("S", {"previous_response_id": "resp_1"}, "previous_response_id"), ("S", {"conversation": "conv_1"}, "conversation"),
    ("S", {"background": True}, "background"), ("S", {"prompt": {"id": "pmpt_1"}}, "prompt"),
    ("S", {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    ("G", {"cachedContent": "cachedContents/x"}, "cachedContent"), ("A", {"container": "container_1"}, "container"),
]  # fmt: skip


@pytest.mark.parametrize(("front", "state", "param"), STATES, ids=[param for _, _, param in STATES])
@pytest.mark.parametrize("back", "CSAG")
def test_t61_what_only_one_provider_keeps_is_refused_by_its_name(
    front: str, back: str, state: dict[str, Any], param: str
) -> None:
    """400 with the client's own path, 404 for an unknown response of ours; the provider who keeps it gets it as it is."""
    body = {**asks(front), **state}
    if front == back:
        assert all(value == asked(front, back, body, model="m").body[key] for key, value in state.items())
        return
    with pytest.raises(ConversationNotFound if param == "previous_response_id" else Unsupported) as caught:
        asked(front, back, body, policy=STRICT)
    assert param == caught.value.param


@pytest.mark.parametrize("back", "CAG")
def test_t61_a_wish_to_keep_the_answer_does_not_cross(back: str) -> None:
    """``store`` is true by default and means nothing elsewhere: no reason to refuse."""
    for wish in ({}, {"store": True}, {"store": False}):
        assert b'"store":true' not in asked("S", back, {**asks("S"), **wish}, policy=STRICT).data.replace(b" ", b"")


@pytest.mark.parametrize("front", "CAG")
def test_t61_nothing_is_kept_unasked(front: str) -> None:
    """Responses would keep every answer."""
    assert asked(front, "S", asks(front)).body["store"] is False


def test_t62_a_phase_stays_within_its_dialect_and_is_unknown_elsewhere() -> None:
    """Dropping it there makes the model worse; elsewhere there is no word for it."""
    said = {
        "type": "message",
        "role": "assistant",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
    }
    body = asks("S", User(), said, User("go on"))
    assert "commentary" == asked("S", "S", body, model="m").body["input"][1]["phase"]
    changed = DIALECTS["S"].read_request(Head(), json.dumps({"model": "m", **body}).encode())
    again = json.loads(DIALECTS["S"].write_request(changed.with_prompt(metadata={"a": "b"})))
    assert "commentary" == again["input"][1]["phase"]
    for back in "CAG":
        assert b"commentary" not in asked("S", back, body).data


def test_t63_errors_of_code_assist_come_in_a_list() -> None:
    """What holds before that dialect is built: its models are known, and its errors are understood."""
    body = [{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}}]  # fmt: skip
    error = DIALECTS["G"].read_error(429, {}, json.dumps(body).encode())
    assert ("rate_limited", 7.0) == (error.kind, error.retry_after)
    assert profile("google.codeassist", "gemini-3-pro") == profile("google.gemini", "gemini-3-pro")


# ---- T64 to T67: bridging, compaction, the unknown ---------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(("front", "back"), PAIRS + [(one, one) for one in DIALECTS])
def test_t64_a_reply_comes_in_the_form_that_was_asked_for(front: str, back: str, wanted: bool) -> None:
    """Some providers only stream, some clients only take bodies: the same events make both."""
    counting = {"stream_options": {"include_usage": True}} if front == "C" and wanted else {}
    one = asked(front, back, asks(front, tools=("f",), **counting), stream=wanted)
    reply = Said("Hello", calls=(("c1", "f", '{"a": 1}'),))
    got = heard(front, one.answered(says(back, reply, stream=not wanted), stream=not wanted), stream=wanted)
    assert ("Hello", [("f", {"a": 1})], 11, 7) == (got.text, got.calls, got.input, got.output)


@pytest.mark.parametrize("back", "CAG")
def test_t66_a_vendors_compaction_stays_at_home_and_ours_is_opened(back: str) -> None:
    """Another vendor's is refused by its place, our own summary is told by the user."""
    from llmgw.model import Carrier

    theirs = asks("S", {"type": "compaction", "encrypted_content": "gAAAAsecret"}, User("go on"))
    with pytest.raises(Unsupported) as caught:
        asked("S", back, theirs, policy=STRICT)
    assert "input[0]" == caught.value.param

    ours = sealed(Carrier("llmgw", "compaction", "We spoke of cats."), "")
    one = asked("S", back, asks("S", {"type": "compaction", "encrypted_content": ours}, User("go on")), policy=STRICT)
    assert b"We spoke of cats." in one.data and "compaction" in one.features


@pytest.mark.parametrize("front", "SA")
def test_t67_what_nobody_knows_passes_within_its_dialect(front: str) -> None:
    """Items, blocks, tools and fields of a later day."""
    later = {"type": "hologram_2029", "id": "h1", "depth": 1.0}
    turn = later if front == "S" else {"role": "user", "content": [later]}
    body = {**asks(front, turn, User("go on")), "tools": [{"type": "warp_2029", "speed": 9}], "novel": {"a": [1.50]}}
    one = asked(front, front, body, model="m")
    stream = {"stream": False}
    assert {**json.loads(json.dumps(body)), "model": "m"} == {key: value for key, value in one.body.items() if key not in stream}
    assert b"1.5" in one.data and b"1.0" in one.data


@pytest.mark.parametrize(("front", "back"), [("S", "A"), ("S", "C"), ("S", "G"), ("A", "S"), ("A", "C"), ("A", "G")])
def test_t67_what_nobody_knows_does_not_cross(front: str, back: str) -> None:
    """It is left out on the record, a call of an unknown kind with its result; what stands around it stays."""
    if front == "S":
        unknown = [
            {"type": "warp_call", "call_id": "w1", "speed": 9},
            {"type": "warp_call_output", "call_id": "w1", "output": "fast"},
        ]
        body = asks("S", User("hello"), *unknown, User("go on"))
    else:
        blocks = [{"type": "warp_use", "id": "w1", "speed": 9}, {"type": "text", "text": "well"}]
        body = asks("A", User("hello"), {"role": "assistant", "content": blocks}, User("go on"))
    one = asked(front, back, body, policy=STRICT)
    assert b"warp" not in one.data and b"w1" not in one.data and b"hello" in one.data and b"go on" in one.data
    assert any("warp" in feature for feature in one.features)


@pytest.mark.parametrize("back", "SA")
@pytest.mark.parametrize("front", "CSAG")
def test_t67_events_that_nobody_knows_pass_or_are_left_out(front: str, back: str) -> None:
    """A client of the same dialect gets them as they came, others get the reply without them."""
    plain = says(back, Said("Hello"), stream=True)
    odd = event_frames(
        {"type": "response.hologram.delta" if back == "S" else "hologram_delta", "sequence_number": 2, "depth": 1.0}
    )
    at = plain.index(b"event: response.output_item.added" if back == "S" else b"event: content_block_start")
    data = asked(front, back, asks(front), stream=True).answered(plain[:at] + odd + plain[at:])
    assert (front == back) == (odd in data)
    assert "Hello" == heard(front, data, stream=True).text if front != back else b"hologram" in data


# ---- T68 to T73 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["a:b", "models/x", "vendor/name:free", "gemini-3-pro"])
def test_t68_a_model_in_a_path_is_all_that_stands_before_the_method(model: str) -> None:
    """Slashes and colons are part of its name."""
    head = Head("POST", f"/v1beta/models/{model}:streamGenerateContent", {"model": model}, {"alt": "sse"})
    request = DIALECTS["G"].read_request(head, json.dumps(asks("G")).encode())
    assert (model.removeprefix("models/"), True) == (request.model.removeprefix("models/"), request.stream)


@pytest.mark.parametrize("front", "CSAG")
def test_t68_the_target_is_told_its_own_name_of_the_model(front: str) -> None:
    """Not the client's, which may be an alias."""
    for back in DIALECTS:
        body = asked(front, back, asks(front)).body
        assert MODELS[back] == body.get("model", MODELS[back])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", "CSAG")
def test_t69_thoughts_are_shown_once_and_tags_in_a_text_stay_text(back: str, stream: bool) -> None:
    """Both spellings at once would show them twice; ``<think>`` in a text is taken out by a filter, if by anybody."""
    front = "C" if back != "C" else "A"
    one = asked(front, back, asks(front, **reasons(front)), stream=stream)
    data = one.answered(says(back, Said("<think>x</think>Hello", thought="pondering"), stream=stream))
    got = heard(front, data, stream=stream)
    assert ("<think>x</think>Hello", "pondering") == (got.text, got.thought)
    assert b'"reasoning":' not in data


HUGE = '{"b":18446744073709551617,"a":1e400,"z":1.0,"c":-0.0,"s":"\\u00e9\\ud83d\\ude42"}'


@pytest.mark.parametrize(("front", "back"), [("C", "A"), ("S", "A"), ("C", "G"), ("S", "G")])
def test_t70_numbers_and_their_order_survive_in_objects(front: str, back: str) -> None:
    """A history's arguments keep the spelling of their numbers and the order of their keys."""
    data = asked(front, back, asks(front, User(), Assistant("", (Call("c1", "f", HUGE),)), Result("c1"), tools=("f",))).data
    text = data.replace(b" ", b"")
    assert [text.index(key) for key in (b'"b":18446744073709551617', b'"a":1e400', b'"z":1.0', b'"c":-0.0')] == sorted(
        text.index(key) for key in (b'"b":18446744073709551617', b'"a":1e400', b'"z":1.0', b'"c":-0.0')
    )


@pytest.mark.parametrize(("front", "back"), [("A", "C"), ("A", "S"), ("G", "C"), ("G", "S")])
def test_t70_numbers_and_their_order_survive_in_texts(front: str, back: str) -> None:
    """The other way round: objects of a history become texts, to the digit."""
    marked = asks(front, User(), Assistant("", (Call("c1", "f", '{"b":"HUGE","z":1}'),)), Result("c1"), tools=("f",))
    written = json.dumps({"model": "m", **marked}).replace('"HUGE"', "18446744073709551617").encode()
    head = Head("POST", "/v1beta/models/m:generateContent", {"model": "m"})
    request = DIALECTS[front].read_request(head, written).with_model(MODELS[back])
    way = DIALECTS[back].crossing(request, DIALECTS[back].profile(request.model), [])
    assert way is not None
    arguments = told(back, json.loads(DIALECTS[back].write_request(way.request()))).calls[0][2]
    assert [("b", 18446744073709551617), ("z", 1)] == list(arguments.items())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in PAIRS if front in "CS"])
def test_t70_numbers_of_a_providers_call_survive_in_text(front: str, back: str, stream: bool) -> None:
    """A model's 64-bit id is not rounded on its way to the client, streamed or whole."""
    arguments = '{"b":18446744073709551617,"z":1.0,"a":[1,2.50]}'
    one = asked(front, back, asks(front, tools=("f",)), stream=stream)
    provider = says(back, Said(calls=(("c1", "f", arguments),)), stream=stream)
    native = heard(front, one.answered(provider), stream=stream).native
    calls = (
        native.choices[0].message.tool_calls if front == "C" else [item for item in native.output if item.type == "function_call"]
    )
    text = calls[0].function.arguments if front == "C" else calls[0].arguments
    kept = text.replace(" ", "")
    assert "18446744073709551617" in kept and '"z":1.0' in kept
    assert kept.index('"b"') < kept.index('"z"') < kept.index('"a"')


@pytest.mark.parametrize(("back", "model"), [("A", "claude-sonnet-4-5"), ("G", "gemini-2.5-flash")])
def test_t71_words_of_the_gateways_stand_at_the_end(back: str, model: str) -> None:
    """Never among the instructions, which would cost the provider's cache with every request."""
    turns = (User("hello"), Assistant("hi"), User("give me JSON"))
    wish = {"response_format": {"type": "json_object"}}
    with_it = asked("C", back, asks("C", *turns, system="rules", tools=("f",), **wish), model=model).body
    without = asked("C", back, asks("C", *turns, system="rules", tools=("f",)), model=model).body
    key = "contents" if back == "G" else "messages"

    assert system_of(back, without) == system_of(back, with_it) and without[key][:-1] == with_it[key][:-1]
    assert without[key][-1] != with_it[key][-1] and len(without[key]) == len(with_it[key])


@pytest.mark.parametrize("back", "SAG")
def test_t72_the_functions_of_old_are_tools(back: str) -> None:
    """``functions``, ``function_call``, role ``function``, ``max_tokens``: read as what came after them."""
    body = {
        "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}], "function_call": {"name": "f"},
        "max_tokens": 77,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
            {"role": "function", "name": "f", "content": "ok"},
        ],
    }  # fmt: skip
    first, second = asked("C", back, body), asked("C", back, body)
    found = told(back, first.body)
    assert ["f"] == named_tools(back, first.body) and first.data == second.data
    assert ([{"a": 1}], ["ok"]) == ([args for _, _, args in found.calls], [text for _, text in found.results])
    assert found.calls[0][0] == found.results[0][0] and "77" in json.dumps(first.body)
    assert '"f"' in json.dumps(first.body.get("tool_choice") or first.body.get("toolConfig"))


@pytest.mark.parametrize("back", "CSA")
def test_t72_geminis_old_spellings_are_its_new_ones(back: str) -> None:
    """snake_case at every level, and results in a role of their own."""
    new = asks(
        "G",
        User(),
        Assistant("", (Call("", "f"),)),
        Result("", "ok"),
        system="rules",
        tools=("f",),
        generationConfig={"maxOutputTokens": 99},
    )
    old = {
        "system_instruction": new["systemInstruction"], "generation_config": {"max_output_tokens": 99},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": SCHEMA}]}],
        "contents": [
            new["contents"][0], {"role": "model", "parts": [{"function_call": {"name": "f", "args": {"a": 1}}}]},
            {"role": "function", "parts": [{"function_response": {"name": "f", "response": {"output": "ok"}}}]},
        ],
    }  # fmt: skip
    assert asked("G", back, new).body == asked("G", back, old).body


@pytest.mark.parametrize("front", "SAG")
def test_t73_more_tools_than_a_model_takes_are_refused_by_number(front: str) -> None:
    """The count and the limit are named, and none is cut off in silence; as many as it takes pass."""
    names = tuple(f"tool_{at}" for at in range(129))
    with pytest.raises(Unsupported, match=r"129.*128") as caught:
        asked(front, "C", asks(front, tools=names))
    assert "tools" in str(caught.value.param)
    assert list(names[:128]) == named_tools("C", asked(front, "C", asks(front, tools=names[:128])).body)


def test_t73_others_take_more() -> None:
    """The limit is the model's, not the gateway's."""
    names = tuple(f"tool_{at}" for at in range(300))
    assert list(names) == named_tools("A", asked("C", "A", asks("C", tools=names)).body)


def test_means_of_these_tests() -> None:
    """A body folds, a message and a candidate are what they are called."""
    reader = DIALECTS["A"].reader(stream=False)
    body = json.dumps(message([{"type": "text", "text": "x"}], "end_turn", {"input_tokens": 1, "output_tokens": 1})).encode()
    assert fold([*reader.feed(body), *reader.close()]).choices and candidate([])["candidates"]
