"""The Gemini API by key: its paths and versions, its keys, its list of models, and each way in which it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from llmgw import Request, Secret, Target
from llmgw.errors import Misconfigured
from llmgw_dialects.google_gemini.requests import FRAMING
from llmgw_gemini import VENDOR, Gemini
from llmgw_testing import RunningGateway, run_gateway
from tests.backends.fakes.gemini import ANSWER, BLOCKED, FakeGemini, google_error, info, quota, retry
from tests.backends.fronts import FRONTS, asked

MODEL = "gemini:gemini-2.5-pro"
KEY = "AQ.good-key-one"
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "What is the answer?"}]
ASKED: dict[str, Any] = {"model": MODEL, "messages": QUESTION}
CONTENTS = [{"role": "user", "parts": [{"text": "What is the answer?"}]}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"name": "weather", "description": "Of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}  # fmt: skip


@pytest_asyncio.fixture
async def google() -> AsyncIterator[FakeGemini]:
    async with FakeGemini().running() as fake:
        yield fake


@asynccontextmanager
async def gateway(google: FakeGemini, env: dict[str, str] | None = None, **options: Any) -> AsyncIterator[RunningGateway]:
    """One that has the key."""
    told = {"GEMINI_API_KEY": KEY} if env is None else env
    async with run_gateway({"backends": {"gemini": {"base_url": google.url, **options}}}, told) as running:
        yield running


async def refusal(running: RunningGateway, path: str = "/v1/chat/completions", body: Any = None) -> tuple[int, Any, str | None]:
    """Status, error and ``retry-after``."""
    async with running.http.post(running.url + path, json=ASKED if body is None else body) as response:
        return response.status, (await response.json())["error"], response.headers.get("retry-after")


# ---- requests


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_end_is_answered(google: FakeGemini, front: str, stream: bool, version: str) -> None:
    """By both versions of the API, at the path of the method."""
    async with gateway(google, version=version) as running:
        assert (200, ANSWER) == await asked(running, front, MODEL, stream=stream)

    sent = google.came[-1]
    method = "streamGenerateContent" if stream else "generateContent"
    assert f"/{version}/models/gemini-2.5-pro:{method}" == sent.path
    assert ({"alt": "sse"} if stream else {}) == sent.query


async def test_the_key_is_shown_in_googles_own_header(google: FakeGemini) -> None:
    """Nowhere else: not in the URL, which is written into logs."""
    async with gateway(google) as running:
        await running.post(ASKED)

    sent = google.came[-1]
    assert [("x-goog-api-key", KEY)] == [(name, value) for name, value in sent.headers.items() if KEY in value]
    assert KEY not in str(sent.query)


async def test_nobody_is_imitated(google: FakeGemini) -> None:
    """The user agent is this gateway's, and no SDK's headers are sent, whoever asks."""
    async with gateway(google) as running:
        await running.post(ASKED, user_agent="google-genai-sdk/3.4 gl-python", x_goog_api_client="google-genai-sdk/3.4")

    sent = google.came[-1].headers
    assert sent["user-agent"].startswith("llmgw/")
    assert "x-goog-api-client" not in sent


async def test_a_client_that_wants_its_stream_as_one_array_gets_one(google: FakeGemini) -> None:
    """As Google answers without ``alt=sse``."""
    path = f"/v1beta/models/{MODEL}:streamGenerateContent"
    async with gateway(google) as running, running.http.post(running.url + path, json={"contents": CONTENTS}) as response:
        chunks = json.loads(await response.read())

    assert {} == google.came[-1].query
    assert ANSWER == "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_and_answered(google: FakeGemini, stream: bool) -> None:
    """By a client of another dialect; the call goes back with Google's signature, without which it is refused."""
    tools = [{"type": "function", "function": TOOL}]
    async with gateway(google) as running:
        status, body = await running.post({**ASKED, "tools": tools})
        said = body["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny"}
        again, text = await asked(running, "chat", MODEL, stream=stream, messages=[*QUESTION, said, result], tools=tools)

    call = said["tool_calls"][0]["function"]
    assert (200, "weather", {"city": "Oslo"}) == (status, call["name"], json.loads(call["arguments"]))
    assert (200, ANSWER) == (again, text)
    assert "sunny" in google.came[-1].body.decode()


