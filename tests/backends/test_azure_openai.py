"""Azure OpenAI and Foundry: both ways to name a deployment, both of OpenAI's APIs and Anthropic's, a key or Entra ID."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import ConfigError, CredentialUnusable
from llmgw.secret import Secret
from llmgw.stages import Target
from llmgw_azure_openai import AzureOpenAI
from llmgw_azure_openai.places import foundry, is_azure, openai_path, root
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.azure import CLIENT, FILTERED, KEY, SECRET, TENANT, FakeAzure
from tests.backends.fronts import FRONTS, asked
from tests.toys import Toybox

KEYED = {"AZURE_OPENAI_API_KEY": KEY}
PRINCIPAL = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
GPT, CLAUDE = "azure-openai:gpt-5-mini", "azure-openai:claude-sonnet-4-5"
ENTRA: Mapping[str, Any] = {"entra": True, "allow_insecure_origin": True}


@asynccontextmanager
async def azure(
    env: Mapping[str, str] = KEYED, clock: FakeClock | None = None, **options: Any
) -> AsyncIterator[tuple[FakeAzure, RunningGateway]]:
    """A resource, and a gateway before it."""
    time = clock or FakeClock()
    async with FakeAzure(now=time.clock.time).running() as vendor:
        made = {"base_url": vendor.url, "token_url": vendor.url + "/{tenant}/oauth2/v2.0/token", **options}
        async with run_gateway({"backends": {"azure-openai": made}}, env, time.clock) as running:
            yield vendor, running


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("options", [{}, {"api": "chat"}, {"api": "responses"}, {"api_version": "2024-10-21"}])
async def test_a_question_to_a_deployment(front: str, stream: bool, options: dict[str, str]) -> None:
    """Each client gets the answer, by either API of OpenAI's, and by URLs of the older kind."""
    async with azure(**options) as (vendor, running):
        said = await asked(running, front, GPT, stream=stream)
    assert (200, vendor.says) == said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_a_question_to_claude(front: str, stream: bool) -> None:
    """Claude is asked by Anthropic's API, with the key in its header and a version, whoever the client is."""
    async with azure() as (vendor, running):
        said = await asked(running, front, CLAUDE, stream=stream)
    [came] = vendor.came
    assert ((200, vendor.says), "/anthropic/v1/messages") == (said, came.path)


@pytest.mark.parametrize(
    ("front", "options", "expected"),
    [
        ("chat", {}, "/openai/v1/chat/completions"),
        ("responses", {}, "/openai/v1/responses"),
        ("anthropic", {}, "/openai/v1/responses"),
        ("anthropic", {"api": "chat"}, "/openai/v1/chat/completions"),
        ("chat", {"api": "responses"}, "/openai/v1/responses"),
        ("responses", {"api_version": "2024-10-21"}, "/openai/deployments/gpt-5-mini/chat/completions"),
        ("chat", {"api_version": "2025-04-01-preview", "api": "responses"}, "/openai/responses"),
    ],
)
async def test_where_a_question_goes(front: str, options: dict[str, str], expected: str) -> None:
    """The API is the client's own where it is one of the two; the older API is Chat Completions unless told."""
    async with azure(**options) as (vendor, running):
        await asked(running, front, GPT, stream=False)
    [came] = vendor.came
    version = options.get("api_version")
    assert (expected, {"api-version": version} if version else {}) == (came.path, came.query)


async def test_a_client_of_claude_names_its_version_itself() -> None:
    """What it sends as a header stands."""
    body = FRONTS["anthropic"].body(CLAUDE, False)
    async with azure() as (vendor, running):
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-management-2025-06-27"}
        async with running.http.post(running.url + "/v1/messages", json=body, headers=headers) as response:
            assert 200 == response.status
    [came] = vendor.came
    assert headers == {name: came.headers[name] for name in headers}


async def test_only_claude_is_told_a_version_of_anthropics() -> None:
    """Azure passes on few headers of those it does not know."""
    async with azure() as (vendor, running):
        await asked(running, "anthropic", GPT, stream=False)
    assert [] == [name for name in vendor.came[0].headers if name.startswith("anthropic")]


async def test_a_deployment_by_another_name() -> None:
    """The configuration says what is behind a name, which decides how it is asked."""
    async with azure(deployments={"opus": "claude-opus-4-5", "fast": "gpt-5-mini"}) as (vendor, running):
        await asked(running, "chat", "azure-openai:opus", stream=False)
        await asked(running, "chat", "azure-openai:fast", stream=False)
    assert ["/anthropic/v1/messages", "/openai/v1/chat/completions"] == [one.path for one in vendor.came]


