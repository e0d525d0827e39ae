"""Code Assist with the Gemini CLI's login and with a Google Cloud project: envelope, account, login, and what is refused."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from llmgw import Request, Secret, Target, jsons
from llmgw.doctor import examined, printed
from llmgw.errors import Unsupported, UpstreamError
from llmgw.model import Loss
from llmgw.serve import where
from llmgw.stages import Head
from llmgw_dialects.google_codeassist import DIALECT as CODE_ASSIST
from llmgw_dialects.google_gemini import DIALECT as GEMINI
from llmgw_gemini_cli import GeminiCliPersonal, GeminiCliProject, assist
from llmgw_gemini_cli.advice import explained, linked
from llmgw_gemini_cli.assist import PAUSE
from llmgw_gemini_cli.dialect import Envelope
from llmgw_gemini_cli.login import GeminiLogin
from llmgw_gemini_cli.personal import MOMENT
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.gemini import ANSWER, LIFE, FakeCodeAssist, google_error, info, retry
from tests.backends.fronts import FRONTS, asked

PERSONAL = "gemini-cli-oauth-personal"
PROJECT = "gemini-cli-cloud-project"
BOTH = [PERSONAL, PROJECT]
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "What is the answer?"}]
CONTENTS = [{"role": "user", "parts": [{"text": "What is the answer?"}]}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"name": "weather", "description": "Of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}  # fmt: skip
CLIENT = {"GEMINI_CLI_CLIENT_ID": "id.apps.googleusercontent.com", "GEMINI_CLI_CLIENT_SECRET": "shh"}
GO_ON = "Run: gemini"
GCLOUD = "Run: gcloud auth application-default login"
KEYED = "GEMINI_API_KEY"


def question(backend: str = PERSONAL, **more: Any) -> dict[str, Any]:
    return {"model": f"{backend}:gemini-2.5-pro", "messages": QUESTION, **more}


@define(eq=False)
class Machine:
    """Somebody's machine, with logins of the Gemini CLI and of gcloud.

    Args:
        google: the servers.
        clock: the time.
        home: of the user.
        slept: seconds that the back-end waited for, which pass at once.
        meanwhile: what happens in them.
    """

    google: FakeCodeAssist
    clock: FakeClock
    home: Path
    slept: list[float] = field(factory=list)
    meanwhile: Callable[[], object] = lambda: None

    @property
    def file(self) -> Path:
        """The CLI's login."""
        return self.home / ".gemini/oauth_creds.json"

    @property
    def tree(self) -> Any:
        """What it holds."""
        return json.loads(self.file.read_text())

    def login(self, life: float = LIFE, **more: Any) -> str:
        """Log in with the CLI; the access token."""
        token = self.google.token(life)
        ends = round((self.clock.clock.time() + life) * 1000)
        tree = {"access_token": token, "refresh_token": "1//good", "token_type": "Bearer", "expiry_date": ends, **more}
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(tree))
        return token

    def gcloud(self, **more: Any) -> None:
        """Log in with gcloud."""
        told = dict(zip(("client_id", "client_secret"), self.google.client, strict=True))
        path = self.home / ".config/gcloud/application_default_credentials.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"type": "authorized_user", "refresh_token": "1//good", **told, **more}))

    async def sleep(self, seconds: float) -> None:
        """Wait; for anything but the back-end's own pauses until a test moves the clock."""
        if seconds not in (MOMENT, PAUSE):
            await self.clock.sleep(seconds)
        self.slept.append(seconds)
        self.meanwhile()

    def options(self, backend: str) -> dict[str, Any]:
        """Of a back-end."""
        url = self.google.url
        accepted = {"i_accept_vendor_terms": True} if backend == PERSONAL else {}
        return {"base_url": url, "token_url": f"{url}/token", "allow_insecure_origin": True, **accepted}

    @asynccontextmanager
    async def gateway(
        self, backend: str = PERSONAL, env: Mapping[str, str | None] | None = None, **more: Any
    ) -> AsyncIterator[RunningGateway]:
        """A gateway on this machine."""
        own = {"HOME": str(self.home), "NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "acme-1", **(env or {})}
        told = {name: value for name, value in own.items() if value is not None}
        async with run_gateway(
            {"backends": {backend: self.options(backend) | more}}, told, evolve(self.clock.clock, sleep=self.sleep)
        ) as running:
            yield running

    def sent(self) -> Any:
        """The body of the last request."""
        return self.google.came[-1].json

    def calls(self) -> list[str]:
        """The methods that were called."""
        return [one.path.rpartition(":")[2] for one in self.google.came]

    def grants(self) -> int:
        """How often a token was asked for."""
        return len(self.google.asked("/token"))


@pytest_asyncio.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    clock = FakeClock()
    async with FakeCodeAssist(now=clock.clock.time).running() as google:
        made = Machine(google, clock, tmp_path)
        made.login()
        made.gcloud()
        yield made


async def refusal(running: RunningGateway, backend: str = PERSONAL) -> tuple[int, str]:
    """Status and message of a refused question."""
    status, body = await running.post(question(backend))
    return status, body["error"]["message"]


# ---- requests


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("backend", BOTH)
async def test_every_front_end_is_answered(machine: Machine, backend: str, front: str, stream: bool) -> None:
    """In the envelope, and without it."""
    async with machine.gateway(backend) as running:
        assert (200, ANSWER) == await asked(running, front, f"{backend}:gemini-2.5-pro", stream=stream)

    sent = machine.sent()
    assert ("gemini-2.5-pro", "acme-1") == (sent["model"], sent["project"])
    assert "What is the answer?" == sent["request"]["contents"][-1]["parts"][0]["text"]
    assert "Be brief." == sent["request"]["systemInstruction"]["parts"][0]["text"]


@pytest.mark.parametrize("backend", BOTH)
async def test_nobody_is_imitated(machine: Machine, backend: str) -> None:
    """The user agent is this gateway's on every call, and Google is told no name of a client."""
    async with machine.gateway(backend) as running:
        await running.post(question(backend), user_agent="GeminiCLI/0.61.0", x_goog_api_client="gl-node/20")

    called = [one for one in machine.google.came if one.path != "/token"]
    assert ["loadCodeAssist", "generateContent"] == [one.path.rpartition(":")[2] for one in called]
    assert all(one.headers["user-agent"].startswith("llmgw/") for one in called)
    assert "PLUGIN_UNSPECIFIED" == called[0].json["metadata"]["pluginType"]


async def test_each_prompt_has_an_id_of_its_own(machine: Machine) -> None:
    """Google tells prompts by it."""
    async with machine.gateway() as running:
        await running.post(question())
        await running.post(question())

    ids = [one.json["user_prompt_id"] for one in machine.google.asked(":generateContent")]
    assert 2 == len(set(ids))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_and_answered(machine: Machine, stream: bool) -> None:
    """By a client of another dialect; the call goes back with Google's signature."""
    tools = [{"type": "function", "function": TOOL}]
    async with machine.gateway() as running:
        status, body = await running.post(question(tools=tools))
        said = body["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny"}
        model = f"{PERSONAL}:gemini-2.5-pro"
        again, text = await asked(running, "chat", model, stream=stream, messages=[*QUESTION, said, result], tools=tools)

    call = said["tool_calls"][0]["function"]
    assert (200, "weather", {"city": "Oslo"}) == (status, call["name"], json.loads(call["arguments"]))
    assert (200, ANSWER) == (again, text)
    assert "sunny" in machine.google.came[-1].body.decode()


async def test_a_picture_goes_along(machine: Machine) -> None:
    """As inline data."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    async with machine.gateway() as running:
        status, _ = await running.post(question(messages=[{"role": "user", "content": [picture]}]))

    part = machine.sent()["request"]["contents"][0]["parts"][0]
    assert (200, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}) == (status, part)


async def test_a_content_without_a_role_is_the_users(machine: Machine) -> None:
    """The Gemini API takes it so, Code Assist refuses it."""
    async with machine.gateway() as running:
        path = f"/v1beta/models/{PERSONAL}:gemini-2.5-pro:generateContent"
        status, _ = await running.post({"contents": [{"parts": [{"text": "Hi"}]}]}, path)

    assert (200, "user") == (status, machine.sent()["request"]["contents"][0]["role"])


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({"store": True}, "store"),
        ({"serviceTier": "flex"}, "serviceTier"),
        ({"generationConfig": {"temperature": 1.0, "enableEnhancedCivicAnswers": True}}, "generationConfig.enableEnhanced"),
        ({"toolConfig": {"includeServerSideToolInvocations": True}}, "toolConfig.includeServerSideToolInvocations"),
    ],
)
async def test_what_only_the_gemini_api_knows_is_left_out_and_told(machine: Machine, more: Any, lost: str) -> None:
    """In the header for losses, by the client's own path."""
    path = f"/v1beta/models/{PERSONAL}:gemini-2.5-pro:generateContent"
    body = {"contents": CONTENTS, **more}
    async with machine.gateway() as running, running.http.post(running.url + path, json=body) as response:
        told = " ".join(value for name, value in response.headers.items() if "loss" in name.lower())

    assert (200, True) == (response.status, lost in told)


@pytest.mark.parametrize(
    ("more", "where_"),
    [({"cachedContent": "cachedContents/1"}, "cachedContent"), ({"tools": [{"fileSearch": {}}]}, "tools[0].fileSearch")],
)
async def test_what_is_kept_at_the_gemini_api_is_refused(machine: Machine, more: Any, where_: str) -> None:
    """With the place in the client's own request: the answer would be another without it."""
    path = f"/v1beta/models/{PERSONAL}:gemini-2.5-pro:generateContent"
    async with machine.gateway() as running:
        status, body = await running.post({"contents": CONTENTS, **more}, path)

    assert (400, True) == (status, where_ in body["error"]["message"])
    assert "generateContent" not in machine.calls()


def written(request: Request) -> tuple[Any, list[Loss]]:
    """As it goes out."""
    losses: list[Loss] = []
    return jsons.loads(Envelope("acme-1").write_request(request, losses)), losses


TEXT = st.text(max_size=20)
PARTS = st.lists(st.fixed_dictionaries({"text": TEXT}), min_size=1, max_size=3)
TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "model"]), "parts": PARTS}), min_size=1, max_size=4)


