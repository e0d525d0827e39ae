"""Vertex AI: each of its three ways from each front-end, its names, its credentials, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from anthropic import AsyncAnthropicVertex
from attrs import define
from google import genai
from google.genai.types import FunctionDeclaration, GenerateContentConfig, HttpOptions, Tool
from google.oauth2.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from llmgw import Request, Secret
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from llmgw_vertex import Vertex, host
from llmgw_vertex.naming import named
from tests.backends.fakes.vertex import ANSWER, LIFE, FakeVertex, google_error, written
from tests.backends.fronts import FRONTS, asked

GEMINI = "vertex:gemini-2.5-pro"
CLAUDE = "vertex:claude-sonnet-4-5@20250929"
OPEN = "vertex:meta/llama-3.3-70b-instruct-maas"
MISTRAL = "vertex:mistral-small-2503"
PLACE = "/v1/projects/acme-1/locations/europe-west1"
PATHS = {
    GEMINI: f"{PLACE}/publishers/google/models/gemini-2.5-pro:",
    CLAUDE: f"{PLACE}/publishers/anthropic/models/claude-sonnet-4-5@20250929:",
    OPEN: f"{PLACE}/endpoints/openapi/chat/completions",
    MISTRAL: f"{PLACE}/publishers/mistralai/models/mistral-small-2503:",
}
QUESTION = [{"role": "user", "content": "What is the answer?"}]
LOGIN = "Run: gcloud auth application-default login"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "weather", "description": "Of a city.", "parameters": PARAMETERS}


@define(eq=False)
class Cloud:
    """A Google Cloud with a machine whose user is logged in.

    Args:
        vertex: the servers.
        clock: the time.
        home: of the user.
    """

    vertex: FakeVertex
    clock: FakeClock
    home: Path

    def login(self, **more: Any) -> Path:
        """The user's login."""
        return written(self.home / ".config/gcloud/application_default_credentials.json", self.vertex.user_file(**more))

    @property
    def options(self) -> dict[str, Any]:
        """Of the back-end."""
        url = self.vertex.url
        return {"base_url": url, "token_url": f"{url}/token", "allow_insecure_origin": True, "location": "europe-west1"}

    @asynccontextmanager
    async def gateway(self, env: Mapping[str, str] | None = None, **more: Any) -> AsyncIterator[RunningGateway]:
        """A gateway on this machine."""
        told = {"HOME": str(self.home), "NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "acme-1", **(env or {})}
        options = {name: value for name, value in (self.options | more).items() if value is not None}
        async with run_gateway({"backends": {"vertex": options}}, told, self.clock.clock) as running:
            yield running

    def sent(self) -> Any:
        """The last request for an answer."""
        return next(one for one in reversed(self.vertex.came) if one.path.startswith("/v1/"))


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    clock = FakeClock()
    async with FakeVertex(now=clock.clock.time).running() as vertex:
        made = Cloud(vertex, clock, tmp_path)
        made.login()
        yield made


# ---- the fake is right: those whom it imitates are served


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_googles_sdk_is_served(cloud: Cloud) -> None:
    """What Google's own SDK sends to Vertex AI passes the fake's checks, so that they are no stricter than the real ones."""
    cloud.vertex.sdks = True
    config = GenerateContentConfig(tools=[Tool(function_declarations=[FunctionDeclaration(**TOOL)])], system_instruction="Brief.")
    options = HttpOptions(base_url=cloud.vertex.url, api_version="v1")
    login = Credentials(cloud.vertex.token())  # type: ignore[no-untyped-call]
    client = genai.Client(enterprise=True, project="acme-1", location="europe-west1", credentials=login, http_options=options)
    async with client.aio as sdk:
        whole = await sdk.models.generate_content(model="gemini-2.5-pro", contents="Hi", config=config)
        stream = await sdk.models.generate_content_stream(model="gemini-2.5-pro", contents="Hi")
        pieces = [chunk.text async for chunk in stream]
        count = await sdk.models.count_tokens(model="gemini-2.5-pro", contents="Hi")

    assert ("weather", ANSWER, 7) == (whole.function_calls[0].name, "".join(pieces), count.total_tokens)  # type: ignore[index]


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropics_sdk_is_served(cloud: Cloud, stream: bool) -> None:
    """The same of Anthropic's."""
    cloud.vertex.sdks = True
    token, url = cloud.vertex.token(), f"{cloud.vertex.url}/v1"
    model = CLAUDE.removeprefix("vertex:")
    async with AsyncAnthropicVertex(region="europe-west1", project_id="acme-1", access_token=token, base_url=url) as sdk:
        count = await sdk.messages.count_tokens(model=model, messages=QUESTION)
        if stream:
            async with sdk.messages.stream(model=model, max_tokens=9, messages=QUESTION) as answer:
                said = await answer.get_final_text()
        else:
            said = (await sdk.messages.create(model=model, max_tokens=9, messages=QUESTION)).content[0].text

    assert (9, ANSWER) == (count.input_tokens, said)


# ---- each way, from each front-end


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("model", [GEMINI, CLAUDE, OPEN])
async def test_every_front_end_is_answered(cloud: Cloud, model: str, front: str, stream: bool) -> None:
    """At the path of the model's publisher, with a token and our own name."""
    async with cloud.gateway() as running:
        assert (200, ANSWER) == await asked(running, front, model, stream=stream)

    sent = cloud.sent()
    assert sent.path.startswith(PATHS[model])
    assert "Bearer ya29.secret-1" == sent.headers["authorization"]
    assert sent.headers["user-agent"].startswith("llmgw/")


@pytest.mark.parametrize("stream", [False, True])
async def test_mistrals_models(cloud: Cloud, stream: bool) -> None:
    """Speak Chat Completions where Claude speaks its own; the body has the model without a publisher."""
    async with cloud.gateway() as running:
        assert (200, ANSWER) == await asked(running, "anthropic", MISTRAL, stream=stream)

    assert PATHS[MISTRAL] + ("streamRawPredict" if stream else "rawPredict") == cloud.sent().path


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
async def test_a_tool_is_called_and_answered(cloud: Cloud, model: str) -> None:
    """Both ways, from a client of another dialect."""
    tools = [{"type": "function", "function": TOOL}]
    async with cloud.gateway() as running:
        status, body = await running.post({"model": model, "messages": QUESTION, "tools": tools})
        said = body["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny"}
        again, more = await running.post({"model": model, "messages": [*QUESTION, said, result], "tools": tools})

    call = said["tool_calls"][0]["function"]
    assert (200, "weather", {"city": "Oslo"}) == (status, call["name"], json.loads(call["arguments"]))
    assert (200, ANSWER) == (again, more["choices"][0]["message"]["content"])
    assert '"sunny"' in cloud.sent().body.decode()


@pytest.mark.parametrize(("model", "expected"), [(GEMINI, "inlineData"), (CLAUDE, "base64"), (OPEN, "image_url")])
async def test_a_picture(cloud: Cloud, model: str, expected: str) -> None:
    """Goes out as the model's dialect has it."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    async with cloud.gateway() as running:
        status, _ = await running.post({"model": model, "messages": [{"role": "user", "content": [picture]}]})

    assert 200 == status
    assert expected in cloud.sent().body.decode() and PIXEL in cloud.sent().body.decode()


async def test_a_picture_by_its_url(cloud: Cloud) -> None:
    """Gemini fetches it itself; Claude on Vertex AI does not, and the client is told where it stands."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    question = {"messages": [{"role": "user", "content": [picture]}]}
    async with cloud.gateway() as running:
        gemini, _ = await running.post({"model": GEMINI, **question})
        claude, body = await running.post({"model": CLAUDE, **question})

    assert (200, 400, "messages[0].content[0]") == (gemini, claude, body["error"]["param"])
    assert [PATHS[GEMINI] + "generateContent"] == [one.path for one in cloud.vertex.came if one.path.startswith("/v1/")]


# ---- Claude


async def anthropic(
    running: RunningGateway, path: str = "/v1/messages", version: str = "2023-06-01", **more: Any
) -> tuple[int, Any]:
    """What a client of Anthropic's is answered."""
    body = {"model": CLAUDE, "max_tokens": 100, "messages": QUESTION, **more}
    return await running.post(body, path, anthropic_version=version, anthropic_beta="context-1m-2025-08-07")


async def test_claude_gets_the_clients_own_bytes(cloud: Cloud) -> None:
    """But for the model, which goes to the path, and the version, which goes to the body; the betas stay a header."""
    body = b'{"model": "vertex:claude-x",  "max_tokens": 5, "messages": [ {"role":"user","content":"h\\u00e9"} ], "unknown": 1.0}'
    async with cloud.gateway() as running:
        await running.post(body, "/v1/messages", anthropic_version="2023-06-01", anthropic_beta="some-beta")

    kept = b'"max_tokens":5,"messages":[ {"role":"user","content":"h\\u00e9"} ],"unknown":1.0'
    assert b'{%s,"anthropic_version":"vertex-2023-10-16"}' % kept == cloud.sent().body
    assert "some-beta" == cloud.sent().headers["anthropic-beta"]


async def test_a_newer_version_is_the_clients_to_ask(cloud: Cloud) -> None:
    """Its rules are then Anthropic's to tell: it knows no temperature."""
    async with cloud.gateway() as running:
        good, _ = await anthropic(running, version="2026-10-21")
        bad, body = await anthropic(running, version="2026-10-21", temperature=0.5)

    assert (200, 400) == (good, bad)
    assert "2026-10-21" == cloud.sent().json["anthropic_version"]
    assert ("req_vrtx_1", "temperature: Extra inputs are not permitted") == (body["request_id"], body["error"]["message"])


async def test_the_version_for_others_is_an_option(cloud: Cloud) -> None:
    """Clients of other dialects name none."""
    async with cloud.gateway(anthropic_version="2026-10-21") as running:
        await asked(running, "chat", CLAUDE, stream=False)

    assert "2026-10-21" == cloud.sent().json["anthropic_version"]


async def test_what_the_newer_version_refuses_is_left_out(cloud: Cloud) -> None:
    """Of clients of other dialects, who are told."""
    question = {"model": CLAUDE, "messages": QUESTION, "temperature": 0.5}
    url = "/v1/chat/completions"
    async with (
        cloud.gateway(anthropic_version="2026-10-21") as running,
        running.http.post(running.url + url, json=question) as got,
    ):
        assert (200, "temperature") == (got.status, got.headers["x-llmgw-losses"])


async def test_claude_counts_for_others(cloud: Cloud) -> None:
    """A client of Gemini's, in whose words the answer is."""
    async with cloud.gateway() as running:
        got = await running.post(contents(), f"/v1beta/models/{CLAUDE}:countTokens")

    assert (200, {"totalTokens": 9}) == got


async def test_claude_counts(cloud: Cloud) -> None:
    """At a model of its own; the one that is meant stays in the body, without its publisher."""
    async with cloud.gateway() as running:
        got = await anthropic(running, "/v1/messages/count_tokens", model="vertex:anthropic/claude-opus-5")

    assert (200, {"input_tokens": 9}) == got
    assert f"{PLACE}/publishers/anthropic/models/count-tokens:rawPredict" == cloud.sent().path
    assert "claude-opus-5" == cloud.sent().json["model"]


async def test_an_error_of_googles_before_claude(cloud: Cloud) -> None:
    """Is one of Anthropic's to a client of that."""
    cloud.vertex.fails(":rawPredict", 429, google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for claude."))
    async with cloud.gateway() as running:
        status, body = await anthropic(running)

    assert (429, "error", "rate_limit_error") == (status, body["type"], body["error"]["type"])
    assert body["error"]["message"].startswith("Quota exceeded for claude.")


# ---- Gemini


def contents(**more: Any) -> dict[str, Any]:
    """A question as the Gemini API takes it, whose roles may be missing."""
    return {"contents": [{"parts": [{"text": "Hi"}]}], **more}


async def gemini(running: RunningGateway, body: Any, method: str = "generateContent", **headers: str) -> tuple[int, Any]:
    """What a client of the Gemini API is answered."""
    return await running.post(body, f"/v1beta/models/{GEMINI}:{method}", **headers)


async def test_a_missing_role_is_the_users(cloud: Cloud) -> None:
    """Vertex AI wants one, and knows only two; what else the client wrote is left as it was."""
    result = {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"b": 1.0}}}]}
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    async with cloud.gateway() as running:
        status, _ = await gemini(running, contents(contents=[{"parts": [{"text": "Hi"}]}, call, result]))

    assert (200, ["user", "model", "user"]) == (status, [one["role"] for one in cloud.sent().json["contents"]])
    assert b'{"b": 1.0}' in cloud.sent().body


