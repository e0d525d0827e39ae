from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import ConfigError
from llmgw.secret import Secret
from llmgw.serve import where
from llmgw_dialects.losses import Losses
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from llmgw_zai import Zai, ZaiCodingPlan
from llmgw_zai.dialect import ZAI
from llmgw_zai.fitting import fitted, nearest
from llmgw_zai.models import EFFORTS, efforts, version
from llmgw_zai.refusals import explained
from tests.backends.fakes.zai import KEY, PLAN_KEY, FakeZai, claude, said
from tests.backends.fronts import FRONTS, asked

CHAT = "/chat/completions"
MODEL = "zai:glm-5.2"
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}},
}
SCHEMA = {"type": "object", "properties": {"zebra": {"type": "number"}}, "required": ["zebra"]}
PAID = "'zai'"


@frozen
class Vendor:
    """Z.ai, and gateways before it."""

    zai: FakeZai
    clock: FakeClock

    def gateway(self, env: Mapping[str, str] | None = None, **options: Any) -> AbstractAsyncContextManager[RunningGateway]:
        """One that has the key of pay per use."""
        return self._gateway("zai", "paas", {"ZAI_API_KEY": KEY} if env is None else env, options)

    def plan(self, **options: Any) -> AbstractAsyncContextManager[RunningGateway]:
        """One that has the plan's."""
        return self._gateway(
            "zai-coding-plan",
            "coding/paas",
            {"ZAI_API_KEY": PLAN_KEY},
            {"i_accept_vendor_terms": True, "allow_insecure_origin": True} | options,
        )

    def _gateway(
        self, name: str, product: str, env: Mapping[str, str], options: dict[str, Any]
    ) -> AbstractAsyncContextManager[RunningGateway]:
        api = f"{self.zai.url}/api"
        urls = {"base_url": f"{api}/{product}/v4", "messages_url": f"{api}/anthropic", "responses_url": f"{api}/v1"}
        return run_gateway({"backends": {name: urls | options}}, env, self.clock.clock)

    @property
    def sent(self) -> Any:
        """The body of the last request."""
        return self.zai.came[-1].json


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with FakeZai().running() as zai:
        yield Vendor(zai, FakeClock())


async def lost(running: RunningGateway, body: dict[str, Any]) -> tuple[int, str]:
    """The status, and what the client is told of losses."""
    async with running.http.post(f"{running.url}/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status, " ".join(value for name, value in answer.headers.items() if "llmgw-loss" in name.lower())


# ---- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("front", "path"),
    [("chat", "/paas/v4/chat/completions"), ("anthropic", "/anthropic/v1/messages"), ("responses", "/v1/responses"),
     ("gemini", "/paas/v4/chat/completions")],
)  # fmt: skip
async def test_every_front_is_answered(vendor: Vendor, front: str, path: str, stream: bool) -> None:
    """In the client's own dialect where there is an endpoint for it, else in Chat Completions."""
    async with vendor.gateway() as running:
        assert (200, "Forty-two") == await asked(running, front, MODEL, stream=stream)
    assert [f"/api{path}"] == [one.path for one in vendor.zai.came]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(("api", "path"), [("chat", CHAT), ("messages", "/v1/messages"), ("responses", "/v1/responses")])
async def test_one_api_for_all(vendor: Vendor, front: str, api: str, path: str) -> None:
    """Where the deployment says which, all clients' requests go there."""
    async with vendor.gateway(api=api) as running:
        assert (200, "Forty-two") == await asked(running, front, MODEL, stream=True)
    assert vendor.zai.came[0].path.endswith(path)


async def test_nobody_is_imitated(vendor: Vendor) -> None:
    """The user agent is the gateway's; no header of another vendor reaches Chat Completions."""
    async with vendor.gateway() as running:
        await running.post(QUESTION, user_agent="claude-cli/2")
    headers = vendor.zai.came[0].headers
    assert headers["user-agent"].startswith("llmgw/") and "anthropic-version" not in headers


async def test_a_request_that_fits_is_copied(vendor: Vendor) -> None:
    """Z.ai's own fields too."""
    own = {"thinking": {"type": "disabled"}, "do_sample": False, "request_id": "r-123456", "temperature": 0.5, "max_tokens": 9}
    async with vendor.gateway() as running:
        assert 200 == (await running.post(QUESTION | own))[0]
    assert QUESTION | own | {"model": "glm-5.2"} == vendor.sent


