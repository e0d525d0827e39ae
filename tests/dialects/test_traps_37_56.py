"""Traps T37 to T56 of the design: media that nobody takes, errors, limits, citations, the vendors' own tools, marks, who asks."""

from __future__ import annotations

import itertools
import json
from typing import Any

import openai
import pytest
from asking import SCHEMA, Assistant, Call, Result, User, asks, limit_of, named_tools, system_of, told
from crossings import DIALECTS, PAIRS, asked
from said import Said, candidate, chunk, data_frames, event_frames, frames_of, message, says
from sdk_oracles import answering, heard, sdk

from llmgw.errors import GatewayError, Kind, Unsupported, UpstreamBroken, UpstreamError
from llmgw.losses import LossPolicy
from llmgw.tokens import estimated

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
STRICT = LossPolicy()
"""What a deployment has that says nothing of losses."""

# ---- T37 to T40: what not everybody has -------------------------------------------------------------


@pytest.mark.parametrize("back", "CSA")
def test_t37_film_is_refused_where_nobody_can_see_it(back: str) -> None:
    """With the client's own path; what is let go by the deployment is on the record."""
    film = {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]}
    with pytest.raises(Unsupported) as caught:
        asked("G", back, {"contents": [film]}, policy=STRICT)
    assert str(caught.value.param).startswith("contents[0].parts[1]")
    assert "input.video" in asked("G", back, {"contents": [film]}).features