async def test_a_good_body_is_not_touched(cloud: Cloud) -> None:
    """Where there is nothing to change the client's bytes go out."""
    body = b'{ "contents":[{"role" : "user","parts":[{"text":"Hi"}]}],  "labels":{"team":"a"} }'
    async with cloud.gateway() as running:
        await gemini(running, body)

    assert body == cloud.sent().body


@pytest.mark.parametrize(("more", "expected"), [
    ({"store": True}, "store"),
    ({"generationConfig": {"enableEnhancedCivicAnswers": True, "topK": 3}}, "generationConfig.enableEnhancedCivicAnswers"),
    ({"toolConfig": {"includeServerSideToolInvocations": True}}, "toolConfig.includeServerSideToolInvocations"),
])  # fmt: skip
async def test_what_only_the_gemini_api_knows(cloud: Cloud, more: dict[str, Any], expected: str) -> None:
    """Is left out, and the client is told; what stands beside it stays."""
    url = f"/v1beta/models/{GEMINI}:generateContent"
    async with cloud.gateway() as running, running.http.post(running.url + url, json=contents(**more)) as response:
        assert 200 == response.status
        assert expected in response.headers["x-llmgw-losses"]

    left = cloud.sent().json
    assert ("store" not in left, {"topK": 3}) == (True, left.get("generationConfig", {"topK": 3}))


