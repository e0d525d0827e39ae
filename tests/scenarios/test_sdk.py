"""The official OpenAI SDK against ``llmgw serve``: all that it does works, and all that fails raises its own exceptions."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
import pytest_asyncio
import yaml
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from llmgw_testing import Answer, Break, Hang, Program, Provider, raw, stream, whole
from tests.shared import ROLE, answer, chunk, chunks

pytestmark = [pytest.mark.scenario, pytest.mark.asyncio(loop_scope="module")]

KEY, GATEWAY_KEY = "acme-key-of-the-provider", "key-of-this-very-gateway"
ERROR = {"message": "Not today.", "type": "invalid_request_error", "param": "model", "code": "some_code"}
REFUSAL = {"error": ERROR}
DONE = "[DONE]"

HELLO: Any = [{"role": "user", "content": "Is it heavy?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weigh", "parameters": {"type": "object", "properties": {}}}}]

WHOLE_CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "weigh", "arguments": '{"what": "anvil"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "weigh", "arguments": '{"what": "feather"}'}},
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    """One scripted provider for all tests."""
    async with Provider.start() as one:
        yield one


@pytest.fixture(scope="module")
def program(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """``llmgw serve`` with that provider, one that is not there, and echo; it logs no traceback and no key."""
    folder = tmp_path_factory.mktemp("sdk")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = {
            "proxy": {"max_request_bytes": 100_000, "silence_timeout": 1},
            "backends": {
                "acme": {"type": "openai-compatible", "base_url": provider.base_url, "api_key": "env:ACME_KEY"},
                "gone": {"type": "openai-compatible", "base_url": f"http://127.0.0.1:{closed.getsockname()[1]}/v1"},
                "echo": {},
            },
        }
        (folder / "llmgw.yaml").write_text(yaml.safe_dump(config))
        env = {"ACME_KEY": KEY, "LLM_INTERACTIVE_PROXY_API_KEY": GATEWAY_KEY}
        log = folder / "serve.log"
        with Program.serve("--config", str(folder / "llmgw.yaml"), "--log-level", "debug", env=env, log=log) as running:
            yield running
        assert "Traceback" not in log.read_text()
        assert [] == [key for key in (KEY, GATEWAY_KEY) if key in log.read_text()]


class Sdk:
    """One of the SDK's two clients, asked in one way."""

    def __init__(self, kind: str, program: Program) -> None:
        self.kind = kind
        self.url = f"{program.url}/v1"

    async def ask(self, sync: Callable[[OpenAI], Any], otherwise: Callable[[AsyncOpenAI], Any], **options: Any) -> Any:
        """What one of two functions, each given its client, comes to."""
        given: dict[str, Any] = {"base_url": self.url, "api_key": GATEWAY_KEY, "max_retries": 0, "timeout": 20.0} | options
        if self.kind == "sync":
            with OpenAI(**given) as client:
                return await asyncio.to_thread(sync, client)
        async with AsyncOpenAI(**given) as client:
            return await otherwise(client)

    async def create(self, *, options: dict[str, Any] | None = None, **fields: Any) -> Any:
        """A completion; of a stream, all chunks."""
        asked = {"model": "acme:anvil", "messages": HELLO} | fields

        def sync(client: OpenAI) -> Any:
            made = client.chat.completions.create(**asked)
            return list(made) if asked.get("stream") else made

        async def otherwise(client: AsyncOpenAI) -> Any:
            made: Any = await client.chat.completions.create(**asked)
            return [each async for each in made] if asked.get("stream") else made

        return await self.ask(sync, otherwise, **(options or {}))


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, program: Program, provider: Provider) -> Sdk:
    """The synchronous client, then the asynchronous one."""
    provider.seen.clear()
    return Sdk(request.param, program)


streaming = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])


# ---- what works ---------------------------------------------------------------------------------