@pytest.mark.parametrize(
    ("given", "expected", "told"),
    [
        ({"max_completion_tokens": 7}, {"max_tokens": 7}, ""),
        ({"temperature": 0}, {"temperature": 0.01, "do_sample": False}, ""),
        ({"temperature": 1.5}, {"temperature": 0.99}, "temperature"),
        ({"top_p": 1}, {"top_p": 0.99}, "top_p"),
        ({"stop": "."}, {"stop": ["."]}, ""),
        ({"stop": [".", "!"]}, {"stop": ["."]}, "stop"),
        ({"user": "somebody"}, {"user_id": "somebody"}, ""),
        ({"user": "me"}, {}, "end_user"),
        ({"seed": 4}, {}, "seed"),
        ({"frequency_penalty": 0.5}, {}, "frequency_penalty"),
        ({"frequency_penalty": 0, "n": 1, "store": False, "parallel_tool_calls": True}, {}, ""),
    ],
)
async def test_openai_s_fields(vendor: Vendor, given: dict[str, Any], expected: dict[str, Any], told: str) -> None:
    """Are said as Z.ai takes them; what it does not know is left out, and the client told."""
    async with vendor.gateway() as running:
        status, losses = await lost(running, QUESTION | given)
    rest = {name: value for name, value in vendor.sent.items() if name not in ("model", "messages")}
    assert (200, expected, True) == (status, rest, told in losses and bool(told) == bool(losses))


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("glm-5.2", "xhigh", {"reasoning_effort": "xhigh"}),
        ("glm-5.2", "none", {"thinking": {"type": "disabled"}}),
        ("glm-5.3", "medium", {"reasoning_effort": "high"}),
        ("glm-5.3", "none", {"reasoning_effort": "low"}),
        ("glm-4.7", "low", {"thinking": {"type": "enabled"}}),
        ("glm-4.7", "none", {"thinking": {"type": "disabled"}}),
        ("glm-4-32b-0414-128k", "high", {}),
    ],
)
async def test_effort(vendor: Vendor, model: str, effort: str, expected: dict[str, Any]) -> None:
    """As it is where the model knows it, else the nearest, else the switch."""
    async with vendor.gateway() as running:
        assert 200 == (await running.post(QUESTION | {"model": f"zai:{model}", "reasoning_effort": effort}))[0]
    assert expected == {name: vendor.sent[name] for name in ("thinking", "reasoning_effort") if name in vendor.sent}


async def test_thoughts_of_other_dialects(vendor: Vendor) -> None:
    """A budget of Anthropic's becomes the switch, and the thoughts come back as that client knows them."""
    vendor.zai.thinks = "Let me see."
    body = {"model": "zai:glm-4.7", "max_tokens": 4000, "messages": QUESTION["messages"],
            "thinking": {"type": "enabled", "budget_tokens": 2000}}  # fmt: skip
    async with vendor.gateway(api="chat") as running:
        status, answer = await running.post(body, "/v1/messages")
    assert (200, {"type": "enabled"}) == (status, vendor.sent["thinking"])
    assert ["Let me see.", "Forty-two"] == [block.get("thinking", block.get("text")) for block in answer["content"]]


async def test_thoughts_are_kept(vendor: Vendor) -> None:
    """Those that a client sends back would be thrown away unless the server is told not to."""
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "Greet."},
        {"role": "user", "content": "And?"},
    ]
    async with vendor.gateway() as running:
        assert 200 == (await running.post(QUESTION | {"messages": history}))[0]
    assert ({"type": "enabled", "clear_thinking": False}, history) == (vendor.sent["thinking"], vendor.sent["messages"])