async def test_file_search_runs_only_in_the_gemini_api(cloud: Cloud) -> None:
    """The answer would not be what was asked for, so it is refused, with the place and the alternative."""
    async with cloud.gateway() as running:
        status, body = await gemini(
            running, contents(tools=[{"codeExecution": {}}, {"fileSearch": {"fileSearchStoreNames": ["x"]}}])
        )

    assert 400 == status
    assert "'tools[1].fileSearch'" in body["error"]["message"] and "'gemini'" in body["error"]["message"]


@pytest.mark.parametrize("body", [
    contents(),
    {"generateContentRequest": {"model": "models/gemini-2.5-pro", **contents(safetySettings=[])}},
])  # fmt: skip
async def test_gemini_counts(cloud: Cloud, body: dict[str, Any]) -> None:
    """What the Gemini API encloses for it stands bare here."""
    async with cloud.gateway() as running:
        status, got = await gemini(running, body, "countTokens")

    assert (200, 7) == (status, got["totalTokens"])
    assert {"contents"} == cloud.sent().json.keys()


async def test_others_have_gemini_count(cloud: Cloud) -> None:
    """A client of Anthropic's, with tools and instructions."""
    tool = {"name": "weather", "input_schema": PARAMETERS}
    async with cloud.gateway() as running:
        got = await anthropic(running, "/v1/messages/count_tokens", model=GEMINI, system="Be brief.", tools=[tool])

    assert (200, {"input_tokens": 7}) == got
    assert {"contents", "systemInstruction", "tools"} <= cloud.sent().json.keys()