async def test_a_picture_goes_along(google: FakeGemini) -> None:
    """As inline data."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    async with gateway(google) as running:
        status, _ = await running.post({"model": MODEL, "messages": [{"role": "user", "content": [picture]}]})

    part = google.came[-1].json["contents"][0]["parts"][0]
    assert (200, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}) == (status, part)


async def test_what_a_client_of_googles_said_is_sent_to_the_byte(google: FakeGemini) -> None:
    """Its spelling and its spaces, too, which Google's prompt cache goes by."""
    body = b'{ "contents": [ {"parts": [{"text": "caf\\u00e9"}]} ],  "generationConfig": {"temperature": 1.0} }'
    async with gateway(google) as running:
        status, _ = await running.post(body, f"/v1beta/models/{MODEL}:generateContent")

    assert (200, body) == (status, google.came[-1].body)


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.booleans())
def test_the_path_names_model_and_method_once(model: str, stream: bool) -> None:
    """Whatever the model is called, and whether or not its collection stands before it."""
    backend = Gemini(base_url="http://h/")
    request = Request(dialect="openai.chat", model=model, stream=stream)
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    for name in (model, f"models/{model}"):
        assert f"http://h/v1beta/models/{model}:{method}" == backend.url(Target("gemini", name), request)


@pytest.mark.parametrize(
    ("operation", "headers", "expected"),
    [("count_tokens", {}, "countTokens"), ("generate", {FRAMING: "array"}, "streamGenerateContent")],
)
def test_the_path_of_other_methods(operation: Any, headers: dict[str, str], expected: str) -> None:
    """Counting, and a stream that is one array."""
    request = Request(dialect="google.gemini", model="m", stream=True, operation=operation, headers=headers)
    assert f"{VENDOR}/v1beta/models/m:{expected}" == Gemini().url(Target("gemini", "m"), request)


# ---- counting


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (f"/v1beta/models/{MODEL}:countTokens", {"contents": CONTENTS}, {"totalTokens": 9}),
        (
            f"/v1beta/models/{MODEL}:countTokens",
            {"generateContentRequest": {"model": "models/gemini-2.5-pro", "contents": CONTENTS}},
            {"totalTokens": 9},
        ),
        ("/v1/messages/count_tokens", {**ASKED, "system": "Be brief."}, {"input_tokens": 9}),
    ],
)
async def test_google_counts(google: FakeGemini, path: str, body: Any, expected: Any) -> None:
    """For its own clients and for those of others."""
    async with gateway(google) as running:
        assert (200, expected) == await running.post(body, path)

    assert "/v1beta/models/gemini-2.5-pro:countTokens" == google.came[-1].path


# ---- keys


async def test_several_keys_are_found(google: FakeGemini) -> None:
    """In numbered variables, each a credential of its own."""
    env = {"GEMINI_API_KEY": KEY, "GEMINI_API_KEY_2": "AQ.second-key-two"}
    async with gateway(google, env) as running:
        backend = running.gateway.backends["gemini"]
        assert ["GEMINI_API_KEY", "GEMINI_API_KEY_2"] == [one.name for one in backend.credentials]
        assert isinstance(backend, Gemini)
        shown = backend.headers(Target("gemini", "m", "GEMINI_API_KEY_2"))

    assert {"x-goog-api-key": "AQ.second-key-two"} == shown


def test_the_vendor_is_not_asked_without_a_key() -> None:
    """The variable to set is told here."""
    with pytest.raises(Misconfigured, match="GEMINI_API_KEY is not set"):
        Gemini(api_key=Secret("GEMINI_API_KEY")).headers(Target("gemini", "m"))


async def test_a_bad_key_is_an_authentication_error(google: FakeGemini) -> None:
    """Although Google says 400; and the key stands in no answer."""
    async with gateway(google, {"GEMINI_API_KEY": "AIzaSyBadKeyBadKeyBadKey"}) as running:
        _, error, _ = await refusal(running)

    assert ("invalid_api_key", False) == (error["code"], "AIza" in json.dumps(error))


# ---- models