@pytest.mark.parametrize("front", ["chat", "responses"])
async def test_a_schema_is_asked_for_in_words(vendor: Vendor, front: str) -> None:
    """Z.ai holds an answer to being JSON, and is told the schema; the client hears of it."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    more = (
        {"response_format": form}
        if front == "chat"
        else {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}
    )
    async with vendor.gateway(api="chat") as running:
        one = FRONTS[front]
        async with running.http.post(running.url + one.path(MODEL, False), json=one.body(MODEL, False) | more) as answer:
            assert 200 == answer.status
            assert any("response_format" in value for name, value in answer.headers.items() if "llmgw-loss" in name.lower())
    assert {"type": "json_object"} == vendor.sent["response_format"]
    assert "zebra" in json.dumps(vendor.sent["messages"][-1])


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
async def test_a_forced_tool_is_asked_for_in_words(vendor: Vendor, choice: Any) -> None:
    """Z.ai lets the model choose; it is told what it must do, and so is the client."""
    async with vendor.gateway() as running:
        status, losses = await lost(running, QUESTION | {"tools": [TOOL], "tool_choice": choice})
    assert (200, True) == (status, "tool_choice" in losses)
    assert vendor.sent.get("tool_choice", "auto") == "auto" and "must call" in json.dumps(vendor.sent["messages"])


async def test_no_tool_may_be_called(vendor: Vendor) -> None:
    """What is not there cannot be."""
    vendor.zai.calls = ('{"a": 1}',)
    async with vendor.gateway() as running:
        status, answer = await running.post(QUESTION | {"tools": [TOOL], "tool_choice": "none"})
    assert (200, "Forty-two", False) == (status, answer["choices"][0]["message"]["content"], "tools" in vendor.sent)


@pytest.mark.parametrize("front", ["chat", "anthropic"])
async def test_calls_come_in_pieces(vendor: Vendor, front: str) -> None:
    """Arguments are streamed when Z.ai is asked to."""
    vendor.zai.calls = ('{"a"', ": 1", "}")
    tools = [TOOL] if front == "chat" else [{"name": "add", "input_schema": TOOL["function"]["parameters"]}]  # type: ignore[index]
    one = FRONTS[front]
    async with vendor.gateway(api="chat") as running:
        body = one.body(MODEL, True) | {"tools": tools}
        async with running.http.post(running.url + one.path(MODEL, True), json=body) as answer:
            told = await answer.text()
    assert vendor.sent["tool_stream"] is True and '"add"' in told and told.count(": 1") >= 1


async def test_a_picture(vendor: Vendor) -> None:
    """Reaches a model that sees, from a client of another dialect."""
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]}]
    async with vendor.gateway(api="chat") as running:
        status, _ = await running.post({"model": "zai:glm-4.5v", "max_tokens": 9, "messages": messages}, "/v1/messages")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert (200, picture) == (status, vendor.sent["messages"][0]["content"][0])


async def test_a_tools_result(vendor: Vendor) -> None:
    """The second turn of a client of another dialect: the call and what came of it."""
    history = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "2"}]},
    ]
    tools = [{"name": "add", "input_schema": TOOL["function"]["parameters"]}]  # type: ignore[index]
    async with vendor.gateway(api="chat") as running:
        status, _ = await running.post(QUESTION | {"max_tokens": 9, "messages": history, "tools": tools}, "/v1/messages")
    assert (200, ["user", "assistant", "tool"]) == (status, [one["role"] for one in vendor.sent["messages"]])
    assert "call_1" == vendor.sent["messages"][1]["tool_calls"][0]["id"] == vendor.sent["messages"][2]["tool_call_id"]


async def test_several_answers_are_refused(vendor: Vendor) -> None:
    """Before anything is sent, by the client's name for it."""
    async with vendor.gateway() as running:
        status, body = await running.post(QUESTION | {"n": 2})
    assert (400, "n", []) == (status, body["error"]["param"], vendor.zai.came)


async def test_a_developers_words(vendor: Vendor) -> None:
    """Are the system's there."""
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "x"}]
    async with vendor.gateway() as running:
        assert 200 == (await running.post(QUESTION | {"messages": messages}))[0]
    assert [{"role": "system", "content": "Be brief."}, messages[1]] == vendor.sent["messages"]