async def test_create(sdk: Sdk, provider: Provider) -> None:
    """A whole reply has its text, its end, its usage, and what the SDK does not know."""
    provider.answers(whole(answer("It is.", x_unheard_of={"a": 1})))

    made = await sdk.create()

    assert ("It is.", "stop") == (made.choices[0].message.content, made.choices[0].finish_reason)
    assert (4, 3, 7) == (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens)
    assert {"a": 1} == made.x_unheard_of


async def test_stream(sdk: Sdk, provider: Provider) -> None:
    """A stream has the provider's chunks, one for one."""
    said = chunks("It", " is.")
    provider.answers(stream(*said, DONE))

    made = await sdk.create(stream=True)

    assert said == [each.to_dict() for each in made]


async def test_stream_usage(sdk: Sdk, provider: Provider) -> None:
    """Usage that was asked for comes in a last chunk without choices."""
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    provider.answers(stream(*chunks("It"), chunk({}, usage=usage) | {"choices": []}, DONE))

    made = await sdk.create(stream=True, stream_options={"include_usage": True})

    assert ([], 7) == (made[-1].choices, made[-1].usage.total_tokens)
    assert {"include_usage": True} == provider.seen[0].json["stream_options"]


@pytest.mark.parametrize("model", ["acme:anvil", "echo:echo"])
async def test_stream_helper(sdk: Sdk, provider: Provider, model: str) -> None:
    """The SDK's stream helper tells of deltas and puts the reply together."""
    provider.answers(stream(*chunks("It", " is."), DONE))

    def sync(client: OpenAI) -> Any:
        with client.chat.completions.stream(model=model, messages=HELLO) as made:
            kinds = [event.type for event in made]
            return kinds, made.get_final_completion().choices[0].message.content

    async def otherwise(client: AsyncOpenAI) -> Any:
        async with client.chat.completions.stream(model=model, messages=HELLO) as made:
            kinds = [event.type async for event in made]
            return kinds, (await made.get_final_completion()).choices[0].message.content

    kinds, text = await sdk.ask(sync, otherwise)

    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert text == "It is." if model == "acme:anvil" else text.startswith("This is echo")


@streaming
async def test_echo(sdk: Sdk, streaming: bool) -> None:
    """The built-in model says what it saw, with usage."""
    made = await sdk.create(
        model="echo:echo", stream=streaming, tools=TOOLS, **({"stream_options": {"include_usage": True}} if streaming else {})
    )

    text = "".join(each.choices[0].delta.content or "" for each in made[:-1]) if streaming else made.choices[0].message.content
    assert "Last message (user): Is it heavy?" in text and "Tools offered: weigh" in text
    assert 0 < (made[-1] if streaming else made).usage.completion_tokens


async def test_parallel_calls(sdk: Sdk, provider: Provider) -> None:
    """Several calls at once arrive with their ids, names and arguments, and the tools reach the provider."""
    provider.answers(whole(answer() | {"choices": [{"index": 0, "message": WHOLE_CALLS, "finish_reason": "tool_calls"}]}))

    made = await sdk.create(tools=TOOLS, parallel_tool_calls=True)

    calls = made.choices[0].message.tool_calls
    assert [("call_1", '{"what": "anvil"}'), ("call_2", '{"what": "feather"}')] == [(c.id, c.function.arguments) for c in calls]
    assert (TOOLS, True) == (provider.seen[0].json["tools"], provider.seen[0].json["parallel_tool_calls"])


async def test_parallel_calls_streamed(sdk: Sdk, provider: Provider) -> None:
    """The same in a stream whose fragments are mixed, put together by the SDK's helper."""

    def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        named = {"name": more.pop("name")} if "name" in more else {}
        return chunk({"tool_calls": [{"index": index, **more, "function": {**named, "arguments": arguments}}]})

    begun = [call(n, "", id=f"call_{n + 1}", type="function", name="weigh") for n in range(2)]
    rest = [call(0, '{"what": '), call(1, '{"what": "fea'), call(0, '"anvil"}'), call(1, 'ther"}')]
    provider.answers(stream(ROLE, *begun, *rest, chunk({}, "tool_calls"), DONE))

    def sync(client: OpenAI) -> Any:
        with client.chat.completions.stream(model="acme:anvil", messages=HELLO, tools=TOOLS) as made:
            return made.get_final_completion()

    async def otherwise(client: AsyncOpenAI) -> Any:
        async with client.chat.completions.stream(model="acme:anvil", messages=HELLO, tools=TOOLS) as made:
            return await made.get_final_completion()

    calls = (await sdk.ask(sync, otherwise)).choices[0].message.tool_calls

    assert [("call_1", '{"what": "anvil"}'), ("call_2", '{"what": "feather"}')] == [(c.id, c.function.arguments) for c in calls]