def test_what_is_known_of_the_model_behind_a_deployment() -> None:
    """Its name is looked up, not the deployment's."""
    made = AzureOpenAI(deployments={"fast": "gpt-4.1-mini"})
    assert 32768 == made.profile_of(made.dialect, "fast").max_output


async def test_the_first_chunk_has_no_choice() -> None:
    """Azure's verdict on the prompt comes first; a client of Chat gets it as it came, others nothing of it."""
    async with azure() as (_, running):
        body = FRONTS["chat"].body(GPT, True)
        async with running.http.post(running.url + "/v1/chat/completions", json=body) as response:
            first, second, *_ = (await response.read()).split(b"\n\n")
    assert [[], "assistant"] == [
        json.loads(first.removeprefix(b"data: "))["choices"],
        json.loads(second.removeprefix(b"data: "))["choices"][0]["delta"]["role"],
    ]


async def test_tools_and_pictures() -> None:
    """A client of Anthropic's asks a deployment of OpenAI's with a tool and a picture."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    content = [picture, {"type": "text", "text": "What is this?"}]
    tool = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
    async with azure(api="chat") as (vendor, running):
        messages = [{"role": "user", "content": content}]
        status, _ = await asked(running, "anthropic", GPT, stream=False, messages=messages, tools=[tool])
    tree = vendor.came[0].json
    [image] = [part for part in tree["messages"][-1]["content"] if part["type"] == "image_url"]
    assert (200, "look", True) == (
        status,
        tree["tools"][0]["function"]["name"],
        image["image_url"]["url"].startswith("data:image/png;base64,"),
    )


# ---- counting, lists ----------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "expected"), [(CLAUDE, ["/anthropic/v1/messages/count_tokens"]), (GPT, [])])
async def test_counting(model: str, expected: list[str]) -> None:
    """Claude's API counts; for other models it is estimated, and Azure not asked."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello there"}]}
    async with azure() as (vendor, running), running.http.post(running.url + "/v1/messages/count_tokens", json=body) as response:
        tree = await response.json()
    assert expected == [one.path for one in vendor.came]
    assert (tree["input_tokens"] == 17) is bool(expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["azure-openai:gpt-5-mini"]),
        ({"api_version": "2024-10-21"}, ["azure-openai:gpt-5-mini"]),
        ({"deployments": {"fast": "gpt-5-mini"}}, ["azure-openai:fast"]),
    ],
)
async def test_models(options: dict[str, Any], expected: list[str]) -> None:
    """The deployments that are configured, else those of Azure's models that chat."""
    async with azure(**options) as (_, running):
        _, body = await running.get("/v1/models")
    assert expected == [one["id"] for one in body["data"]]


# ---- failures -----------------------------------------------------------------------------------

LIMIT = "Requests to the ChatCompletions Operation have exceeded token rate limit. Please retry after 24 seconds."


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (401, {"error": {"code": "401", "message": "Access denied"}}, {}, (401, "base_url names", None)),
        (403, {"error": {"code": "PermissionDenied", "message": "The principal lacks it"}}, {}, (403, "OpenAI User", None)),
        (429, {"error": {"code": "429", "message": LIMIT}}, {}, (429, "retry after 24 seconds", "24")),
        (429, {"error": {"code": "429", "message": "Slow down"}}, {"retry-after-ms": "1500"}, (429, "Slow down", "2")),
        (429, {"error": {"code": "insufficient_quota", "message": "No quota"}}, {}, (402, "No quota", None)),
        (503, {"error": {"code": "503", "message": "Busy"}}, {"retry-after": "7"}, (529, "Busy", "7")),
        (400, {"error": {"code": "context_length_exceeded", "message": "Too long"}}, {}, (400, "prompt is too long", None)),
        (400, FILTERED, {}, (400, "violence (medium)", None)),
        (404, {"error": {"code": "DeploymentNotFound", "message": "It does not exist."}}, {}, (404, "Deployments", None)),
        (400, {"error": {"code": "BadRequest", "message": "API version not supported"}}, {}, (400, "api_version", None)),
    ],
)
async def test_refusals(status: int, body: Any, headers: dict[str, str], expected: tuple[int, str, str | None]) -> None:
    """A client of another dialect hears what happened, what to do, and when to come back."""
    async with azure(api="chat") as (vendor, running):
        vendor.fails("/chat/completions", status, body, headers)
        question = FRONTS["anthropic"].body(GPT, False)
        async with running.http.post(running.url + "/v1/messages", json=question) as response:
            told = await response.json()
            wait = response.headers.get("retry-after")
    assert (expected[0], expected[2]) == (response.status, wait)
    assert expected[1] in told["error"]["message"]