@given(TURNS, st.one_of(st.none(), PARTS), st.booleans())
def test_a_request_of_googles_own_client_is_enclosed_as_it_is(turns: Any, system: Any, prefixed: bool) -> None:
    """Nothing is lost, and the model is named without its collection."""
    told = {"contents": turns, **({"systemInstruction": {"role": "user", "parts": system}} if system else {})}
    model = "models/gemini-2.5-pro" if prefixed else "gemini-2.5-pro"
    head = Head("POST", f"/v1beta/models/{model}:generateContent", {"model": model})
    body, losses = written(GEMINI.read_request(head, jsons.dumps(told)).with_model(model))

    assert ("gemini-2.5-pro", "acme-1", told, []) == (body["model"], body["project"], body["request"], losses)


def test_a_system_instruction_that_is_a_text_is_counted() -> None:
    """As Google's SDKs take one."""
    told = {"contents": CONTENTS, "systemInstruction": "Be brief."}
    head = Head("POST", "/v1beta/models/m:countTokens", {"model": "m"}, operation="count_tokens")
    body, losses = written(GEMINI.read_request(head, jsons.dumps(told)))

    assert [{"role": "user", "parts": [{"text": "Be brief."}]}, *CONTENTS] == body["request"]["contents"]
    assert ["systemInstruction"] == [loss.path for loss in losses]