async def test_open_models_do_not_count(cloud: Cloud) -> None:
    """So it is estimated, and nobody is asked."""
    async with cloud.gateway() as running:
        status, got = await anthropic(running, "/v1/messages/count_tokens", model=OPEN)

    assert 200 == status and got["input_tokens"] > 0
    assert [] == cloud.vertex.came


async def test_a_stream_as_an_array(cloud: Cloud) -> None:
    """A client that does not ask for server-sent events gets what Google sends without."""
    async with cloud.gateway() as running:
        status, got = await gemini(running, contents(), "streamGenerateContent")

    assert (200, 2) == (status, len(got))
    assert {} == cloud.sent().query


async def test_the_quota_project_is_not_the_clients_to_say(cloud: Cloud) -> None:
    """Nor are the routing parameters of an SDK."""
    async with cloud.gateway() as running:
        await gemini(running, contents(), x_goog_user_project="somebody", x_goog_request_params="a=b")

    assert not {"x-goog-user-project", "x-goog-request-params"} & cloud.sent().headers.keys()


async def test_a_tuned_model(cloud: Cloud) -> None:
    """Stands under the project's own endpoints."""
    async with cloud.gateway() as running:
        assert (200, ANSWER) == await asked(running, "chat", "vertex:endpoints/123", stream=False)

    assert f"{PLACE}/endpoints/123:generateContent" == cloud.sent().path