@given(st.sampled_from(["glm-5.3", "glm-5.2", "glm-4.7", "glm-4-plus", "other"]), st.fixed_dictionaries({}, optional={
    "temperature": st.floats(-1, 3), "top_p": st.floats(-1, 3), "reasoning_effort": st.sampled_from([*EFFORTS, "mega"]),
    "stop": st.lists(st.text(max_size=3)), "max_completion_tokens": st.integers(1, 9), "user": st.text(max_size=200),
    "thinking": st.fixed_dictionaries({"type": st.sampled_from(["enabled", "disabled", "adaptive"])}),
    "tool_choice": st.sampled_from(["none", "auto"]), "metadata": st.just({"a": "b"}),
}))  # fmt: skip
def test_fitting_again_changes_nothing(model: str, body: dict[str, Any]) -> None:
    """Whatever was asked, what comes out of it is as Z.ai takes it."""
    once = _done(body, model)
    assert once == _done(once, model)
    assert all(0 < once[name] < 1 for name in ("temperature", "top_p") if name in once)


def _done(body: dict[str, Any], model: str) -> dict[str, Any]:
    changes, drop = fitted(body, model, Losses("openai.chat"))
    return {name: value for name, value in body.items() if name not in drop} | changes


@given(st.sampled_from([*EFFORTS, "mega"]))
def test_the_nearest_effort(effort: str) -> None:
    """Is one that the model knows, and itself where it knows it."""
    for model in ("glm-5.2", "glm-5.3"):
        known = efforts(model)
        assert nearest(effort, known) == effort if effort in known else nearest(effort, known) in known


@pytest.mark.parametrize(
    ("model", "expected"), [("glm-5.3-flash", (5, 3)), ("z-ai/GLM-4.7", (4, 7)), ("glm-5-turbo", (5, 0)), ("x", (0, 0))]
)
def test_versions(model: str, expected: tuple[int, int]) -> None:
    """Of a model, by its name."""
    assert expected == version(model)


# ---- where, and with which key ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Zai(), ("https://api.z.ai/api/paas/v4", "https://api.z.ai/api/anthropic", "https://api.z.ai/api/v1")),
        (Zai(region="china"), ("https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/anthropic", "")),
        (Zai(base_url="http://h/v4"), ("http://h/v4", "", "")),
        (ZaiCodingPlan(), ("https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/anthropic", "https://api.z.ai/api/v1")),
        (ZaiCodingPlan(region="china"),
         ("https://open.bigmodel.cn/api/coding/paas/v4", "https://open.bigmodel.cn/api/anthropic", "")),
    ],
)  # fmt: skip
def test_regions(made: Zai, expected: tuple[str, str, str]) -> None:
    """A region's endpoints; a URL of one's own is not mixed with the vendor's."""
    assert expected == (made.base_url, made.messages_url, made.responses_url)
    assert made.needs_key == made.base_url.startswith("https://")


async def test_a_region_that_is_none() -> None:
    """Is a mistake in the configuration, and told as one."""
    with pytest.raises(ConfigError, match="region"):
        async with run_gateway({"backends": {"zai": {"region": "mars"}}}, {"ZAI_API_KEY": "k"}):
            pytest.fail("it must not serve")


async def test_an_api_that_is_not_there() -> None:
    """Is told at the start."""
    with pytest.raises(ConfigError, match=r"no endpoint for `api: responses`.*@ backends.zai.api"):
        async with run_gateway({"backends": {"zai": {"region": "china", "api": "responses"}}}, {"ZAI_API_KEY": "k"}):
            pytest.fail("it must not serve")


@pytest.mark.parametrize(
    ("region", "env", "expected"),
    [
        ("international", {"ZAI_API_KEY": "a", "ZHIPU_API_KEY": "b"}, "key from ZAI_API_KEY"),
        ("international", {"ZHIPU_API_KEY": "b"}, "key from ZHIPU_API_KEY"),
        ("china", {"ZAI_API_KEY": "a", "ZHIPU_API_KEY": "b"}, "key from ZHIPU_API_KEY"),
        ("china", {"ZAI_API_KEY": "a", "ZAI_API_KEY_2": "b"}, "key from ZAI_API_KEY, key from ZAI_API_KEY_2"),
    ],
)
async def test_which_variable(region: str, env: dict[str, str], expected: str) -> None:
    """The region's own name counts first; further keys are numbered."""
    async with run_gateway({"backends": {"zai": {"region": region}}}, env) as running:
        assert expected == running.gateway.backends["zai"].credential_state