@given(st.binary(max_size=200))
def test_any_body_of_an_error_is_read(body: bytes) -> None:
    """Whatever stands before the provider may answer in its place."""
    assert 502 == Envelope().read_error(502, {}, body).status
    explained(Envelope().read_error(403, {}, body), "", "")


@given(st.text(max_size=30))
def test_no_strange_link_is_shown(text: str) -> None:
    """Whatever an answer holds for one."""
    for url in (text, f"https://{text}", f"https://accounts.google.com.{text}/x", f"http://accounts.google.com/{text}"):
        if not re.match(r"https://([\w-]+\.)*google\.com([/?#:]|$)", url):
            assert "open https://accounts.google.com in" in linked(url)


def test_a_client_of_code_assists_own_dialect_is_put_into_our_project() -> None:
    """Its id of the prompt stays; its project is another account's."""
    told = {"model": "gemini-2.5-pro", "project": "theirs", "user_prompt_id": "p-1", "request": {"contents": CONTENTS}}
    request = CODE_ASSIST.read_request(Head("POST", "/v1internal:generateContent"), jsons.dumps(told))
    body, _ = written(request)

    assert {**told, "project": "acme-1"} == body


# ---- counting and listing


async def test_tokens_are_counted(machine: Machine) -> None:
    """By Google, which counts contents alone: what stands beside them is put before them, and the client is told."""
    body = {"model": f"{PERSONAL}:gemini-2.5-pro", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}
    async with machine.gateway() as running:
        url = running.url + "/v1/messages/count_tokens"
        async with running.http.post(url, json=body) as response:
            counted = await response.json()
            told = " ".join(value for name, value in response.headers.items() if "loss" in name.lower())

    assert "system" in told
    texts = [one["parts"][0]["text"] for one in machine.sent()["request"]["contents"]]
    assert (200, {"input_tokens": 11}, ["Be brief.", "Hi"]) == (response.status, counted, texts)
    assert "models/gemini-2.5-pro" == machine.sent()["request"]["model"]


async def test_tools_are_counted_too(machine: Machine) -> None:
    """As text, which is near to what Google makes of them."""
    tools = [{"functionDeclarations": [{"name": "weather"}]}]
    inner = {"model": "models/gemini-2.5-pro", "contents": CONTENTS, "tools": tools}
    async with machine.gateway() as running:
        path = f"/v1beta/models/{PERSONAL}:gemini-2.5-pro:countTokens"
        status, _ = await running.post({"generateContentRequest": inner}, path)

    texts = [one["parts"][0]["text"] for one in machine.sent()["request"]["contents"]]
    assert (200, [tools, "What is the answer?"]) == (status, [json.loads(texts[0]), texts[1]])