async def test_a_client_of_the_same_dialect_gets_azures_own_words() -> None:
    """Body and status as they came."""
    async with azure() as (vendor, running):
        vendor.fails("/chat/completions", 400, FILTERED)
        status, body = await running.post(FRONTS["chat"].body(GPT, False))
    assert (400, FILTERED) == (status, body)


async def test_a_deployment_that_is_not_there() -> None:
    """It is told how models are called on Azure."""
    async with azure() as (_, running):
        status, told = await asked(running, "gemini", "azure-openai:gpt-9", stream=False)
    assert 404 == status and "name of its deployment" in told


async def test_the_network_is_gone() -> None:
    """It is told which back-end cannot be reached."""
    async with run_gateway({"backends": {"azure-openai": {"base_url": "http://127.0.0.1:9"}}}, KEYED) as running:
        status, told = await asked(running, "chat", GPT, stream=False)
    assert 503 == status and "'azure-openai'" in told and "cannot be reached" in told


async def test_claude_shortens_no_histories() -> None:
    """What only Responses does is refused with the field that chose another."""
    body = {"model": CLAUDE, "input": "Hi"}
    async with azure() as (vendor, running), running.http.post(running.url + "/v1/responses/compact", json=body) as response:
        told = await response.json()
    assert (400, "model", []) == (response.status, told["error"]["param"], vendor.came)


# ---- keys ---------------------------------------------------------------------------------------


async def test_a_wrong_key_is_not_in_the_message() -> None:
    """What is refused is told without being shown."""
    async with azure({"AZURE_OPENAI_API_KEY": "0123456789abcdef"}) as (_, running):
        status, told = await asked(running, "anthropic", GPT, stream=False)
    assert 401 == status and "0123456789abcdef" not in told


async def test_without_a_key_it_is_told_what_to_set(toybox: Toybox) -> None:
    """At Microsoft's own address nobody gets in without."""
    gateway = toybox.gateway(env={})
    [made] = AzureOpenAI(base_url="https://r.openai.azure.com").backends(gateway) or ()
    [state] = made.credentials
    assert "Export AZURE_OPENAI_API_KEY" in state.problem


def test_without_a_resource_the_gateway_does_not_start(toybox: Toybox) -> None:
    """It is told which variable is missing, and where to say it instead."""
    with pytest.raises(ConfigError, match=r"AZURE_OPENAI_ENDPOINT is not set.* @ backends\.azure-openai\.base_url"):
        AzureOpenAI().backends(toybox.gateway(env={}))


# ---- where --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"}, "https://r.openai.azure.com"),
        ({"AZURE_OPENAI_ENDPOINT": "https://r.services.ai.azure.com/openai/v1"}, "https://r.services.ai.azure.com"),
        ({"AZURE_RESOURCE_NAME": "r"}, "https://r.openai.azure.com"),
    ],
)
def test_the_environment_names_the_resource(toybox: Toybox, env: dict[str, str], expected: str) -> None:
    """By its URL, with or without what is copied along, or by its name; Claude is at Foundry's address of the same."""
    [made] = AzureOpenAI().backends(toybox.gateway(env=env)) or ()
    assert isinstance(made, AzureOpenAI)
    assert (expected, "https://r.services.ai.azure.com/anthropic") == (made.base_url, made.anthropic_url)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "https://r.services.ai.azure.com/anthropic"),
        ({"ANTHROPIC_FOUNDRY_RESOURCE": "s"}, "https://s.services.ai.azure.com/anthropic"),
        (
            {"ANTHROPIC_FOUNDRY_BASE_URL": "https://t.services.ai.azure.com/anthropic/"},
            "https://t.services.ai.azure.com/anthropic",
        ),
    ],
)
def test_where_claude_is(env: dict[str, str], expected: str) -> None:
    """At the resource, unless Anthropic's own variables name another."""
    assert expected == foundry("https://r.openai.azure.com", env)


@given(st.sampled_from(["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/", "/anthropic", "/anthropic/v1/"]))
def test_what_is_copied_along_means_nothing(tail: str) -> None:
    """Every form of a resource's URL is the same resource."""
    assert "https://r.openai.azure.com" == root("https://r.openai.azure.com" + tail)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://r.openai.azure.com", True),
        ("https://r.services.ai.azure.com/anthropic", True),
        ("https://r.openai.azure.us", True),
        ("http://r.openai.azure.com", False),
        ("https://r.openai.azure.com.evil.example", False),
        ("https://evilopenai.azure.com", False),
        ("https://[x", False),
    ],
)
def test_whose_address_it_is(url: str, expected: bool) -> None:
    """Only over TLS, and only behind a dot is it Microsoft's."""
    assert expected is is_azure(url)