async def test_no_key(vendor: Vendor) -> None:
    """At Z.ai's own URL the variable is named, and nothing is sent."""
    async with vendor.gateway({}, base_url="https://api.z.ai/api/paas/v4") as running:
        status, body = await running.post(QUESTION)
    assert (500, []) == (status, vendor.zai.came) and "ZAI_API_KEY is not set" in body["error"]["message"]


# ---- models -------------------------------------------------------------------------------------


async def test_models(vendor: Vendor) -> None:
    """Z.ai's list; those known here where there is none; the deployment's before both."""
    async with vendor.gateway() as running:
        assert "zai:glm-4.5v" in await listed(running)
    vendor.zai.lists = False
    async with vendor.gateway() as running:
        assert "zai:glm-5.3-flash" in await listed(running)
    async with vendor.gateway(models=["glm-x"]) as running:
        assert ["zai:glm-x"] == await listed(running)


async def listed(running: RunningGateway) -> list[str]:
    """The names of all models."""
    return [one["id"] for one in (await running.get("/v1/models"))[1]["data"]]


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "expected"),
    [
        (401, "1000", "authentication", 401),
        (429, "1112", "permission", 429),
        (429, "1113", "billing", 429),
        (400, "1210", "invalid_request", 400),
        (400, "1211", "model_not_found", 400),
        (434, "1301", "content_policy", 400),
        (400, "1261", "context_length", 400),
        (429, "1302", "rate_limited", 429),
        (435, "1303", "rate_limited", 429),
        (434, "1305", "overloaded", 503),
        (429, "1312", "overloaded", 429),
        (429, "1304", "billing", 429),
        (435, "1308", "billing", 402),
        (429, "1309", "billing", 429),
        (429, "1310", "billing", 429),
        (429, "1311", "model_not_found", 429),
        (429, "1313", "permission", 429),
        (500, "9999", "upstream_error", 500),
    ],
)
async def test_each_code(vendor: Vendor, status: int, code: str, kind: str, expected: int) -> None:
    """Says what it is, whatever the status; a status that no client knows becomes one that it does."""
    read = Zai().dialect.read_error(status, {}, json.dumps(said(code, "No.")).encode())
    assert kind == Zai().explained(read).kind
    vendor.zai.fails(CHAT, status, said(code, "No."))
    async with vendor.gateway() as running:
        answered, body = await running.post(QUESTION)
    assert (expected, True) == (answered, "No." in body["error"]["message"])


@pytest.mark.parametrize("body", [claude("1302", "Slow down"), {"code": 1302, "msg": "Slow down", "success": False},
                                  {"type": "error", "error": {"type": "1302", "message": "Slow down"}}])  # fmt: skip
def test_other_shapes(body: dict[str, Any]) -> None:
    """Of an error, as the other endpoints have them."""
    error = Zai().explained(Zai().dialect.read_error(429, {}, json.dumps(body).encode()))
    assert ("rate_limited", "1302", True) == (error.kind, error.code, "Slow down" in error.message)


async def test_a_wrong_path(vendor: Vendor) -> None:
    """Is told as what it is."""
    async with vendor.gateway(base_url=f"{vendor.zai.url}/v9") as running:
        status, body = await running.post(QUESTION)
    assert 404 == status and "404 NOT_FOUND" in body["error"]["message"]


@pytest.mark.parametrize("front", FRONTS)
async def test_when_the_quota_comes_back(vendor: Vendor, front: str) -> None:
    """Z.ai tells the time in Shanghai; the client gets the seconds, by the server's own clock, and what else there is."""
    told = said("1308", "Usage limit reached for 5 hour. Your limit will reset at 2026-11-26 10:30:00")
    vendor.zai.fails(CHAT, 429, told, {"date": "Thu, 26 Nov 2026 02:20:00 GMT"})
    one = FRONTS[front]
    model = "zai-coding-plan:glm-5.2"
    async with (
        vendor.plan(api="chat") as running,
        running.http.post(running.url + one.path(model, False), json=one.body(model, False)) as answer,
    ):
        assert "600" == answer.headers["retry-after"]
        assert PAID in await answer.text()