@pytest.mark.parametrize(
    ("quotas", "options", "expected"),
    [
        (["gemini-2.5-pro", "gemini-2.5-flash"], {}, ["gemini-2.5-pro", "gemini-2.5-flash"]),
        (None, {}, ["gemini-3.1-pro-preview", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"]),
        ([], {"models": ["gemini-x"]}, ["gemini-x"]),
    ],
)
async def test_its_models(machine: Machine, quotas: Any, options: Any, expected: list[str]) -> None:
    """Those of the account's quotas, each once; without quotas the usual ones; or what the deployment lists."""
    machine.google.models = quotas
    async with machine.gateway(**options) as running:
        _, listed = await running.get("/v1/models")

    assert [f"{PERSONAL}:{model}" for model in expected] == [one["id"] for one in listed["data"]]


# ---- the account


async def test_a_list_of_models_needs_a_login_that_is_good(machine: Machine) -> None:
    """So that the doctor does not say that all is well."""
    async with machine.gateway() as running:
        backend = running.gateway.backends[PERSONAL]
        await backend.models(running.gateway)
        machine.google.tokens = dict.fromkeys(machine.google.tokens, 0.0)
        with pytest.raises(UpstreamError, match=GO_ON):
            await backend.models(running.gateway)


async def test_the_project_is_asked_for_once(machine: Machine) -> None:
    """Also when many requests come at once."""
    async with machine.gateway() as running:
        answers = await asyncio.gather(*(running.post(question()) for _ in range(20)))

    assert {200} == {status for status, _ in answers}
    assert 1 == machine.calls().count("loadCodeAssist")


async def test_another_account_has_another_project(machine: Machine) -> None:
    """It is asked for when the CLI's login has become another one."""
    async with machine.gateway() as running:
        await running.post(question())
        machine.google.project = "acme-2"
        machine.login(refresh_token="1//another")
        status, _ = await running.post(question())

    assert (200, "acme-2", 2) == (status, machine.sent()["project"], machine.calls().count("loadCodeAssist"))


@pytest.mark.parametrize(("tier", "brought"), [("free-tier", None), ("standard-tier", "acme-1")])
async def test_a_new_account_is_onboarded(machine: Machine, tier: str, brought: str | None) -> None:
    """Into its default tier, which takes a while; the project of Google's own tier is Google's."""
    needs = tier != "free-tier"
    machine.google.tier = None
    machine.google.account = {"allowedTiers": [{"id": tier, "isDefault": True, "userDefinedCloudaicompanionProject": needs}]}
    async with machine.gateway() as running:
        status, _ = await running.post(question())

    assert (200, [5.0, 5.0]) == (status, machine.slept)
    assert brought == machine.google.asked(":onboardUser")[0].json.get("cloudaicompanionProject")
    assert 2 == len(machine.google.asked("/operations/onboard-1"))


async def test_an_onboarding_that_fails_says_why(machine: Machine) -> None:
    """In Google's words, with what works instead."""
    machine.google.tier, machine.google.polls = None, 0
    error = {"name": "o", "done": True, "error": {"code": 7, "message": "Not in your region"}}
    machine.google.fails(":onboardUser", 200, error)
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (403, True, True) == (status, "Not in your region" in told, KEYED in told)


async def test_an_onboarding_without_a_project_is_not_begun(machine: Machine) -> None:
    """Where no tier is offered but those that want one."""
    machine.google.tier, machine.google.account = None, {"allowedTiers": []}
    async with machine.gateway(env={"GOOGLE_CLOUD_PROJECT": None}) as running:
        status, told = await refusal(running)

    assert (500, True, ["loadCodeAssist"]) == (status, "Export GOOGLE_CLOUD_PROJECT" in told, machine.calls())


async def test_an_onboarding_that_never_ends_is_given_up(machine: Machine) -> None:
    """After five minutes."""
    machine.google.tier, machine.google.polls = None, 1000
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (504, True, 300.0) == (status, "Ask again later" in told, sum(machine.slept))


async def test_an_account_without_a_project_is_told_to_name_one(machine: Machine) -> None:
    """A licence is for a project, which nobody but the user knows."""
    machine.google.account = {"cloudaicompanionProject": None}
    async with machine.gateway(env={"GOOGLE_CLOUD_PROJECT": None}) as running:
        status, told = await refusal(running)

    assert (500, True) == (status, "Export GOOGLE_CLOUD_PROJECT" in told)


@pytest.mark.parametrize("variable", ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID"])
async def test_the_project_of_the_environment_is_told(machine: Machine, variable: str) -> None:
    """Under either name, and used where Google names none."""
    machine.google.account = {"cloudaicompanionProject": None}
    async with machine.gateway(env={"GOOGLE_CLOUD_PROJECT": None, variable: "acme-1"}) as running:
        status, _ = await running.post(question())

    assert 200 == status
    assert "acme-1" == machine.google.came[0].json["cloudaicompanionProject"]


async def test_within_vpc_service_controls_the_account_need_not_be_known(machine: Machine) -> None:
    """It may not ask for its tier, and is in the standard one."""
    machine.google.fails(":loadCodeAssist", 403, google_error(403, "PERMISSION_DENIED", "No.", info("SECURITY_POLICY_VIOLATED")))
    async with machine.gateway() as running:
        status, _ = await running.post(question())

    assert (200, "acme-1") == (status, machine.sent()["project"])


UNSUPPORTED = {"reasonCode": "UNSUPPORTED_CLIENT", "reasonMessage": "This client is no longer supported.", "tierId": "free-tier"}


@pytest.mark.parametrize("tier", [None, "free-tier"])
async def test_an_individuals_account_is_served_no_longer(machine: Machine, tier: str | None) -> None:
    """One clear error with what works instead; Google is not asked again for the same login."""
    machine.google.tier, machine.google.account = tier, {"ineligibleTiers": [UNSUPPORTED]}
    async with machine.gateway() as running:
        status, body = await running.post(question())
        again, _ = await refusal(running)
        state = running.gateway.backends[PERSONAL].credentials[0]

    assert (403, "backend_discontinued", 403) == (status, body["error"]["code"], again)
    assert KEYED in body["error"]["message"] and "vertex" in body["error"]["message"]
    assert ["loadCodeAssist"] == machine.calls()
    assert "18 June 2026" in state.problem


async def test_an_account_that_is_shut_out_later_is_not_asked_for_again(machine: Machine) -> None:
    """Google may say so in answer to a question, too."""
    shut = google_error(403, "PERMISSION_DENIED", "No longer.", info("UNSUPPORTED_CLIENT"))
    async with machine.gateway() as running:
        await running.post(question())
        machine.google.fails(":generateContent", 403, shut)
        statuses = [(await running.post(question()))[0] for _ in range(3)]

    assert ([403, 403, 403], 2) == (statuses, machine.calls().count("generateContent"))


async def test_after_another_login_google_is_asked_again(machine: Machine) -> None:
    """The account with a licence may be another one."""
    machine.google.tier, machine.google.account = None, {"ineligibleTiers": [UNSUPPORTED]}
    async with machine.gateway() as running:
        before, _ = await running.post(question())
        machine.google.tier, machine.google.account = "standard-tier", {}
        machine.login(refresh_token="1//licensed")
        after, _ = await running.post(question())

    assert (403, 200) == (before, after)


async def test_a_licensed_account_may_be_told_what_it_cannot_have(machine: Machine) -> None:
    """That the free tier is not for it is no refusal."""
    machine.google.account = {"ineligibleTiers": [UNSUPPORTED]}
    async with machine.gateway() as running:
        status, _ = await running.post(question())

    assert 200 == status


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://accounts.google.com/verify?x=1", "verify?x=1"), ("https://evil.example/verify", "https://accounts.google.com ")],
)
async def test_an_account_that_must_be_verified(machine: Machine, url: str, shown: str) -> None:
    """The link is shown if it is Google's own; afterwards it works without a restart."""
    why = {"reasonCode": "VALIDATION_REQUIRED", "reasonMessage": "Verify.", "validationUrl": url}
    machine.google.tier, machine.google.account = None, {"ineligibleTiers": [why]}
    async with machine.gateway() as running:
        status, told = await refusal(running)
        machine.google.tier, machine.google.account = "standard-tier", {}
        after, _ = await running.post(question())

    assert (403, True, False, 200) == (status, shown in told, "evil" in told, after)


async def test_an_account_that_is_not_served_for_another_reason(machine: Machine) -> None:
    """Google's own words, and what works instead."""
    why = {"reasonCode": "RESTRICTED_AGE", "reasonMessage": "You must be of age."}
    machine.google.tier, machine.google.account = None, {"ineligibleTiers": [why], "allowedTiers": []}
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (403, True, True) == (status, "You must be of age." in told, KEYED in told)


# ---- the CLI's login


async def test_the_login_is_read_and_never_written(machine: Machine) -> None:
    """Unless somebody says so, and not even when it has ended."""
    machine.login(life=-10)
    before = machine.file.read_bytes()
    async with machine.gateway(env=CLIENT) as running:
        status, told = await refusal(running)

    assert (401, True, before, 0) == (status, GO_ON in told, machine.file.read_bytes(), machine.grants())


async def test_expiry_is_in_milliseconds(machine: Machine) -> None:
    """A token is good until its very end where nobody may refresh it, and not a second longer."""
    machine.login(life=100)
    async with machine.gateway() as running:
        await machine.clock.advance(99, step=99)
        good, _ = await running.post(question())
        await machine.clock.advance(1)
        ended, told = await refusal(running)

    assert (200, 401) == (good, ended)
    assert "has ended on 2023-11-14 22:31 UTC" in told


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_milliseconds_become_seconds(ends: int) -> None:
    """Of any date."""
    login = GeminiLogin("http://h", None, Secret("S"))
    known = login.tokens({"access_token": "a", "expiry_date": ends})
    assert known is not None and ends / 1000 == known.expires_at


async def test_a_login_that_the_cli_renews_is_taken_up(machine: Machine) -> None:
    """Without a restart."""
    machine.login(life=-10)
    async with machine.gateway() as running:
        before, _ = await running.post(question())
        machine.login()
        after, _ = await running.post(question())

    assert (401, 200) == (before, after)


async def test_a_hundred_requests_refresh_once(machine: Machine) -> None:
    """And all of them are answered with the fresh token."""
    machine.login(life=-10)
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        answers = await asyncio.gather(*(running.post(question()) for _ in range(100)))

    assert ({200}, 1) == ({status for status, _ in answers}, machine.grants())
    tokens = {one.headers["authorization"] for one in machine.google.asked(":generateContent")}
    assert {"Bearer ya29.secret-3"} == tokens  # of two logins before it


@pytest.mark.parametrize(("left", "expected"), [(299, 1), (302, 0)])
async def test_it_is_refreshed_five_minutes_before_its_end(machine: Machine, left: int, expected: int) -> None:
    """As the CLI does, while the old one is still good."""
    machine.login(life=left)
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        status, _ = await running.post(question())

    assert (200, expected) == (status, machine.grants())


async def test_the_file_keeps_what_it_held(machine: Machine) -> None:
    """Unknown fields and the refresh token, which answers do not repeat; nobody but the user may read it."""
    machine.login(life=-10, id_token="old", unknown={"kept": True})
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        await running.post(question())

    ends = round((machine.clock.clock.time() + LIFE) * 1000)
    expected = {"access_token": "ya29.secret-3", "refresh_token": "1//good", "token_type": "Bearer", "expiry_date": ends,
                "id_token": "e.y.j", "unknown": {"kept": True}, "scope": "s"}  # fmt: skip
    assert (expected, 0o600) == (machine.tree, stat.S_IMODE(machine.file.stat().st_mode))


async def test_a_token_that_is_refused_is_refreshed_at_once(machine: Machine) -> None:
    """Although it should have been good for long; the client notices nothing."""
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        await running.post(question())
        machine.google.tokens[machine.tree["access_token"]] = 0.0
        status, _ = await running.post(question())

    assert (200, 1) == (status, machine.grants())


async def test_a_refused_token_is_not_tried_for_ever(machine: Machine) -> None:
    """Where the login is only read, the client is told what to run."""
    machine.google.tokens[machine.tree["access_token"]] = 0.0
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (401, True, ["loadCodeAssist"]) == (status, GO_ON in told, machine.calls())


async def test_somebody_else_may_log_in_while_a_token_is_asked_for(machine: Machine) -> None:
    """The refusal of the old login is then of no matter."""
    machine.login(life=-10, refresh_token="1//revoked")
    machine.google.before_grant.append(lambda: machine.login() and None)
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        status, _ = await running.post(question())

    assert (200, "1//good", 1) == (status, machine.tree["refresh_token"], machine.grants())


async def test_a_revoked_login_is_not_tried_again(machine: Machine) -> None:
    """Until the file changes; the client is told what to run, and no token."""
    machine.login(life=-10, refresh_token="1//revoked")
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        status, told = await refusal(running)
        again, _ = await refusal(running)
        asked_before = machine.grants()
        machine.login(life=-10)
        after, _ = await running.post(question())

    assert (401, 401, 1, 200) == (status, again, asked_before, after)
    assert GO_ON in told and "1//revoked" not in told


async def test_a_token_server_that_is_down_does_no_harm(machine: Machine) -> None:
    """As long as the old token is good."""
    machine.login(life=200)
    machine.google.fails("/token", 503, {"error": "unavailable"})
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        status, _ = await running.post(question())

    assert 200 == status


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "there is none"), ("{}", "Nobody is logged in"), ('{"access_token": ', "is corrupt"), ("[]", "is corrupt")],
)
async def test_a_login_that_cannot_be_used(machine: Machine, content: str | None, expected: str) -> None:
    """Says what is wrong with it, and what to run."""
    machine.file.unlink() if content is None else machine.file.write_text(content)
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (401, True, True) == (status, expected in told, GO_ON in told)