# ---- names and places


@pytest.mark.parametrize(("model", "expected"), [
    ("gemini-2.5-pro", ("gemini", "google", "gemini-2.5-pro")),
    ("models/gemini-2.5-pro", ("gemini", "google", "gemini-2.5-pro")),
    ("google/gemini-2.5-pro", ("gemini", "google", "gemini-2.5-pro")),
    ("publishers/google/models/gemini-2.5-pro", ("gemini", "google", "gemini-2.5-pro")),
    ("Claude-Opus-5", ("claude", "anthropic", "Claude-Opus-5")),
    ("anthropic/claude-opus-5", ("claude", "anthropic", "claude-opus-5")),
    ("codestral-2", ("mistral", "mistralai", "codestral-2")),
    ("openai/gpt-oss-120b-maas", ("open", "openai", "gpt-oss-120b-maas")),
    ("publishers/qwen/models/qwen3", ("open", "qwen", "qwen3")),
    ("endpoints/9", ("gemini", "", "endpoints/9")),
])  # fmt: skip
def test_the_name_tells_the_way(model: str, expected: tuple[str, str, str]) -> None:
    """By its publisher, else by how it begins."""
    known = named(model)

    assert expected == (known.way, known.publisher, known.model)


@given(st.text(max_size=30))
def test_no_name_leaves_its_place_in_the_path(model: str) -> None:
    """Whatever a client calls a model, it is one segment behind its publisher's: it cannot name another project."""
    known = named(model)

    path = known.path.split("/")
    assert (len(path), path[0]) in ((4, "publishers"), (2, "endpoints"))
    assert not set("?#:;") & set(known.path)


@pytest.mark.parametrize(("location", "expected"), [
    ("global", "https://aiplatform.googleapis.com"),
    ("us", "https://aiplatform.us.rep.googleapis.com"),
    ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ("us-east5", "https://us-east5-aiplatform.googleapis.com"),
])  # fmt: skip
def test_each_location_has_its_host(location: str, expected: str) -> None:
    """As for Google's own SDK."""
    assert expected == host(location)


@pytest.mark.parametrize(("env", "options", "expected"), [
    ({"GOOGLE_CLOUD_PROJECT": "a"}, {}, ("a", "global", "https://aiplatform.googleapis.com")),
    ({"ANTHROPIC_VERTEX_PROJECT_ID": "a", "CLOUD_ML_REGION": "eu"}, {}, ("a", "eu", "https://aiplatform.eu.rep.googleapis.com")),
    ({"GOOGLE_CLOUD_PROJECT": "a", "GOOGLE_CLOUD_LOCATION": "us", "CLOUD_ML_REGION": "eu"}, {"project": "b"},
     ("b", "us", "https://aiplatform.us.rep.googleapis.com")),
    ({"GOOGLE_VERTEX_BASE_URL": "https://x.p.googleapis.com"}, {"location": "us"}, (None, "us", "https://x.p.googleapis.com")),
])  # fmt: skip
async def test_the_environment_fills_in(env: dict[str, str], options: dict[str, str], expected: tuple[Any, ...]) -> None:
    """What the configuration does not say, by the variables of both SDKs."""
    async with run_gateway({"backends": {"vertex": options}}, env) as running:
        made = running.gateway.backends["vertex"]

        assert isinstance(made, Vertex)
        assert expected == (made.project, made.location, made.base_url)


# ---- the project


async def test_the_credentials_may_name_the_project(cloud: Cloud) -> None:
    """A service account's file does."""
    cloud.vertex.project = "of-the-file"
    path = written(cloud.home / "sa.json", cloud.vertex.service_file())
    async with cloud.gateway({"GOOGLE_CLOUD_PROJECT": ""}, credentials_file=str(path)) as running:
        assert (200, ANSWER) == await asked(running, "chat", GEMINI, stream=False)


