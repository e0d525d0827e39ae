"""The Code Assist codec: Gemini's, in envelopes, tried on Gemini's recordings put into such."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from gemini import SHOWN, array, data_of, feed, frame, lawful, objects, reply
from gemini import head as gemini_head
from gemini_recordings import all_touched, replies, requests, told, touched
from recordings import Recording

from llmgw import sse
from llmgw.errors import ClientError, InvalidField, TooMany
from llmgw.events import Error, Event, fold, unfold
from llmgw.model import Loss, Profile, Request, Text
from llmgw.stages import Head
from llmgw_dialects.google_codeassist import DIALECT
from llmgw_dialects.google_gemini import DIALECT as GEMINI
from llmgw_testing import every_cut

NAME = DIALECT.name
STREAM = Request(dialect=NAME, model="m", stream=True, prompt=SHOWN)
ARRAY = evolve(STREAM, headers={":framing": "array"})
WHOLE = Request(dialect=NAME, model="m", prompt=SHOWN)
ASKED = {"sse": STREAM, "array": ARRAY, "whole": WHOLE}
FRAMINGS = pytest.mark.parametrize("framing", list(ASKED))


def head(method: str = "generateContent", **query: str) -> Head:
    """What stands above a request."""
    operation: Any = "count_tokens" if method == "countTokens" else "generate"
    return Head(path=f"/v1internal:{method}", query=query, operation=operation)


def enclosed(inner: bytes, **rest: Any) -> bytes:
    """A request in its envelope, its own bytes kept."""
    told = json.dumps({"model": "gemini-x", "project": "p", **rest}).encode()
    return told[:-1] + b', "request": ' + inner + b"}"


def asked() -> list[tuple[Recording, bytes]]:
    """All recorded requests for an answer, in envelopes."""
    return [(one, enclosed(one.request or b"")) for one in requests() if one.endpoint != "countTokens"]


def body_of(one: Recording, framing: str) -> bytes:
    """A recorded reply, each of its responses in an envelope."""
    if framing == "whole":
        return b'{"response": ' + one.body + b', "traceId": "t"}'
    if framing == "array":
        return array(*({"response": each, "traceId": "t"} for each in json.loads(one.body)))
    data = [sse.parse(each)[1] for each in sse.frames(one.body)]
    return b"".join(b'data: {"response": ' + each + b', "traceId": "t"}\n\n' for each in data if each is not None)


def write(request: Request, events: list[Event], dialect: Any = DIALECT) -> bytes:
    """What the client gets."""
    writer = dialect.writer(request)
    return b"".join(writer.feed(event) for event in events)


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_touched_is_copied() -> None:
    """Reading a request and writing it gives the very same bytes object; all touched, it says the same."""
    for one, body in asked():
        request = DIALECT.read_request(head(one.endpoint), body)
        assert ("gemini-x", one.endpoint == "streamGenerateContent") == (request.model, request.stream), one.name
        request.prompt  # noqa: B018  # reading is the point
        assert request.raw is not None
        assert DIALECT.write_request(request) is request.raw.data, one.name
        written = DIALECT.write_request(evolve(request, prompt=all_touched(request.prompt)))
        assert json.loads(body) == json.loads(written), one.name


def test_another_model_changes_the_model_alone() -> None:
    """A request for another model differs in the model's name, wherever that stands."""
    for one, body in asked()[::5]:
        written = DIALECT.write_request(DIALECT.read_request(head(one.endpoint), body).with_model("other"))
        changed = json.loads(written)
        assert "other" == changed.pop("model"), one.name
        expected = json.loads(body)
        del expected["model"]
        changed["request"].pop("model", None)
        expected["request"].pop("model", None)
        assert expected == changed, one.name


def test_requests_go_from_one_of_googles_dialects_into_the_other_to_the_byte() -> None:
    """The request within is the client's own text, with what the other does not know left out."""
    for one, body in asked():
        inner = DIALECT.write_request(GEMINI.read_request(gemini_head(one.endpoint, "gemini-x"), one.request or b""))
        tree = json.loads(one.request or b"")
        assert {"model": "gemini-x", "request": {key: value for key, value in tree.items() if key != "model"}} == json.loads(
            inner
        )
        bare = GEMINI.write_request(DIALECT.read_request(head(one.endpoint), body))
        if "model" not in tree:
            assert (one.request or b"") in inner, one.name
            assert one.request == bare, one.name


def test_what_code_assist_does_not_know_is_told_as_lost() -> None:
    """Fields that only Gemini has are left out, and the losses say so."""
    tree = {"contents": [{"parts": [{"text": "hi"}]}], "store": True, "serviceTier": "flex"}
    losses: list[Loss] = []
    request = GEMINI.read_request(gemini_head(), json.dumps(tree).encode())
    assert {"contents"} == json.loads(DIALECT.write_request(request, losses))["request"].keys()
    assert ["store", "serviceTier"] == [loss.feature for loss in losses]


def test_a_count_has_the_model_within() -> None:
    """A count's envelope holds the model and the contents, in either direction."""
    body = b'{"request":{"model":"models/g","contents":[{"role":"user","parts":[{"text":"hi"}]}]}}'
    request = DIALECT.read_request(head("countTokens"), body)
    assert ("g", "count_tokens") == (request.model, request.operation)
    assert body == DIALECT.write_request(request)
    inner = json.loads(GEMINI.write_request(request))["generateContentRequest"]
    assert {"model": "models/g", "contents": json.loads(body)["request"]["contents"]} == inner
    contents = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
    asked_plainly = GEMINI.read_request(gemini_head("countTokens", "g"), contents)
    assert json.loads(body) == json.loads(DIALECT.write_request(asked_plainly))