async def test_a_file_that_is_being_written_is_read_again(machine: Machine) -> None:
    """The CLI writes into it in place, so that a reader may see half of it."""
    whole = machine.file.read_text()
    machine.file.write_text(whole[:30])
    machine.meanwhile = lambda: machine.file.write_text(whole)
    async with machine.gateway() as running:
        status, _ = await running.post(question())

    assert (200, [0.05]) == (status, machine.slept)


async def test_a_login_in_the_keychain_is_told_as_such(machine: Machine) -> None:
    """The CLI deletes the file then."""
    machine.file.unlink()
    async with machine.gateway(env={"GEMINI_FORCE_ENCRYPTED_FILE_STORAGE": "true"}) as running:
        _, told = await refusal(running)

    assert "unset GEMINI_FORCE_ENCRYPTED_FILE_STORAGE" in told


@pytest.mark.parametrize("how", ["home", "option"])
async def test_where_the_file_is(machine: Machine, tmp_path: Path, how: str) -> None:
    """Below GEMINI_CLI_HOME, or where the deployment says."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".gemini").mkdir(parents=True)
    moved = machine.file.rename(elsewhere / ".gemini/oauth_creds.json")
    env: dict[str, str | None] = {"GEMINI_CLI_HOME": str(elsewhere)} if how == "home" else {}
    options = {"credentials_file": str(moved)} if how == "option" else {}
    async with machine.gateway(env=env, **options) as running:
        status, _ = await running.post(question())

    assert 200 == status


@pytest.mark.parametrize(
    ("switch", "options", "expected"),
    [
        ("true", {}, "ya29.secret-2"),
        (None, {}, "ya29.secret-1"),
        (None, {"source": "env"}, "ya29.secret-2"),
        ("true", {"source": "follow"}, "ya29.secret-1"),
        (None, {"access_token": "env:GOOGLE_CLOUD_ACCESS_TOKEN_2"}, "ya29.secret-2"),
    ],
)
async def test_a_token_in_the_environment(machine: Machine, switch: str | None, options: Any, expected: str) -> None:
    """Counts where the CLI would take it, too, or where the deployment says so."""
    token = machine.google.token()
    env = {"GOOGLE_CLOUD_ACCESS_TOKEN": token, "GOOGLE_CLOUD_ACCESS_TOKEN_2": token, "GOOGLE_GENAI_USE_GCA": switch}
    async with machine.gateway(env=env, **options) as running:
        status, _ = await running.post(question())

    assert (200, f"Bearer {expected}") == (status, machine.google.came[-1].headers["authorization"])


async def test_a_token_that_is_wanted_and_not_there(machine: Machine) -> None:
    """Is told as such; the file is not taken instead."""
    async with machine.gateway(source="env") as running:
        status, told = await refusal(running)

    assert (500, True, []) == (status, "GOOGLE_CLOUD_ACCESS_TOKEN is not set" in told, machine.google.came)


async def test_refreshing_needs_the_clis_client(machine: Machine) -> None:
    """Which is not ours to bring; until it is told, the login is only read."""
    async with machine.gateway(refresh=True) as running:
        problems = list(running.gateway.backends[PERSONAL].problems())
        told = running.gateway.backends[PERSONAL].credential_state

    assert "export GEMINI_CLI_CLIENT_ID and GEMINI_CLI_CLIENT_SECRET" in " ".join(problems)
    assert told.endswith("follow")


# ---- terms and secrets


async def test_it_is_off_until_the_terms_are_accepted(machine: Machine) -> None:
    """The login is shown to nobody, and the switch is named."""
    async with machine.gateway(i_accept_vendor_terms=False) as running:
        status, told = await refusal(running)
        problems = list(running.gateway.backends[PERSONAL].problems())

    assert (500, []) == (status, machine.google.came)
    assert "i_accept_vendor_terms: true" in told and "i_accept_vendor_terms: true" in problems[0]
    assert KEYED in told


async def test_the_terms_are_told_and_only_this_machine_is_served(machine: Machine) -> None:
    """The personal login is one person's."""
    async with machine.gateway() as running:
        backend = running.gateway.backends[PERSONAL]
        listening = where(running.gateway, open_to_all=True)

    assert ("127.0.0.1", True) == (listening.host, backend.loopback_only)
    assert any("terms forbid" in notice for notice in backend.notices)