def test_a_time_by_our_own_clock() -> None:
    """Where the answer has no date."""
    zai = Zai()
    zai._clock = FakeClock().clock  # 1 700 001 000 is 2023-11-15 06:30:00 in Shanghai
    body = json.dumps(said("1310", "Weekly limit, resets at 2023-11-15 06:31:40")).encode()
    assert 100 == zai.explained(zai.dialect.read_error(429, {}, body)).retry_after


@pytest.mark.parametrize("words", ["Limit reached.", "Resets at 2026-99-99 10:30:00"])
def test_no_time(words: str) -> None:
    """Nothing is made up."""
    error = Zai().explained(Zai().dialect.read_error(429, {}, json.dumps(said("1308", words)).encode()))
    assert error.retry_after is None


async def test_a_rate_with_its_wait(vendor: Vendor) -> None:
    """A header that tells it reaches the client."""
    vendor.zai.fails(CHAT, 429, said("1302", "Too many concurrent requests"), {"retry-after": "7"})
    async with vendor.gateway() as running, running.http.post(f"{running.url}/v1/chat/completions", json=QUESTION) as answer:
        assert (429, "7") == (answer.status, answer.headers["retry-after"])


async def test_the_plans_key_elsewhere(vendor: Vendor) -> None:
    """Z.ai calls it arrears; what is meant is another back-end."""
    async with vendor.gateway({"ZAI_API_KEY": PLAN_KEY}) as running:
        status, body = await running.post(QUESTION)
    assert 429 == status and "'zai-coding-plan'" in body["error"]["message"]


async def test_a_key_of_the_plan_that_is_none(vendor: Vendor) -> None:
    """The other way round."""
    async with vendor._gateway(
        "zai-coding-plan", "coding/paas", {"ZAI_API_KEY": KEY}, {"i_accept_vendor_terms": True, "allow_insecure_origin": True}
    ) as running:
        status, body = await running.post(QUESTION | {"model": "zai-coding-plan:glm-5.2"})
    assert 429 == status and PAID in body["error"]["message"]