def test_a_deployment_is_one_step_of_a_path() -> None:
    """Whatever it is called."""
    assert "/openai/deployments/a%2Fb%20c/chat/completions?api-version=v" == openai_path("/chat/completions", "a/b c", "v")


# ---- Entra ID -----------------------------------------------------------------------------------


async def test_a_token_counts_more_than_a_key() -> None:
    """As in OpenAI's SDK."""
    async with FakeAzure().running() as vendor:
        token = vendor.issue()
        config = {"backends": {"azure-openai": {"base_url": vendor.url, "allow_insecure_origin": True}}}
        async with run_gateway(config, {**KEYED, "AZURE_OPENAI_AD_TOKEN": token}) as running:
            said = await asked(running, "chat", GPT, stream=False)
            claude = await asked(running, "chat", CLAUDE, stream=False)
    assert [(200, vendor.says)] * 2 == [said, claude]


@pytest.mark.parametrize("options", [{"ad_token": Secret("AZURE_OPENAI_AD_TOKEN", "t")}, {"entra": True}])
@pytest.mark.parametrize("url", ["http://r.openai.azure.com", "https://elsewhere.example"])
async def test_no_token_for_strangers(toybox: Toybox, url: str, options: dict[str, Any]) -> None:
    """A token of Entra ID is shown to Microsoft alone; `doctor` tells it too."""
    gateway = toybox.gateway(env=PRINCIPAL)
    [made] = AzureOpenAI(base_url=url, client_secret=Secret("AZURE_CLIENT_SECRET", SECRET), **options).backends(gateway) or ()
    assert isinstance(made, AzureOpenAI)
    with pytest.raises(CredentialUnusable, match="allow_insecure_origin"):
        await made.authorization(gateway, Target("azure-openai", "gpt-5-mini"))
    assert "allow_insecure_origin" in made.credentials[0].problem


async def test_a_service_principal_is_granted_one_token_for_many_questions() -> None:
    """A hundred who ask at once cause one grant; when it has ended they cause one more."""
    clock = FakeClock()
    async with azure(PRINCIPAL, clock, **ENTRA) as (vendor, running):
        for _ in range(2):
            said = await asyncio.gather(*(asked(running, "chat", GPT, stream=False) for _ in range(50)))
            assert {(200, vendor.says)} == set(said)
            clock.now += 3600
    assert 2 == len(vendor.asked("/token"))


@pytest.mark.parametrize(("later", "grants"), [(3500, 1), (3541, 2), (3601, 2)])
async def test_a_token_is_renewed_before_it_ends(later: float, grants: int) -> None:
    """A minute before, in the seconds of the grant's ``expires_in``."""
    clock = FakeClock()
    async with azure(PRINCIPAL, clock, **ENTRA) as (vendor, running):
        await asked(running, "chat", GPT, stream=False)
        clock.now += later
        assert (200, vendor.says) == await asked(running, "chat", GPT, stream=False)
    assert grants == len(vendor.asked("/token"))


async def test_a_token_that_azure_refuses_is_renewed_once() -> None:
    """It was revoked: another is granted, and the question asked again."""
    async with azure(PRINCIPAL, **ENTRA) as (vendor, running):
        await asked(running, "chat", GPT, stream=False)
        vendor.tokens.clear()
        assert (200, vendor.says) == await asked(running, "chat", GPT, stream=True)
    assert (2, 3) == (len(vendor.asked("/token")), len(vendor.asked("/chat/completions")))


async def test_a_refusal_without_end_ends() -> None:
    """A tenant whose tokens Azure never takes is not asked forever."""
    async with azure(PRINCIPAL, **ENTRA) as (vendor, running):
        vendor.lifetime = -1  # each token has ended when it comes
        status, told = await asked(running, "chat", GPT, stream=False)
    assert 401 == status and 3 >= len(vendor.asked("/chat/completions"))
    assert all(token not in told for token in vendor.tokens)


async def test_a_secret_that_is_refused() -> None:
    """It is told which command makes a new one, and the secret is not shown."""
    async with azure({**PRINCIPAL, "AZURE_CLIENT_SECRET": "Wrong~secret"}, **ENTRA) as (vendor, running):
        status, told = await asked(running, "chat", GPT, stream=False)
    assert 401 == status and f"az ad app credential reset --id {CLIENT}" in told and "Wrong~secret" not in told
    assert [] == vendor.asked("/chat/completions")