@pytest.mark.parametrize("backend", BOTH)
async def test_the_login_is_shown_to_google_alone(machine: Machine, backend: str) -> None:
    """Unless somebody says that the other one is his own."""
    async with machine.gateway(backend, allow_insecure_origin=False) as running:
        status, told = await refusal(running, backend)

    assert (500, True, []) == (status, "allow_insecure_origin: true" in told, machine.google.came)


@pytest.mark.parametrize("backend", BOTH)
async def test_no_refresh_token_goes_to_a_strange_token_server(machine: Machine, backend: str) -> None:
    """Not even where the API is Google's own."""
    options = {"allow_insecure_origin": False, "base_url": "https://cloudcode-pa.googleapis.com"}
    more = {"refresh": True} if backend == PERSONAL else {}
    async with machine.gateway(backend, env=CLIENT, **options, **more) as running:
        status, told = await refusal(running, backend)

    assert (500, True, []) == (status, "https://oauth2.googleapis.com only" in told, machine.google.came)


async def test_no_secret_is_logged_or_shown(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens: refreshed, revoked, refused."""
    caplog.set_level(logging.DEBUG)
    machine.login(life=-10)
    async with machine.gateway(env=CLIENT, refresh=True) as running:
        await running.post(question())
        machine.google.fails(":generateContent", 403, google_error(403, "PERMISSION_DENIED", "No."))
        await running.post(question())
        machine.login(life=-10, refresh_token="1//revoked")
        _, told = await refusal(running)
        shown = repr(running.gateway.backends[PERSONAL]) + repr(running.gateway.backends[PERSONAL].credentials)

    everything = caplog.text + told + shown
    assert [] == [one for one in ("ya29.", "1//", "shh") if one in everything]


# ---- refusals

SPENT = google_error(429, "RESOURCE_EXHAUSTED", "Exhausted.", info("QUOTA_EXHAUSTED", quotaResetDelay="2h3m4s"))
REFUSALS: list[tuple[int, Any, int, str | None, str, float | None]] = [
    (429, google_error(429, "RESOURCE_EXHAUSTED", "Slow.", info("RATE_LIMIT_EXCEEDED"), retry("7.5s")), 429,
     "rate_limit_exceeded", "Slow.", 8),
    (429, google_error(429, "RESOURCE_EXHAUSTED", "Slow.", info("RATE_LIMIT_EXCEEDED"), retry("4000s")), 429,
     "insufficient_quota", "used up", 4000),
    (429, SPENT, 429, "insufficient_quota", KEYED, 7384),
    (429, google_error(429, "RESOURCE_EXHAUSTED", "Full.", info("MODEL_CAPACITY_EXHAUSTED")), 429,
     "server_is_overloaded", "no room", None),
    (429, google_error(429, "RESOURCE_EXHAUSTED", "Low.", info("INSUFFICIENT_G1_CREDITS_BALANCE")), 429,
     "insufficient_quota", "credits are used up", None),
    (403, google_error(403, "PERMISSION_DENIED", "No.", info("SERVICE_DISABLED")), 403, None,
     "gcloud services enable cloudaicompanion.googleapis.com --project acme-1", None),
    (403, google_error(403, "PERMISSION_DENIED", "No."), 403, None, "licence", None),
    (403, google_error(403, "PERMISSION_DENIED", "No.", info("UNSUPPORTED_CLIENT")), 403, "backend_discontinued",
     KEYED, None),
    (400, google_error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens (8)."), 400,
     "context_length_exceeded", "exceeds", None),
    (404, google_error(404, "NOT_FOUND", "Requested entity was not found."), 404, "model_not_found", "llmgw doctor", None),
    (503, google_error(503, "UNAVAILABLE", "Overloaded."), 503, "server_is_overloaded", "Overloaded.", None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected", "code", "words", "wait"), REFUSALS)
async def test_refusals(
    machine: Machine, status: int, body: Any, expected: int, code: str | None, words: str, wait: float | None
) -> None:
    """Each is classed, and says what to do."""
    async with machine.gateway() as running:
        await running.post(question())
        machine.google.fails(":generateContent", status, body)
        async with running.http.post(running.url + "/v1/chat/completions", json=question()) as response:
            error = (await response.json())["error"]

    assert (expected, True) == (response.status, words in error["message"])
    assert code is None or code == error["code"]
    assert wait == (float(response.headers["retry-after"]) if "retry-after" in response.headers else None)


async def test_a_link_in_a_refusal_is_shown(machine: Machine) -> None:
    """By which an account is verified."""
    help_ = {"@type": "Help", "links": [{"description": "Learn", "url": "https://evil.example/x"},
                                        {"description": "Verify", "url": "https://accounts.google.com/v"}]}  # fmt: skip
    machine.google.fails(
        ":loadCodeAssist", 403, google_error(403, "PERMISSION_DENIED", "No.", info("VALIDATION_REQUIRED"), help_)
    )
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (403, True, False) == (status, "https://accounts.google.com/v" in told, "evil" in told)


async def test_an_error_with_a_comma_too_many_is_read(machine: Machine) -> None:
    """Code Assist sends such, and calls it JSON."""
    broken = json.dumps(google_error(429, "RESOURCE_EXHAUSTED", "Slow, very slow.", info("RATE_LIMIT_EXCEEDED"), retry("7s")))
    body = broken.replace('", "', '",, "').encode()
    error = Envelope().read_error(429, {"content-type": "application/json"}, body)

    assert ("rate_limited", 7.0, "Slow, very slow.") == (error.kind, error.retry_after, error.message)


async def test_a_prompt_that_google_blocks(machine: Machine) -> None:
    """Is no empty answer."""
    machine.google.fails(":generateContent", 200, {"response": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}})
    async with machine.gateway() as running:
        status, body = await running.post(question())

    assert (200, "content_filter") == (status, body["choices"][0]["finish_reason"])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_nobody_is_there(machine: Machine, when: str) -> None:
    """Whether or not the account was known before."""
    async with machine.gateway() as running:
        if when == "after":
            await running.post(question())
        backend = running.gateway.backends[PERSONAL]
        assert isinstance(backend, GeminiCliPersonal)
        backend.base_url = "http://127.0.0.1:9"
        status, told = await refusal(running)

    assert (503, True) == (status, "cannot be reached" in told)


async def test_an_account_is_not_waited_for_too_long(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts a connection and says nothing."""
    monkeypatch.setattr(assist, "_PATIENCE", 0.05)
    machine.google.account = {"slow": True}
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (504, True) == (status, "gave no answer" in told)


async def test_what_answers_is_no_code_assist(machine: Machine) -> None:
    """A page of HTML with a 200 is told as such."""
    machine.google.fails(":loadCodeAssist", 200, "<html></html>")
    async with machine.gateway() as running:
        status, told = await refusal(running)

    assert (502, True) == (status, "Check its base_url" in told)


# ---- a project of Google Cloud


async def test_the_quota_project_is_told(machine: Machine) -> None:
    """As gcloud has it in its file."""
    machine.gcloud(quota_project_id="pays")
    async with machine.gateway(PROJECT) as running:
        status, _ = await running.post(question(PROJECT))

    assert (200, "pays") == (status, machine.google.came[-1].headers["x-goog-user-project"])


async def test_one_token_serves_many_requests(machine: Machine) -> None:
    """And one question for the project."""
    async with machine.gateway(PROJECT) as running:
        answers = await asyncio.gather(*(running.post(question(PROJECT)) for _ in range(20)))

    assert {200} == {status for status, _ in answers}
    assert (1, 1) == (machine.grants(), machine.calls().count("loadCodeAssist"))


async def test_a_refused_token_of_gclouds_is_replaced(machine: Machine) -> None:
    """Once, and the client notices nothing."""
    async with machine.gateway(PROJECT) as running:
        await running.post(question(PROJECT))
        machine.google.tokens = dict.fromkeys(machine.google.tokens, 0.0)
        status, _ = await running.post(question(PROJECT))

    assert (200, 2) == (status, machine.grants())


async def test_without_gclouds_login(machine: Machine) -> None:
    """The command to run is told."""
    (machine.home / ".config/gcloud/application_default_credentials.json").unlink()
    async with machine.gateway(PROJECT) as running:
        status, told = await refusal(running, PROJECT)

    assert (401, True) == (status, GCLOUD in told)


async def test_without_a_licence_vertex_is_named(machine: Machine) -> None:
    """Which takes the same credentials."""
    machine.google.fails(":loadCodeAssist", 403, google_error(403, "PERMISSION_DENIED", "No."))
    async with machine.gateway(PROJECT) as running:
        status, told = await refusal(running, PROJECT)

    assert (403, True) == (status, "the back-end 'vertex'" in told)


def test_a_projects_number_is_no_id() -> None:
    """Google would only say that there is no such project."""
    backend = GeminiCliProject(project="123456789012")
    assert ["the project must be an id, not a number like 123456789012; run: gcloud projects list"] == list(backend.problems())


@pytest.mark.parametrize("backend", BOTH)
async def test_the_doctor_says_that_all_is_well(machine: Machine, backend: str) -> None:
    """And how many models there are."""
    async with machine.gateway(backend) as running:
        gateway = running.server.gateway.build(running.gateway.config, machine.clock.clock)
        findings = [finding async for finding in examined(gateway, [backend])]

    assert [] == list(findings[0].problems)
    assert "yes, 2 models" in printed(findings[0])


@pytest.mark.parametrize("name", ["cachedContent", "cached_content"])
def test_both_spellings_are_refused(name: str) -> None:
    """Google reads both."""
    head = Head("POST", "/v1beta/models/m:generateContent", {"model": "m"})
    request = GEMINI.read_request(head, jsons.dumps({"contents": CONTENTS, name: "c"}))
    with pytest.raises(Unsupported, match=name):
        written(request)


def test_the_target_of_a_stream() -> None:
    """Code Assist streams events and nothing else."""
    backend = GeminiCliPersonal()
    request = Request(dialect="google.gemini", model="m", stream=True, headers={":framing": "array"})
    expected = "https://cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse"
    assert expected == backend.url(Target(PERSONAL, "m"), request)