class Weight(BaseModel):
    """What a structured reply holds."""

    what: str
    kg: float


async def test_parse(sdk: Sdk, provider: Provider) -> None:
    """A structured reply is parsed, and its schema reaches the provider."""
    provider.answers(whole(answer('{"what": "anvil", "kg": 50}')))

    def made(client: Any) -> Any:
        return client.chat.completions.parse(model="acme:anvil", messages=HELLO, response_format=Weight)

    parsed = await sdk.ask(made, made)

    assert Weight(what="anvil", kg=50) == parsed.choices[0].message.parsed
    assert {"what", "kg"} == provider.seen[0].json["response_format"]["json_schema"]["schema"]["properties"].keys()


@streaming
async def test_raw_response(sdk: Sdk, provider: Provider, streaming: bool) -> None:
    """A response's headers tell the provider's request and the gateway's exchange."""
    told: Any = {"x_request_id": "req_1", "x_ratelimit_limit_requests": "9"}
    provider.answers(stream(*chunks("It"), DONE, **told) if streaming else whole(answer(), **told))

    def made(client: Any) -> Any:
        return client.chat.completions.with_raw_response.create(model="acme:anvil", messages=HELLO, stream=streaming)

    headers = (await sdk.ask(made, made)).headers

    assert ("req_1", "9") == (headers["x-request-id"], headers["x-ratelimit-limit-requests"])
    assert headers["x-llmgw-exchange"]


async def test_models_list(sdk: Sdk, provider: Provider) -> None:
    """The list holds each back-end's models by the names under which they are asked for."""
    provider.answers(whole({"object": "list", "data": [{"id": "anvil", "object": "model", "created": 5, "owned_by": "acme"}]}))

    async def otherwise(client: AsyncOpenAI) -> Any:
        return [model async for model in client.models.list()]

    models = await sdk.ask(lambda client: list(client.models.list()), otherwise)

    assert ["acme:anvil", "echo:echo"] == [model.id for model in models]


async def test_models_retrieve(sdk: Sdk, provider: Provider) -> None:
    """One model can be asked for."""
    provider.answers(whole({"object": "list", "data": [{"id": "anvil", "object": "model", "created": 5, "owned_by": "acme"}]}))

    def made(client: Any) -> Any:
        return client.models.retrieve("acme:anvil")

    model = await sdk.ask(made, made)

    assert ("acme:anvil", 5, "acme") == (model.id, model.created, model.owned_by)


async def test_retry(sdk: Sdk, provider: Provider) -> None:
    """The SDK's own retry heeds what the provider said about when, and then succeeds."""
    provider.answers(whole(REFUSAL, 429, retry_after_ms="20"), whole(answer("At last.")))

    made = await sdk.create(options={"max_retries": 1})

    assert "At last." == made.choices[0].message.content
    assert ["0", "1"] == [seen.headers.get("x-stainless-retry-count", str(n)) for n, seen in enumerate(provider.seen)]


@streaming
async def test_keys(sdk: Sdk, provider: Provider, streaming: bool) -> None:
    """The provider gets the back-end's key, and the client's is nowhere in what it gets."""
    provider.answers(stream(*chunks("It"), DONE) if streaming else whole(answer()))

    await sdk.create(stream=streaming, extra_headers={"x-api-key": GATEWAY_KEY}, extra_query={"key": GATEWAY_KEY})

    (seen,) = provider.seen
    assert f"Bearer {KEY}" == seen.headers["authorization"]
    assert GATEWAY_KEY not in json.dumps(dict(seen.headers)) + seen.path + seen.body.decode()