async def test_its_models(google: FakeGemini) -> None:
    """By the names that a request takes."""
    async with gateway(google) as running:
        _, listed = await running.get("/v1/models")

    assert ["gemini:gemini-2.5-pro", "gemini:gemini-3.6-flash"] == [one["id"] for one in listed["data"]]


async def test_its_models_on_several_pages(google: FakeGemini) -> None:
    """All pages are read, each asked for by the token on the one before."""
    google.pages = [["gemini-2.5-pro"], ["gemini-2.5-flash"], ["gemini-3.6-flash"]]
    async with gateway(google) as running:
        _, listed = await running.get("/v1/models")

    expected = ["gemini:gemini-2.5-pro", "gemini:gemini-2.5-flash", "gemini:gemini-3.6-flash"]
    assert expected == [one["id"] for one in listed["data"]]


# ---- refusals

SLOW = google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", quota("GenerateRequestsPerMinutePerProject"), retry("34.07s"))
SPENT = google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", quota("GenerateRequestsPerDayPerProject"))
TOO_LONG = google_error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8).")
REFUSALS: list[tuple[int, dict[str, Any], int, str, str | None]] = [
    (403, google_error(403, "PERMISSION_DENIED", "No."), 403, "permission_denied", None),
    (404, google_error(404, "NOT_FOUND", "models/x is not found."), 404, "model_not_found", None),
    (429, SLOW, 429, "rate_limit_exceeded", "35"),
    (429, SPENT, 429, "insufficient_quota", None),
    (400, TOO_LONG, 400, "context_length_exceeded", None),
    (503, google_error(503, "UNAVAILABLE", "The model is overloaded."), 503, "server_is_overloaded", None),
    (500, google_error(500, "INTERNAL", "An internal error."), 500, "upstream_error", None),
]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("status", "body", "expected", "code", "wait"), REFUSALS)
async def test_refusals(
    google: FakeGemini, status: int, body: Any, expected: int, code: str, wait: str | None, listed: bool
) -> None:
    """Each class reaches a client of another dialect in its own words, also out of the list that Google sometimes puts it in."""
    google.fails(":generateContent", status, [body] if listed else body)
    async with gateway(google) as running:
        told, error, after = await refusal(running)

    assert (expected, code, wait) == (told, error["code"], after)


@pytest.mark.parametrize("listed", [False, True])
async def test_googles_own_client_gets_googles_own_words(google: FakeGemini, listed: bool) -> None:
    """The very object, out of its list, and how long to wait both in it and in the header."""
    google.fails(":generateContent", 429, [SLOW] if listed else SLOW)
    async with gateway(google) as running:
        path = f"/v1beta/models/{MODEL}:generateContent"
        told = await refusal(running, path, {"contents": CONTENTS})

    assert (429, SLOW["error"], "35") == told


async def test_an_invalid_key_tells_its_reason(google: FakeGemini) -> None:
    """Google's own client sees the reason by which it knows."""
    google.fails(":generateContent", 400, google_error(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")))
    async with gateway(google) as running:
        _, error, _ = await refusal(running, f"/v1beta/models/{MODEL}:generateContent", {"contents": CONTENTS})

    assert "API_KEY_INVALID" == error["details"][0]["reason"]


@pytest.mark.parametrize(
    ("front", "read", "expected"),
    [
        ("chat", lambda tree: tree["choices"][0]["finish_reason"], "content_filter"),
        ("anthropic", lambda tree: tree["stop_reason"], "refusal"),
        ("gemini", lambda tree: tree["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT"),
    ],
)
async def test_a_prompt_that_google_blocks(google: FakeGemini, front: str, read: Any, expected: str) -> None:
    """Is no empty answer: the client is told in its own words."""
    one = FRONTS[front]
    body = json.loads(json.dumps(one.body(MODEL, False)).replace("What is the answer?", BLOCKED))
    async with gateway(google) as running:
        status, tree = await running.post(body, one.path(MODEL, False))

    assert (200, expected) == (status, read(tree))


async def test_nobody_is_there() -> None:
    """Which is told as such, with what to look at."""
    async with run_gateway({"backends": {"gemini": {"base_url": "http://127.0.0.1:9"}}}, {"GEMINI_API_KEY": KEY}) as running:
        status, error, _ = await refusal(running)

    assert (503, True) == (status, "cannot be reached" in error["message"])