def test_requests_of_googles_own_do_not_cross() -> None:
    """Between Google's two dialects there is nothing to translate."""
    for one, body in asked()[:20]:
        request = DIALECT.read_request(head(one.endpoint), body)
        assert GEMINI.crossing(request, Profile(), []) is None
        assert DIALECT.crossing(request, Profile(), []) is None


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"request":{}}', b'{"request":{"contents":[{}]}}', b'{"model":"m","request":5}']
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """A body without a request, contents or model is the client's fault."""
    with pytest.raises(ClientError):
        DIALECT.read_request(head(), body)


def test_a_request_from_scratch_is_enclosed() -> None:
    """A prompt of another dialect is written in an envelope, and read again it is the same."""
    request = GEMINI.read_request(gemini_head(), b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}')
    written = DIALECT.write_request(evolve(request, dialect="x", raw=None, prompt=request.prompt))
    assert b'{"model":"m","request":{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}}' == written
    assert (Text("hi"),) == DIALECT.read_request(head(), written).prompt.items[0].parts  # type: ignore[attr-defined]


# ---- replies ------------------------------------------------------------------------------------


def events_of(body: bytes, framing: str, dialect: Any = DIALECT, way: str = "reader") -> list[Event]:
    """The events of a reply."""
    return feed(getattr(dialect, way)(stream=framing != "whole"), body)


@FRAMINGS
@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_reply_that_nobody_touched_is_copied(framing: str, way: str) -> None:
    """What the writer writes of untouched events is what the provider sent."""
    for one in replies(framing):
        body = body_of(one, framing)
        events = events_of(body, framing, way=way)
        assert body == data_of(events) == write(ASKED[framing], events), one.name


@FRAMINGS
def test_a_reply_means_what_it_does_without_its_envelope(framing: str) -> None:
    """The events keep the laws, and fold to what Gemini's codec reads from the same response; touched ones say it too."""
    for one in replies(framing):
        events = lawful(events_of(body_of(one, framing), framing))
        expected = told(fold(events_of(one.body, framing, GEMINI)))
        if b"responseId" in one.body:
            assert expected == told(fold(events)), one.name
        again = events_of(write(ASKED[framing], touched(events)), framing)
        assert fold(events) == fold(again), one.name
        assert told(fold(events)) == told(fold(events_of(write(ASKED[framing], unfold(fold(events))), framing))), one.name


@FRAMINGS
def test_a_reply_is_the_same_however_it_is_cut(framing: str) -> None:
    """Events do not depend on how the bytes arrived."""
    for one in [one for one in replies(framing) if len(one.body) < 4000][::8]:
        body = body_of(one, framing)
        expected = events_of(body, framing)
        for pieces in every_cut(body, most=100):
            assert expected == feed(DIALECT.reader(stream=framing != "whole"), *pieces), one.name


@FRAMINGS
def test_replies_go_from_one_of_googles_dialects_into_the_other(framing: str) -> None:
    """A reply of Gemini's reaches a client of Code Assist's in envelopes, and the reverse, its responses' JSON unchanged."""
    plain = {"sse": evolve(STREAM, dialect="google.gemini"), "array": ARRAY, "whole": WHOLE}[framing]
    for one in replies(framing):
        out = write(ASKED[framing], events_of(one.body, framing, GEMINI))
        assert responses(one.body, framing) == [each["response"] for each in responses(out, framing)], one.name
        back = write(plain, events_of(body_of(one, framing), framing), GEMINI)
        assert responses(one.body, framing) == responses(back, framing), one.name


def responses(data: bytes, framing: str) -> list[Any]:
    """The JSON of a reply."""
    if framing == "sse":
        return [json.loads(each) for one in sse.frames(data) if (each := sse.parse(one)[1]) is not None]
    tree = json.loads(data)
    return tree if framing == "array" else [tree]


def test_the_trace_is_the_id_of_the_response() -> None:
    """Where a response has no id of its own, the envelope's serves, and goes into the envelope again."""
    chunk = reply([{"text": "hi"}], "STOP")
    del chunk["responseId"]
    events = events_of(frame({"response": chunk, "traceId": "t1"}), "sse")
    assert "t1" == fold(events).id
    written = objects(write(STREAM, unfold(fold(events))))
    assert {"t1"} == {each["traceId"] for each in written} == {each["response"]["responseId"] for each in written}


@pytest.mark.parametrize("data", [
    array({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}),
    frame([{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]),
    frame({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}),
    json.dumps({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}, indent=2).encode(),
])  # fmt: skip
def test_errors_in_a_stream_are_found_however_they_come(data: bytes) -> None:
    """Bare, in a list, in a frame or instead of a stream: it is an error, of its kind."""
    for way in ("reader", "relay"):
        last = events_of(data, "sse", way=way)[-1]
        assert isinstance(last, Error)
        assert ("rate_limited", 429) == (last.error.kind, DIALECT.error_status(last.error))


def test_errors_are_written_as_google_does() -> None:
    """A limit of ours says when to try again."""
    tree = json.loads(DIALECT.write_error(TooMany("slow down", retry_after=2.5)))["error"]
    assert (429, "RESOURCE_EXHAUSTED") == (tree["code"], tree["status"])
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"} in tree["details"]
    assert "request.generationConfig.topP" == DIALECT.spelled("top_p")
    assert json.loads(DIALECT.write_error(InvalidField("no", param="request")))["error"]["details"][0]["fieldViolations"]