# ---- what fails ---------------------------------------------------------------------------------

STATUSES = [
    (400, openai.BadRequestError),
    (401, openai.AuthenticationError),
    (402, openai.APIStatusError),
    (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError),
    (408, openai.APIStatusError),
    (409, openai.ConflictError),
    (413, openai.APIStatusError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (498, openai.APIStatusError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
    (529, openai.InternalServerError),
]


@streaming
@pytest.mark.parametrize(("status", "kind"), STATUSES, ids=[str(status) for status, _ in STATUSES])
async def test_refusal(sdk: Sdk, provider: Provider, streaming: bool, status: int, kind: type[openai.APIStatusError]) -> None:
    """A provider's refusal raises the SDK's exception for it, with the provider's own words."""
    provider.answers(whole(REFUSAL, status, x_request_id="req_1"))

    with pytest.raises(openai.APIStatusError) as raised:
        await sdk.create(stream=streaming)

    error = raised.value
    assert (kind, status, ERROR) == (type(error), error.status_code, error.body)
    assert ("some_code", "model", "invalid_request_error", "req_1") == (error.code, error.param, error.type, error.request_id)


INVALID, LARGE = openai.UnprocessableEntityError, [{"role": "user", "content": "x" * 200_000}]
NUMBER = {"model": "echo:echo", "messages": [{"role": "user", "content": 5}]}

WRONG = [
    pytest.param({"model": "nobody"}, openai.NotFoundError, "model", "model_not_found", id="unknown model"),
    pytest.param({"model": "acne:anvil"}, openai.NotFoundError, "model", "model_not_found", id="unknown back-end"),
    pytest.param({"model": ""}, INVALID, "model", None, id="model empty"),
    pytest.param({"model": 5}, INVALID, "model", None, id="model a number"),
    pytest.param({"messages": []}, INVALID, "messages", None, id="messages empty"),
    pytest.param({"messages": "Hello"}, INVALID, "messages", None, id="messages a string"),
    pytest.param({"messages": [{"content": "x"}]}, INVALID, "messages[0].role", None, id="role missing"),
    pytest.param({"stream_options": []}, INVALID, "stream_options", None, id="stream_options a list"),
    pytest.param(NUMBER, INVALID, "messages[0].content", None, id="content a number"),
    pytest.param({"messages": LARGE}, openai.APIStatusError, None, "request_too_large", id="too large"),
    pytest.param({"extra_headers": {"content-encoding": "gzip"}}, openai.BadRequestError, None, None, id="content-encoding"),
]


@streaming
@pytest.mark.parametrize(("fields", "kind", "param", "code"), WRONG)
async def test_wrong_request(
    sdk: Sdk,
    provider: Provider,
    streaming: bool,
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    param: str,
    code: str,
) -> None:
    """What the client did wrong raises the SDK's exception for it, with the field's path, and no provider is asked."""
    with pytest.raises(openai.APIStatusError) as raised:
        await sdk.create(stream=streaming, **fields)

    assert (kind, param, code) == (type(raised.value), raised.value.param, raised.value.code)
    assert [] == provider.seen


async def test_wrong_body(sdk: Sdk) -> None:
    """A body that is not JSON raises the SDK's exception for a bad request."""

    def made(client: Any) -> Any:
        return client.post("/chat/completions", content=b'{"model": ', cast_to=object)

    with pytest.raises(openai.BadRequestError, match="not valid JSON"):
        await sdk.ask(made, made)


async def test_wrong_path(sdk: Sdk) -> None:
    """A path that is not served raises the SDK's exception for what is not found."""

    def made(client: Any) -> Any:
        return client.embeddings.create(model="acme:anvil", input="x")

    with pytest.raises(openai.NotFoundError, match="There is no /v1/embeddings here"):
        await sdk.ask(made, made)


async def test_unknown_model_retrieved(sdk: Sdk) -> None:
    """A model that is in no list raises the SDK's exception for what is not found."""

    def made(client: Any) -> Any:
        return client.models.retrieve("acme:nothing")

    with pytest.raises(openai.NotFoundError):
        await sdk.ask(made, made)


@streaming
async def test_wrong_key(sdk: Sdk, provider: Provider, streaming: bool) -> None:
    """A wrong key raises the SDK's exception for that, and no provider is asked."""
    with pytest.raises(openai.AuthenticationError) as raised:
        await sdk.create(stream=streaming, options={"api_key": "wrong"})

    assert "invalid_api_key" == raised.value.code
    assert [] == provider.seen


@streaming
async def test_unreachable(sdk: Sdk, streaming: bool) -> None:
    """A provider that is not there raises the SDK's exception for a failing server: ours is there."""
    with pytest.raises(openai.InternalServerError, match="cannot be reached") as raised:
        await sdk.create(model="gone:anvil", stream=streaming)

    assert 503 == raised.value.status_code


BROKEN = [
    pytest.param(raw(Break()), 502, id="nothing"),
    pytest.param(raw(b"\x00\xff garbage\r\n\r\n"), 502, id="garbage"),
    pytest.param(stream(ROLE, Break()), 502, id="breaks off"),
    pytest.param(whole(b"<html><title>Oops</title></html>", content_type="text/html"), 502, id="page in a 200"),
    pytest.param(whole(b"<html><title>Oops</title></html>", 502, content_type="text/html"), 502, id="page in a 502"),
    pytest.param(Answer((b"",), 302, {"location": "http://127.0.0.1:9/"}), 502, id="redirect"),
    pytest.param(raw(Hang()), 504, id="silent"),
    pytest.param(stream(ROLE, Hang()), 504, id="silent behind the role"),
]


@streaming
@pytest.mark.parametrize(("said", "status"), BROKEN)
async def test_broken_provider(sdk: Sdk, provider: Provider, streaming: bool, said: Answer, status: int) -> None:
    """What a provider breaks before it has said anything raises the SDK's exception for a failing server."""
    provider.answers(said)

    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.create(stream=streaming)

    assert status == raised.value.status_code


@pytest.mark.parametrize(
    ("said", "streaming"),
    [
        pytest.param(whole(REFUSAL), True, id="a body for a stream"),
        pytest.param(stream(REFUSAL), True, id="a frame for a stream"),
        pytest.param(stream(REFUSAL), False, id="a frame for a body"),
    ],
)
async def test_error_in_a_200(sdk: Sdk, provider: Provider, streaming: bool, said: Answer) -> None:
    """An error that a provider sends with 200 raises, with the provider's own words; it never looks like a reply."""
    provider.answers(said)

    with pytest.raises(openai.APIError) as raised:
        await sdk.create(stream=streaming)

    assert (ERROR["message"], "some_code") == ((raised.value.body or {}).get("message"), raised.value.code)  # type: ignore[attr-defined]


async def test_error_body_in_a_200(sdk: Sdk, provider: Provider) -> None:
    """A whole error with 200 reaches the SDK's user as the provider sent it, as it would without a gateway."""
    provider.answers(whole(REFUSAL))

    said = await sdk.create(stream=False)

    assert REFUSAL["error"] == said.model_extra["error"]


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param((Break(),), id="breaks off"),
        pytest.param((), id="lacks its end"),
        pytest.param((b'data: {"id": "c1", "cho', Break()), id="breaks off in a frame"),
        pytest.param((Hang(),), id="falls silent"),
        pytest.param((REFUSAL,), id="says so"),
        pytest.param((REFUSAL, DONE), id="says so, and then ends"),
    ],
)
async def test_broken_stream(sdk: Sdk, provider: Provider, tail: tuple[Any, ...]) -> None:
    """A stream that fails behind its first words raises the SDK's plain APIError; it never looks like one that ended."""
    provider.answers(stream(ROLE, chunk({"content": "It"}), *tail))

    with pytest.raises(openai.APIError) as raised:
        await sdk.create(stream=True)

    assert openai.APIError is type(raised.value)
    assert raised.value.message