async def test_nothing_names_the_project(cloud: Cloud) -> None:
    """The message has the variable and the option."""
    async with cloud.gateway({"GOOGLE_CLOUD_PROJECT": ""}) as running:
        status, said = await asked(running, "chat", GEMINI, stream=False)

    assert 500 == status
    assert "Export GOOGLE_CLOUD_PROJECT, or set its `project`." in said


async def test_the_quota_project_is_sent(cloud: Cloud) -> None:
    """Where the login has one."""
    cloud.login(quota_project_id="pays")
    async with cloud.gateway() as running:
        await asked(running, "chat", GEMINI, stream=False)

    assert "pays" == cloud.sent().headers["x-goog-user-project"]


# ---- credentials


async def test_a_hundred_requests_at_an_expired_token(cloud: Cloud) -> None:
    """One of them refreshes it, and all are answered."""
    async with cloud.gateway() as running:
        await asked(running, "chat", GEMINI, stream=False)
        cloud.clock.now += LIFE
        got = await asyncio.gather(*(asked(running, "chat", GEMINI, stream=False) for _ in range(100)))

    assert {(200, ANSWER)} == set(got)
    assert 2 == len(cloud.vertex.asked("/token"))


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, OPEN])
async def test_a_token_that_is_refused_in_between(cloud: Cloud, model: str) -> None:
    """Is replaced, and the request asked again; the client sees nothing of it."""
    async with cloud.gateway() as running:
        await asked(running, "chat", model, stream=False)
        cloud.vertex.revoked.add("ya29.secret-1")
        got = await asyncio.gather(*(asked(running, "chat", model, stream=True) for _ in range(10)))

    assert {(200, ANSWER)} == set(got)
    assert 2 == len(cloud.vertex.asked("/token"))


async def test_an_account_that_is_always_refused(cloud: Cloud) -> None:
    """A fresh token does not help: the client hears what to run."""
    async with cloud.gateway() as running:
        for _ in range(3):
            cloud.vertex.fails(":generateContent", 401, google_error(401, "UNAUTHENTICATED", "Bad credentials."))
        status, said = await asked(running, "chat", GEMINI, stream=False)

    assert 401 == status
    assert f"Bad credentials. {LOGIN}" in said


async def test_a_login_that_has_ended(cloud: Cloud) -> None:
    """Is told with its command, from each front-end, and in the doctor's words."""
    cloud.vertex.refresh_token = "1//another"
    async with cloud.gateway() as running:
        got = [await asked(running, front, GEMINI, stream=False) for front in FRONTS]
        [state] = running.gateway.backends["vertex"].credentials

    assert all(status == 401 and LOGIN in said and "ya29" not in said and "1//" not in said for status, said in got)
    assert LOGIN in state.problem


async def test_nobody_is_logged_in(cloud: Cloud) -> None:
    """The gateway starts all the same, and says what to do when it is asked."""
    cloud.login().unlink()
    async with cloud.gateway() as running:
        status, said = await asked(running, "chat", GEMINI, stream=False)

    assert 401 == status and LOGIN in said


async def test_the_login_of_the_machine(cloud: Cloud) -> None:
    """In Google Cloud no file is needed, and the project is the machine's own."""
    cloud.login().unlink()
    cloud.vertex.project = "of-the-machine"
    async with cloud.gateway({"GOOGLE_CLOUD_PROJECT": ""}, metadata_url=cloud.vertex.url) as running:
        assert (200, ANSWER) == await asked(running, "chat", CLAUDE, stream=False)


@pytest.mark.parametrize(
    "url", ["http://eu-aiplatform.googleapis.com", "https://evil-googleapis.com", "https://googleapis.com.evil"]
)
async def test_a_token_is_not_shown_to_strangers(cloud: Cloud, url: str) -> None:
    """It opens a whole account; the option that allows it is named, and nothing is sent anywhere."""
    async with cloud.gateway(base_url=url, allow_insecure_origin=None) as running:
        status, said = await asked(running, "chat", GEMINI, stream=False)
        problems = list(running.gateway.backends["vertex"].problems())

    assert 500 == status and f"base_url {url} is another" in said and "allow_insecure_origin: true" in said
    assert any("allow_insecure_origin: true" in one for one in problems)
    assert [] == cloud.vertex.came