@pytest.mark.parametrize(("later", "expected"), [(3580, 200), (3700, 401)])
async def test_a_token_server_that_fails_for_a_while(later: float, expected: int) -> None:
    """The token that is known is used to its end; behind it the client is told to come back."""
    clock = FakeClock()
    async with azure(PRINCIPAL, clock, **ENTRA) as (vendor, running):
        await asked(running, "chat", GPT, stream=False)
        clock.now += later
        vendor.fails("/token", 503, {"error": "temporarily_unavailable"})
        status, told = await asked(running, "chat", GPT, stream=False)
    assert expected == status
    assert expected == 200 or "Ask again later" in told


class Az:
    """A command ``az`` that prints what a file holds, and notes what it was asked."""

    def __init__(self, folder: Path, *, ends: str = "exit 0") -> None:
        self.folder = folder
        script = folder / "az"
        script.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/calls"\ncat "{folder}/prints"\necho oops-secret >&2\n{ends}\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.env = {"PATH": f"{folder}:/usr/bin:/bin"}

    def prints(self, tree: Any) -> None:
        """What it says next."""
        (self.folder / "prints").write_text(tree if isinstance(tree, str) else json.dumps(tree))

    @property
    def calls(self) -> list[str]:
        """What it was asked."""
        return (self.folder / "calls").read_text().splitlines()


@pytest.mark.parametrize("told", [True, False])
async def test_the_command_az_is_asked_for_a_token(tmp_path: Path, told: bool) -> None:
    """Once until it ends, which the command says in Unix seconds, or an older one leaves to the token."""
    clock, az = FakeClock(), Az(tmp_path)
    async with azure(az.env, clock, **ENTRA) as (vendor, running):
        for _ in range(2):
            printed = {"accessToken": vendor.issue(), "expiresOn": "2099-01-01 00:00:00.000000", "tokenType": "Bearer"}
            az.prints(printed | ({"expires_on": int(vendor.now()) + 3600} if told else {}))
            said = await asyncio.gather(*(asked(running, "chat", GPT, stream=False) for _ in range(10)))
            assert {(200, vendor.says)} == set(said)
            clock.now += 3600
    words = "account get-access-token --resource https://cognitiveservices.azure.com --output json"
    assert [words] * 2 == az.calls


@pytest.mark.parametrize(
    ("printed", "ends", "expected"),
    [
        ("{}", "exit 0", "printed no token"),
        ("not JSON", "exit 0", "printed no token"),
        ("{}", "exit 1", "ended with the code 1"),
    ],
)
async def test_nobody_is_logged_in_at_az(tmp_path: Path, printed: str, ends: str, expected: str) -> None:
    """It is told what to run, and nothing of what the command said on standard error."""
    az = Az(tmp_path, ends=ends)
    az.prints(printed)
    async with azure(az.env, **ENTRA) as (_, running):
        status, told = await asked(running, "chat", GPT, stream=False)
    assert 401 == status and expected in told and "Run: az login" in told and "oops-secret" not in told


async def test_az_has_no_other_token_than_the_refused_one(tmp_path: Path) -> None:
    """It is asked once more, and then the refusal is the client's."""
    az = Az(tmp_path)
    async with azure(az.env, **ENTRA) as (vendor, running):
        az.prints({"accessToken": "stale", "expires_on": int(vendor.now()) + 3600})
        status, _ = await asked(running, "chat", GPT, stream=False)
    assert (401, 2, 1) == (status, len(az.calls), len(vendor.asked("/chat/completions")))


async def test_there_is_no_az(tmp_path: Path) -> None:
    """Both ways to log in are told."""
    async with azure({"PATH": str(tmp_path)}, **ENTRA) as (_, running):
        status, told = await asked(running, "chat", GPT, stream=False)
        [state] = running.server.gateway.backends["azure-openai"].credentials
    assert 401 == status and "no 'az' on PATH" in told
    assert "AZURE_CLIENT_SECRET" in state.problem


async def test_nothing_shows_a_secret(toybox: Toybox) -> None:
    """Not the repr of the back-end, nor what is told of its credentials."""
    gateway = toybox.gateway(env=PRINCIPAL)
    made = AzureOpenAI(base_url="https://r.openai.azure.com", entra=True, client_secret=Secret("AZURE_CLIENT_SECRET", SECRET))
    made.backends(gateway)
    assert SECRET not in repr(made) + repr(made.credentials) + repr(made.__dict__ if hasattr(made, "__dict__") else "")