@pytest.mark.parametrize("front", FRONTS)
async def test_a_wrong_key(vendor: Vendor, front: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its variable is named; itself is shown nowhere."""
    caplog.set_level("DEBUG")
    async with vendor.gateway({"ZAI_API_KEY": "deadbeef.SECRET"}, api="chat") as running:
        status, body = await asked(running, front, MODEL, stream=False)
        shown = f"{body} {caplog.text} {running.gateway.backends}"
    assert 401 == status and "ZAI_API_KEY" in body and "SECRET" not in shown


async def test_nobody_is_there(vendor: Vendor) -> None:
    """Neither is a network error a mystery."""
    async with vendor.gateway(base_url="http://127.0.0.1:9/v4") as running:
        status, body = await running.post(QUESTION)
    assert 503 == status and "cannot be reached" in body["error"]["message"]


# ---- the plan -----------------------------------------------------------------------------------


async def test_the_plan_is_off_until_its_terms_are_accepted(vendor: Vendor) -> None:
    """The start ends with what Z.ai allows, what to say, and what to use instead."""
    with pytest.raises(ConfigError) as raised:
        async with vendor.plan(i_accept_vendor_terms=False):
            pytest.fail("it must not serve")
    told = str(raised.value)
    assert "officially supported tools" in told and "i_accept_vendor_terms: true" in told and PAID in told


async def test_the_plan_is_for_this_machine_alone(vendor: Vendor) -> None:
    """Whatever host is configured; and the log says why."""
    async with vendor.plan() as running:
        backend = running.gateway.backends["zai-coding-plan"]
        assert backend.loopback_only and "officially supported tools" in backend.notices[0]
        assert "127.0.0.1" == where(running.gateway, open_to_all=True).host


@pytest.mark.parametrize("front", FRONTS)
async def test_the_plan_answers(vendor: Vendor, front: str) -> None:
    """At its own URL, with its own key."""
    async with vendor.plan() as running:
        assert (200, "Forty-two") == await asked(running, front, "zai-coding-plan:glm-5.3", stream=True)
        assert 6 == len(await listed(running))
    assert f"Bearer {PLAN_KEY}" == vendor.zai.came[0].headers["authorization"] and 1 == len(vendor.zai.came)


async def test_the_plans_key_is_shown_to_z_ai_alone(vendor: Vendor) -> None:
    """Another origin gets neither the key nor a request."""
    async with vendor.plan(allow_insecure_origin=False) as running:
        status, body = await running.post(QUESTION | {"model": "zai-coding-plan:glm-5.2"})
    assert (401, True, []) == (status, "allow_insecure_origin" in body["error"]["message"], vendor.zai.came)


@pytest.mark.parametrize("option", ["keys", "variable"])
async def test_the_plan_has_one_key(vendor: Vendor, option: str) -> None:
    """Several people's plans are not put together: a list is refused, and numbered variables are not looked at."""
    backend = ZaiCodingPlan(i_accept_vendor_terms=True, keys=[Secret("A", "a")] if option == "keys" else [])
    if option == "keys":
        with pytest.raises(ConfigError, match="one key"):
            backend.gather({})
    else:
        backend.gather({"ZAI_API_KEY": "a", "ZAI_API_KEY_2": "b"})
        assert ["ZAI_API_KEY"] == [one.name for one in backend.credentials]


async def test_the_plans_url_at_the_other_back_end() -> None:
    """It would go round the plan's terms; the message names the back-end for it."""
    with pytest.raises(ConfigError, match="zai-coding-plan"):
        async with run_gateway({"backends": {"zai": {"base_url": "https://api.z.ai/api/coding/paas/v4"}}}, {}):
            pass


async def test_stop_sequences_of_a_client_of_chat(vendor: Vendor) -> None:
    """Z.ai takes one; the gateway looks for the others."""
    async with vendor.gateway() as running:
        said = [await asked(running, "chat", MODEL, stream=stream, stop=["never", "two"]) for stream in (False, True)]
    assert ([(200, "Forty-")] * 2, ["never"]) == (said, vendor.sent["stop"])


async def test_one_call_at_a_time(vendor: Vendor) -> None:
    """Z.ai cannot be told; the gateway sees to it, and the client hears of it."""
    async with vendor.gateway() as running:
        status, told = await lost(running, QUESTION | {"tools": [TOOL], "parallel_tool_calls": False})
    assert (200, True) == (status, "emulated" in told or "parallel" in told)


async def test_a_tool_of_free_text_is_refused(vendor: Vendor) -> None:
    """The message names the client's field."""
    async with vendor.gateway() as running:
        status, body = await running.post(QUESTION | {"tools": [{"type": "custom", "custom": {"name": "patch"}}]})
    assert (400, "tools[0]", []) == (status, body["error"]["param"], vendor.zai.came)


@pytest.mark.parametrize(
    ("model", "nested", "expected"),
    [
        ("glm-5.2", {"effort": "high"}, {"reasoning_effort": "high"}),
        ("glm-5.2", {"enabled": False}, {"thinking": {"type": "disabled"}}),
        ("glm-5.2", {"max_tokens": 1024}, {"reasoning_effort": "low"}),
        ("glm-4.7", {"effort": "low"}, {"thinking": {"type": "enabled"}}),
        ("glm-5.3", {"effort": "medium"}, {"reasoning_effort": "high"}),
    ],
)
def test_openrouters_field(model: str, nested: dict[str, Any], expected: dict[str, Any]) -> None:
    """Z.ai does not know it, and is told the same in its own."""
    changes, drop = fitted({"model": model, "messages": [], "reasoning": nested}, model, Losses("openai.chat"))
    assert (expected, True) == (changes, "reasoning" in drop)


@pytest.mark.parametrize("code", ["1316", "1317", "1318", "1319", "1320", "1321"])
def test_further_quotas(code: str) -> None:
    """Their messages tell a time as the older ones do."""
    body = json.dumps(said(code, "Limit reached. It will reset at 2026-11-26 10:00:00")).encode()
    now = 1_795_658_400.0 - 600  # 02:00 UTC
    error = explained(ZAI.read_error(429, {}, body), key="", plan=True, now=now)
    assert ("billing", 600.0) == (error.kind, error.retry_after)


def test_a_daily_quota() -> None:
    """It is whole again at midnight in Shanghai."""
    body = json.dumps(said("1304", "Daily call limit for this API reached")).encode()
    now = 1_795_622_400.0 - 5400  # 16:00 UTC
    assert 5400.0 == explained(ZAI.read_error(429, {}, body), key="", plan=False, now=now).retry_after