async def test_a_refresh_token_is_not_shown_to_strangers(cloud: Cloud) -> None:
    """The same of where tokens are asked for."""
    async with cloud.gateway(base_url=None, allow_insecure_origin=None) as running:
        status, said = await asked(running, "chat", GEMINI, stream=False)

    assert 500 == status and f"token_url {cloud.vertex.url.rpartition(':')[0]} is another" in said
    assert [] == cloud.vertex.came


@pytest.mark.parametrize(
    "url", ["https://eu-aiplatform.googleapis.com", "https://aiplatform.eu.rep.googleapis.com", "https://x.p.googleapis.com"]
)
def test_googles_own_origins(url: str) -> None:
    """Its hosts, and the private ones of a customer's network."""
    assert [] == list(Vertex(base_url=url).problems())


# ---- express mode


async def test_a_key_of_the_express_mode(cloud: Cloud) -> None:
    """Needs no project and no login; the key says both."""
    async with cloud.gateway({"GOOGLE_VERTEX_API_KEY": cloud.vertex.key}, allow_insecure_origin=None) as running:
        assert (200, ANSWER) == await asked(running, "chat", GEMINI, stream=True)

    assert "/v1/publishers/google/models/gemini-2.5-pro:streamGenerateContent" == cloud.sent().path
    assert [] == cloud.vertex.asked("/token")


async def test_a_bad_key(cloud: Cloud) -> None:
    """Google says 400 to it, and means 401; a client is told what the alternative is."""
    async with cloud.gateway({"GOOGLE_VERTEX_API_KEY": "AQ.wrong-key"}) as running:
        status, body = await running.post({"model": GEMINI, "messages": QUESTION})

    assert "invalid_api_key" == body["error"]["code"] and LOGIN in body["error"]["message"]
    assert 400 == status and "AQ.wrong" not in str(body)


@pytest.mark.parametrize("model", [CLAUDE, OPEN, MISTRAL])
async def test_the_express_mode_has_gemini_alone(cloud: Cloud, model: str) -> None:
    """The client hears what the deployment must do for the others."""
    async with cloud.gateway({"GOOGLE_VERTEX_API_KEY": cloud.vertex.key}) as running:
        status, said = await asked(running, "chat", model, stream=False)

    assert 500 == status and "serves Gemini alone" in said and "GOOGLE_VERTEX_API_KEY" in said
    assert [] == cloud.vertex.came


def test_what_people_hear_of_a_key() -> None:
    """Its variable, never itself."""
    assert "key from K" == Vertex(api_key=Secret("K", "AQ.1")).credential_state


# ---- lists of models


async def test_googles_own_list(cloud: Cloud) -> None:
    """Those that answer as Gemini does."""
    async with cloud.gateway() as running:
        _, body = await running.get("/v1/models")

    assert ["vertex:gemini-2.5-pro", "vertex:gemini-3-flash"] == [one["id"] for one in body["data"]]


async def test_the_deployments_list(cloud: Cloud) -> None:
    """Of any publisher; nobody is asked."""
    async with cloud.gateway(models=["claude-opus-5", "meta/llama-4"]) as running:
        _, body = await running.get("/v1/models")

    assert [("vertex:claude-opus-5", "anthropic"), ("vertex:meta/llama-4", "meta")] == [
        (one["id"], one["owned_by"]) for one in body["data"]
    ]
    assert [] == cloud.vertex.came


# ---- refusals

_LONG = "The input token count (1300000) exceeds the maximum number of tokens allowed (1048576)."
_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}