def test_t37_sound_goes_where_it_can_be_heard() -> None:
    """Chat and Gemini take it from each other."""
    sound = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRgAA", "format": "wav"}}]}
    there = asked("C", "G", {"messages": [sound]}, policy=STRICT).body["contents"][0]["parts"][0]
    assert {"mimeType": "audio/wav", "data": "UklGRgAA"} == there["inlineData"]

    heard_back = {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": "UklGRgAA"}}]}]}
    assert sound["content"] == asked("G", "C", heard_back, policy=STRICT).body["messages"][0]["content"]


@pytest.mark.parametrize(("back", "expected"), [("C", False), ("G", False), ("S", True)])
def test_t38_calls_that_wait_at_the_end_are_no_prefill(back: str, expected: bool) -> None:
    """Only Responses may end in calls; for others they are taken out, on the record, with no result made up."""
    one = asked("A", back, asks("A", User(), Assistant("I look.", (Call("t1"),)), tools=("f",)))
    found = told(back, one.body)

    assert (1 if expected else 0, 0) == (len(found.calls), len(found.results))
    assert expected or "tool_call" in one.features
    assert "I look." in json.dumps(one.body)


def test_t38_white_space_at_the_end_of_a_prefill_is_taken_off_for_anthropic() -> None:
    """Which refuses it."""
    body = asked("C", "A", asks("C", User(), Assistant("One, \n")), model="claude-3-5-haiku").body
    assert "One," == body["messages"][-1]["content"] or "One," == body["messages"][-1]["content"][0]["text"]


def test_t39_several_answers_go_where_there_are_several() -> None:
    """``n`` and ``candidateCount`` are one thing; elsewhere more than one answer is refused."""
    assert 3 == asked("C", "G", {**asks("C"), "n": 3}, policy=STRICT).body["generationConfig"]["candidateCount"]
    assert 3 == asked("G", "C", {**asks("G"), "generationConfig": {"candidateCount": 3}}, policy=STRICT).body["n"]
    for front, wish in (("C", {"n": 2}), ("G", {"generationConfig": {"candidateCount": 2}})):
        for back in "AS":
            with pytest.raises(Unsupported) as caught:
                asked(front, back, {**asks(front), **wish}, policy=STRICT)
            assert ("n" if front == "C" else "generationConfig.candidateCount") == caught.value.param
    assert "n" not in asked("C", "A", {**asks("C"), "n": 1}, policy=STRICT).features


def test_t40_logprobs_of_gemini_in_chats_words() -> None:
    """Token, logprob and the bytes of the token, for each what else might have stood there."""
    chosen = [{"token": "Hé", "tokenId": 1, "logProbability": -0.5}]
    tops = [{"candidates": [*chosen, {"token": "x", "tokenId": 2, "logProbability": -2.0}]}]
    body = candidate([{"text": "Hé"}], "STOP")
    body["candidates"][0]["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": tops}
    one = asked("C", "G", {**asks("C"), "logprobs": True, "top_logprobs": 2})
    assert (True, 2) == (one.body["generationConfig"]["responseLogprobs"], one.body["generationConfig"]["logprobs"])
    choice = heard("C", one.answered(json.dumps(body).encode()), stream=False).native.choices[0]
    entry = choice.logprobs.content[0]

    assert ("Hé", -0.5, list("Hé".encode())) == (entry.token, entry.logprob, entry.bytes)
    assert [("Hé", -0.5), ("x", -2.0)] == [(top.token, top.logprob) for top in entry.top_logprobs]


# ---- T41: errors in the middle ------------------------------------------------------------------

FAILS: dict[str, bytes] = {
    "C": data_frames({"error": {"message": "boom", "type": "server_error", "code": None}}),
    "S": event_frames({"type": "response.failed", "sequence_number": 9, "response": {
        "id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-5.2", "status": "failed", "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "error": {"code": "server_error", "message": "boom"}}}),
    "A": event_frames({"type": "error", "error": {"type": "api_error", "message": "boom"}}),
    "G": data_frames({"error": {"code": 500, "message": "boom", "status": "INTERNAL"}}),
}  # fmt: skip
LAST = {
    "C": b'"finish_reason": "stop"',
    "S": b"event: response.output_text.done",
    "A": b"event: content_block_stop",
    "G": b'"finishReason"',
}


def begun(back: str) -> bytes:
    """A stream that has said something and not ended."""
    whole = says(back, Said("Hello there"), stream=True)
    at = whole.index(LAST[back])
    return whole[: max(whole.rfind(b"\n\n", 0, at) + 2, 0)]


@pytest.mark.parametrize("cut", [0, 1, 7, 64])
@pytest.mark.parametrize("way", ["says so", "breaks off", "breaks off in a frame"])
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t41_a_failure_in_the_middle_never_looks_like_success(front: str, back: str, way: str, cut: int) -> None:
    """The client hears of it in its own terms, without the frames that mean success, and its SDK raises."""
    rest = {"says so": FAILS[back], "breaks off": b"", "breaks off in a frame": FAILS[back][:20]}[way]
    one = asked(front, back, asks(front), stream=True)
    data = one.answered(begun(back) + rest, cut=cut)
    frames = frames_of(data)

    assert b"Hell" in data
    match front:
        case "C":
            assert b"[DONE]" not in data and list(frames[-1]) == ["error"]
            assert not any(choice["finish_reason"] for frame in frames[:-1] for choice in frame["choices"])
        case "S":
            failed = frames[-1]["response"]
            assert ("response.failed", "failed") == (frames[-1]["type"], failed["status"])
            assert failed["error"]["code"] and failed["error"]["message"] and failed["id"] == frames[0]["response"]["id"]
            assert b"response.completed" not in data
        case "A":
            assert "error" == frames[-1]["type"] and frames[-1]["error"]["type"] and b"message_stop" not in data
        case _:
            assert "error" == next(iter(frames[-1])) and 400 <= frames[-1]["error"]["code"] <= 599 and b"finishReason" not in data
    if way == "says so":
        assert "boom" in json.dumps(frames[-1])
    if front != "S":  # whose SDK hands the failed response out
        with pytest.raises(Exception, match=r".") as caught:
            heard(front, data, stream=True)
        assert "Error" in type(caught.value).__name__


@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t41_an_error_that_comes_first_is_no_reply(front: str, back: str) -> None:
    """Nothing has been said yet: the error is the answer."""
    one = asked(front, back, asks(front), stream=True)
    body = json.loads(one.answered(FAILS[back]))
    assert "boom" in json.dumps(body["error"])


# ---- T42: errors --------------------------------------------------------------------------------

TABLE: dict[Kind, tuple[tuple[int, str, str | None], tuple[int, str], tuple[int, str]]] = {
    "invalid_request": ((400, "invalid_request_error", None), (400, "invalid_request_error"), (400, "INVALID_ARGUMENT")),
    # OpenAI's own are of this type, whatever the design's table says
    "authentication": (
        (401, "invalid_request_error", "invalid_api_key"),
        (401, "authentication_error"),
        (401, "UNAUTHENTICATED"),
    ),
    "billing": ((429, "insufficient_quota", "insufficient_quota"), (402, "billing_error"), (429, "RESOURCE_EXHAUSTED")),
    "permission": ((403, "invalid_request_error", "permission_denied"), (403, "permission_error"), (403, "PERMISSION_DENIED")),
    "model_not_found": ((404, "invalid_request_error", "model_not_found"), (404, "not_found_error"), (404, "NOT_FOUND")),
    "conflict": ((409, "invalid_request_error", "conflict"), (409, "conflict_error"), (409, "ABORTED")),
    "request_too_large": (
        (413, "invalid_request_error", "request_too_large"),
        (413, "request_too_large"),
        (413, "INVALID_ARGUMENT"),
    ),
    "rate_limited": ((429, "rate_limit_error", "rate_limit_exceeded"), (429, "rate_limit_error"), (429, "RESOURCE_EXHAUSTED")),
    "overloaded": ((503, "server_error", "server_is_overloaded"), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    "timeout": ((504, "server_error", "timeout"), (504, "timeout_error"), (504, "DEADLINE_EXCEEDED")),
    "context_length": (
        (400, "invalid_request_error", "context_length_exceeded"),
        (400, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ),
    "content_policy": (
        (400, "invalid_request_error", "content_policy_violation"),
        (400, "invalid_request_error"),
        (400, "FAILED_PRECONDITION"),
    ),
}


def failed(kind: Kind, status: int) -> GatewayError:
    """What a provider of no dialect of ours has answered."""
    error = UpstreamError("it is so", kind=kind)
    error.status = status
    return error


@pytest.mark.parametrize("kind", list(TABLE))
@pytest.mark.parametrize("front", "CSAG")
def test_t42_each_kind_has_its_status_and_its_words(front: str, kind: Kind) -> None:
    """Clients branch on them."""
    chat, messages, gemini = TABLE[kind]
    error = failed(kind, chat[0])
    body, status = json.loads(DIALECTS[front].write_error(error))["error"], DIALECTS[front].error_status(error)
    match front:
        case "A":
            assert messages == (status, body["type"])
        case "G":
            assert gemini == (body["code"], body["status"]) and status == body["code"]
        case _:
            assert chat == (status, body["type"], body["code"])


@pytest.mark.parametrize("front", "CSAG")
def test_t42_a_provider_that_broke_is_the_providers_fault(front: str) -> None:
    """Of the fifth hundred, whatever the dialect calls it."""
    error = UpstreamBroken("it broke")
    body, status = json.loads(DIALECTS[front].write_error(error))["error"], DIALECTS[front].error_status(error)
    assert {"C": (502, "server_error"), "S": (502, "server_error"), "A": (502, "api_error"), "G": (500, "INTERNAL")}[front] == (
        status, body["status" if front == "G" else "type"],
    )  # fmt: skip


# ---- T43 to T45: ids, limits, retries ---------------------------------------------------------------


def test_t43_each_dialect_has_its_headers_for_request_ids() -> None:
    """Where the SDK looks for what to tell support."""
    assert "x-request-id" in DIALECTS["C"].request_ids and "x-request-id" in DIALECTS["S"].request_ids
    assert "request-id" in DIALECTS["A"].request_ids
    for front in "CSA":
        assert DIALECTS[front].passes(DIALECTS[front].request_ids[0])


def test_t44_limits_cross_with_their_times_and_nothing_made_up() -> None:
    """Anthropic's moments become OpenAI's durations and back; what was not said is not said."""
    now = 1_700_000_000.0
    told_by_a = {
        "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2023-11-14T22:14:20Z", "anthropic-ratelimit-tokens-remaining": "1000",
    }  # fmt: skip
    limits = DIALECTS["A"].read_limits(told_by_a, now)
    assert {
        "x-ratelimit-limit-requests": "50", "x-ratelimit-remaining-requests": "49", "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-remaining-tokens": "1000",
    } == DIALECTS["C"].write_limits(limits, now) == DIALECTS["S"].write_limits(limits, now)  # fmt: skip
    back = DIALECTS["C"].read_limits(DIALECTS["C"].write_limits(limits, now), now)
    assert told_by_a == DIALECTS["A"].write_limits(back, now)
    assert {} == DIALECTS["G"].write_limits(limits, now)


@pytest.mark.parametrize("front", "CSAG")
def test_t45_when_to_ask_again_is_told_where_the_client_looks(front: str) -> None:
    """In a header that the application sends; Codex reads it in the words, Gemini's CLI in RetryInfo."""
    error = UpstreamError("slow down", kind="rate_limited", retry_after=7.0)
    error.status = 429
    body = json.loads(DIALECTS[front].write_error(error))["error"]
    if front in "CS":
        assert "try again in 7s" in body["message"]
    if front == "G":
        infos = [one for one in body["details"] if one["@type"].endswith("RetryInfo")]
        assert ["7s"] == [one["retryDelay"] for one in infos]


# ---- T46 and T47: citations and the vendors' own tools --------------------------------------------------


@pytest.mark.parametrize("front", "CS")
def test_t46_offsets_are_counted_in_the_clients_units(front: str) -> None:
    """Gemini counts bytes of UTF-8, OpenAI code points: the words cited are the same."""
    text = "日本語🙂 says so. And more."
    start, end = text.index("says"), text.index(".")
    support = {
        "segment": {"startIndex": len(text[:start].encode()), "endIndex": len(text[:end].encode()), "text": text[start:end]},
        "groundingChunkIndices": [0],
    }
    body = candidate([{"text": text}], "STOP")
    body["candidates"][0]["groundingMetadata"] = {
        "groundingChunks": [{"web": {"uri": "https://x.example", "title": "X"}}], "groundingSupports": [support],
    }  # fmt: skip
    native = heard(front, asked(front, "G", asks(front)).answered(json.dumps(body).encode()), stream=False).native
    if front == "C":
        one = native.choices[0].message.annotations[0].url_citation
    else:
        one = next(item for item in native.output if item.type == "message").content[0].annotations[0]
    assert ("https://x.example", "X", "says so") == (one.url, one.title, text[one.start_index : one.end_index])


SEARCH: dict[str, dict[str, Any]] = {
    "S": {"tools": [{"type": "web_search"}]}, "A": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "G": {"tools": [{"googleSearch": {}}]}, "C": {"web_search_options": {}},
}  # fmt: skip


@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in PAIRS if back != "C"])
def test_t47_web_search_is_asked_of_a_provider_that_has_it(front: str, back: str) -> None:
    """As its own tool, never as a function that nobody runs."""
    one = asked(front, back, {**asks(front), **SEARCH[front]})
    tools = json.dumps(one.body["tools"])
    assert {"S": '"web_search"', "A": '"web_search_', "G": '"googleSearch"'}[back] in tools
    assert "function" not in tools and "input_schema" not in tools


@pytest.mark.parametrize("front", "SAG")
def test_t47_where_there_is_none_it_is_lost_on_the_record_or_refused_if_it_must_be(front: str) -> None:
    """An unused tool of the vendor's is no reason to fail; one that must be called is."""
    one = asked(front, "C", {**asks(front), **SEARCH[front]}, policy=STRICT)
    assert "tools" not in one.body and "tools.web_search" in one.features
    if front == "G":
        return
    force = {"S": {"tool_choice": {"type": "web_search"}}, "A": {"tool_choice": {"type": "tool", "name": "web_search"}}}[front]
    with pytest.raises(Unsupported) as caught:
        asked(front, "C", {**asks(front), **SEARCH[front], **force}, policy=STRICT)
    assert "tool_choice" == caught.value.param


@pytest.mark.parametrize("back", "CSG")
def test_t47_results_of_a_vendors_search_stay_at_home(back: str) -> None:
    """Encrypted results in a history mean nothing to others; the words around them stay."""
    used = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    gave = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
        {"type": "web_search_result", "url": "https://x", "title": "t", "encrypted_content": "SECRET"},
    ]}  # fmt: skip
    turn = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Looking."}, used, gave, {"type": "text", "text": "Found."}],
    }
    one = asked("A", back, asks("A", User(), turn, User("go on")))
    assert b"SECRET" not in one.data and b"srvtoolu" not in one.data and b"Looking." in one.data and b"Found." in one.data
    assert any(feature.startswith("server_tool") for feature in one.features)


# ---- T48: replies that break off ------------------------------------------------------------------


def test_t48_a_pause_passes_within_the_dialect() -> None:
    """Anthropic's own client knows what to do."""
    body = json.dumps(
        message([{"type": "text", "text": "so far"}], "pause_turn", {"input_tokens": 1, "output_tokens": 1})
    ).encode()
    one = asked("A", "A", asks("A"), model="m")
    assert body == one.answered(body)


@pytest.mark.parametrize("front", "CSG")
def test_t48_a_pause_is_not_the_end_for_others(front: str) -> None:
    """The way back holds the end, and knows what to ask next: the conversation with what was said."""
    one = asked(front, "A", {**asks(front), **SEARCH[front]})
    assert one.way is not None
    body = json.dumps(
        message([{"type": "text", "text": "so far"}], "pause_turn", {"input_tokens": 1, "output_tokens": 1})
    ).encode()
    reader = one.back.reader(stream=False)
    events = [made for event in [*reader.feed(body), *reader.close()] for made in one.way.back(event)]
    further = one.way.further()

    assert not any(type(event).__name__ in ("Stop", "ResponseEnd", "Error") for event in events)
    assert further is not None
    again = json.loads(one.back.write_request(further))
    assert one.body["messages"] == again["messages"][:-1] and "so far" in json.dumps(again["messages"][-1])
    assert "assistant" == again["messages"][-1]["role"]


# ---- T49 and T50: computers and MCP ---------------------------------------------------------------


@pytest.mark.parametrize(("front", "back"), [("S", "A"), ("A", "S"), ("S", "C"), ("A", "C"), ("A", "G"), ("S", "G"), ("G", "A")])
def test_t49_a_computer_is_a_function_of_the_clients_or_nothing(front: str, back: str) -> None:
    """What its own client runs is offered as a function with the arguments that it knows; else it is left out, on the record."""
    tool = {
        "S": {"type": "computer_use_preview", "display_width": 800, "display_height": 600, "environment": "linux"},
        "A": {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600},
        "G": {"computerUse": {"environment": "ENVIRONMENT_BROWSER"}},
    }[front]
    one = asked(front, back, {**asks(front), "tools": [tool]})
    assert ["computer"] * (front != "G") == named_tools(back, one.body)
    assert {"emulated" if front != "G" else "dropped"} == {loss.action for loss in one.losses if loss.feature == "tools.computer"}
    assert b"computer_20250124" not in one.data and b"computer_use" not in one.data and b"computerUse" not in one.data


@pytest.mark.parametrize(("front", "back"), [("S", "A"), ("S", "C"), ("S", "G"), ("A", "S"), ("A", "C"), ("A", "G")])
def test_t50_a_server_of_tools_is_refused_across_vendors(front: str, back: str) -> None:
    """That a vendor connects somewhere is not ours to decide; its secret is in no message."""
    body = {
        "S": {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x.example", "authorization": "SECRET"}]},
        "A": {"mcp_servers": [{"type": "url", "name": "x", "url": "https://x.example", "authorization_token": "SECRET"}]},
    }[front]
    with pytest.raises(Unsupported) as caught:
        asked(front, back, {**asks(front), **body}, policy=STRICT)
    assert "SECRET" not in str(caught.value)
    allowed = asked(front, back, {**asks(front), **body})
    assert b"SECRET" not in allowed.data and b"x.example" not in allowed.data and "tools.mcp" in allowed.features
    assert all("SECRET" not in f"{loss}" for loss in allowed.losses)


# ---- T51 and T52: caches --------------------------------------------------------------------------


def test_t51_a_mark_on_what_is_taken_out_moves_to_what_stands_before_it() -> None:
    """An empty text may have no mark, nor may a thought."""
    mark = {"type": "ephemeral"}
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": " ", "cache_control": mark}]
    body = asked("C", "A", {"messages": [{"role": "user", "content": parts}]}).body
    assert [{"type": "text", "text": "hello", "cache_control": mark}] == body["messages"][0]["content"]


@pytest.mark.parametrize("back", "CSG")
def test_t51_marks_are_unknown_to_models_without_them(back: str) -> None:
    """A field that a vendor does not know is a 400."""
    marked = {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}
    one = asked("A", back, asks("A", {"role": "user", "content": [marked]}), model={"S": "gpt-4.1"}.get(back, ""))
    assert b"cache" not in one.data and "cache.mark" in one.features


def test_t52_only_the_whole_block_with_the_very_prefix_is_taken_out() -> None:
    """Words that only look like it, or stand elsewhere, are the person's own."""
    words = "About x-anthropic-billing-header: what is it?"
    body = asked(
        "A", "S", asks("A", User("x-anthropic-billing-header: cc_version=1"), system=[{"type": "text", "text": words}])
    ).body
    assert words in system_of("S", body) and "x-anthropic-billing-header: cc_version=1" in json.dumps(body["input"])


# ---- T53 to T56 -----------------------------------------------------------------------------------


def test_t53_an_estimate_counts_all_kinds_of_blocks() -> None:
    """Each of them makes it more; too few would keep an agent from shortening its conversation."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    grown: list[dict[str, Any]] = [asks("A", User("hello"))]
    grown.append(asks("A", User("hello"), tools=("f",)))
    grown.append(
        asks("A", User("hello"), Assistant("well " * 50, (Call("t1", "f", json.dumps({"a": "x y " * 50})),)), tools=("f",))
    )
    grown.append(asks("A", User("hello"), Assistant("well " * 50, (Call("t1", "f", json.dumps({"a": "x y " * 50})),)),
                      Result("t1", "a result " * 50), tools=("f",)))  # fmt: skip
    thinking = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm hm " * 50, "signature": "c2ln"}, {"type": "text", "text": "so"}],
    }
    grown.append({**grown[-1], "messages": [*grown[-1]["messages"], thinking]})
    grown.append({**grown[-1], "messages": [*grown[-1]["messages"], {"role": "user", "content": [image]}]})
    counts = [estimated(asked("A", "A", body, model="m").request.prompt) for body in grown]

    assert all(more >= less + 10 for less, more in itertools.pairwise(counts)), counts


def test_t54_betas_go_to_anthropic_as_they_are_and_to_nobody_else() -> None:
    """Names and order, byte by byte."""
    headers = {
        "anthropic-beta": "context-management-2025-06-27,future-2027-01-01",
        "anthropic-version": "2026-10-21",
        "x-api-key": "k",
    }
    one = asked("A", "A", {**asks("A"), "context_management": {"edits": []}}, model="m", headers=headers)
    forwarded = one.back.forwarded(one.request.headers)
    assert {name: headers[name] for name in ("anthropic-beta", "anthropic-version")} == dict(forwarded)
    assert b"context_management" in one.data
    crossed = asked("A", "C", {**asks("A"), "context_management": {"edits": []}}, headers=headers)
    assert b"context_management" not in crossed.data


def test_t54_a_field_that_a_vendor_refuses_is_named_for_the_next_attempt() -> None:
    """``Extra inputs are not permitted`` tells which."""
    body = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "context_management: Extra inputs are not permitted"},
    }
    error = DIALECTS["A"].read_error(400, {}, json.dumps(body).encode())
    assert ("field", "context_management") == (error.cure, error.param)


@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in PAIRS if {front, back} != {"C", "S"}])
def test_t55_a_tier_has_a_price_and_does_not_cross(front: str, back: str) -> None:
    """One that is not the ordinary is on the record."""
    wish = {
        "C": {"service_tier": "priority"},
        "S": {"service_tier": "priority"},
        "A": {"service_tier": "standard_only"},
        "G": {"serviceTier": "priority"},
    }
    one = asked(front, back, {**asks(front), **wish[front]})
    assert b"tier" not in one.data.lower() and b"speed" not in one.data and "tier" in one.features


def test_t55_openais_dialects_share_their_tiers() -> None:
    """``scale`` only Chat has."""
    assert "flex" == asked("C", "S", {**asks("C"), "service_tier": "flex"}).body["service_tier"]
    assert "flex" == asked("S", "C", {**asks("S"), "service_tier": "flex"}).body["service_tier"]
    assert "service_tier" not in asked("C", "S", {**asks("C"), "service_tier": "scale"}).body


CLAUDE_CODE = "user_0123abcd_account_4567-89_session_11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(("front", "back"), [("A", "S"), ("A", "C"), ("C", "A"), ("S", "A"), ("A", "G"), ("C", "G"), ("S", "G")])
def test_t56_who_asks_is_told_as_a_hash_or_not_at_all(front: str, back: str) -> None:
    """Always the same for the same user, never the id itself."""
    wish = {
        "A": {"metadata": {"user_id": CLAUDE_CODE}},
        "C": {"safety_identifier": CLAUDE_CODE},
        "S": {"safety_identifier": CLAUDE_CODE},
    }
    datas = [asked(front, back, {**asks(front), **wish[front]}, model={"S": "gpt-5.2"}.get(back, "")) for _ in "12"]
    other = json.dumps(wish[front]).replace("0123abcd", "9999")

    assert datas[0].data == datas[1].data and CLAUDE_CODE.encode() not in datas[0].data and b"0123abcd" not in datas[0].data
    if back == "G":
        assert "end_user" in datas[0].features
    else:
        key = "safety_identifier" if back in "CS" else "metadata"
        assert datas[0].body[key] and datas[0].body[key] != asked(front, back, {**asks(front), **json.loads(other)}).body[key]


def test_t56_the_session_becomes_a_cache_key() -> None:
    """A session's requests go to the same machine; another session has another key."""
    keys = [
        asked("A", "S", {**asks("A"), "metadata": {"user_id": CLAUDE_CODE.replace("1111", end)}}).body["prompt_cache_key"]
        for end in ("1111", "2222", "1111")
    ]
    assert keys[0] == keys[2] != keys[1] and "1111-" not in keys[0]


def test_means_of_these_tests() -> None:
    """The SDK raises where it is told of an error."""
    with sdk("C", answering(b'{"error":{"message":"no"}}', status=500)) as client, pytest.raises(openai.InternalServerError):
        client.models.list()
    assert chunk({})["choices"] and SCHEMA and limit_of("A", asks("A")) == 1000