REFUSALS = [
    (403, google_error(403, "PERMISSION_DENIED", "Denied.", "IAM_PERMISSION_DENIED"), ("permission", "roles/aiplatform.user")),
    (403, google_error(403, "PERMISSION_DENIED", "Not used before.", "SERVICE_DISABLED"),
     ("permission", "gcloud services enable aiplatform.googleapis.com --project acme-1")),
    (403, google_error(403, "PERMISSION_DENIED", "No billing.", "BILLING_DISABLED"), ("billing", "Link a billing account")),
    (403, google_error(403, "PERMISSION_DENIED", "No.", "USER_PROJECT_DENIED"), ("permission", "set-quota-project acme-1")),
    (404, google_error(404, "NOT_FOUND", "Publisher Model `x` was not found."), ("model_not_found", "`location: global`")),
    (429, google_error(429, "RESOURCE_EXHAUSTED", "Resource exhausted."), ("rate_limited", "`location: global`")),
    (503, google_error(503, "UNAVAILABLE", "The model is overloaded."), ("overloaded", "The model is overloaded.")),
    (400, google_error(400, "INVALID_ARGUMENT", _LONG), ("context_length", _LONG)),
    (400, google_error(400, "INVALID_ARGUMENT", "Bad field."), ("invalid_request", "Bad field.")),
    (500, google_error(500, "INTERNAL", "Internal error."), ("upstream_error", "Internal error.")),
]  # fmt: skip
ENDS = {GEMINI: ":generateContent", CLAUDE: ":rawPredict", OPEN: "/chat/completions"}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("model", ENDS)
@pytest.mark.parametrize(("status", "error", "expected"), REFUSALS)
def test_what_google_means(model: str, listed: bool, status: int, error: dict[str, Any], expected: tuple[str, str]) -> None:
    """The kind is known whichever way was taken, in a list or bare."""
    dialect = Vertex().speaks(Request(dialect="openai.chat", model=model.removeprefix("vertex:")))

    told = dialect.read_error(status, {}, json.dumps([error] if listed else error).encode())

    assert (status, expected[0], error["error"]["message"]) == (told.status, told.kind, told.message)


@pytest.mark.parametrize(("status", "error", "expected"), REFUSALS)
async def test_what_google_refuses(cloud: Cloud, status: int, error: dict[str, Any], expected: tuple[str, str]) -> None:
    """The client has Google's own words, and behind them what to do."""
    cloud.vertex.fails(":generateContent", status, error)
    async with cloud.gateway() as running:
        got, body = await running.post({"model": GEMINI, "messages": QUESTION})

    assert status == got
    assert body["error"]["message"].startswith(error["error"]["message"]) and expected[1] in body["error"]["message"]


@pytest.mark.parametrize("model", ENDS)
async def test_how_long_to_wait(cloud: Cloud, model: str) -> None:
    """Google has it in the body; a client gets the header that its SDK looks for."""
    cloud.vertex.fails(ENDS[model], 429, google_error(429, "RESOURCE_EXHAUSTED", "Later.", None, _RETRY))
    question = {"model": model, "messages": QUESTION}
    async with cloud.gateway() as running, running.http.post(f"{running.url}/v1/chat/completions", json=question) as response:
        assert (429, "35") == (response.status, response.headers["retry-after"])


async def test_a_prompt_that_is_not_allowed(cloud: Cloud) -> None:
    """Google answers 200 to it, and says so in the reply."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 5}}
    cloud.vertex.fails(":generateContent", 200, blocked)
    async with cloud.gateway() as running:
        status, body = await running.post({"model": GEMINI, "messages": QUESTION})

    assert (200, "content_filter") == (status, body["choices"][0]["finish_reason"])


async def test_claudes_own_refusal(cloud: Cloud) -> None:
    """A client of Anthropic's gets it to the byte."""
    refusal = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    cloud.vertex.fails(":rawPredict", 529, refusal)
    async with cloud.gateway() as running:
        assert (529, refusal) == await anthropic(running)


async def test_a_page_instead_of_an_answer(cloud: Cloud) -> None:
    """As a load balancer sends it: its title is told."""
    cloud.vertex.fails(":rawPredict", 502, "<html><title>Error 502 (Server Error)!!1</title></html>")
    async with cloud.gateway() as running:
        status, said = await asked(running, "chat", CLAUDE, stream=False)

    assert 502 == status and "Error 502 (Server Error)!!1" in said


async def test_the_network_is_gone(cloud: Cloud) -> None:
    """There is a token, but nobody to show it to."""
    async with cloud.gateway(base_url="http://127.0.0.1:1") as running:
        status, said = await asked(running, "chat", GEMINI, stream=False)

    assert 503 == status and "cannot be reached" in said and "ya29" not in said
