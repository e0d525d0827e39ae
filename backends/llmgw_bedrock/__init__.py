"""Amazon Bedrock, by a Bedrock API key or by an AWS login: Claude in Anthropic's own terms, other models by Converse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import quote

import aiohttp
from attrs import define, field
from yarl import URL

from llmgw import (
    Backend,
    ConfigError,
    Count,
    CredentialState,
    Dialect,
    Exchange,
    Gateway,
    KeyBackend,
    ModelInfo,
    Operation,
    Profile,
    Request,
    Secret,
    Target,
    UpstreamError,
    UpstreamTimeout,
    hookimpl,
)
from llmgw_bedrock import listing
from llmgw_bedrock.chain import Chain
from llmgw_bedrock.converse import Converse
from llmgw_bedrock.messages import VERSION, BedrockMessages
from llmgw_bedrock.names import counted, is_claude, quoted
from llmgw_bedrock.signing import signed
from llmgw_dialects.profiles import with_overrides

SERVICE: Final = "bedrock"
_SIGNED: Final = "content-type"
_NO_CONVERSE: Final = re.compile(r"action doesn.t support the model", re.IGNORECASE)
_PAGES: Final = 20
_ASKED: Final = ("/invoke", "/invoke-with-response-stream")
_CONVERSED: Final = ("/converse", "/converse-stream")


@define(eq=False, kw_only=True)
class Bedrock(KeyBackend):
    """Amazon Bedrock: Claude in Anthropic's own terms, other vendors' models by Converse; an API key or an AWS login.

    Args:
        region: as ``us-east-1``; else that of ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile.
        api_key: a Bedrock API key, sent as a bearer token; without one requests are signed with an AWS login.
        keys: several, instead of it; else further ones are taken from ``AWS_BEARER_TOKEN_BEDROCK_2`` and so on.
        aws_profile: of AWS's own files; else ``AWS_PROFILE``.
        base_url: where models answer; else ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME``, or AWS's own in the region.
        control_url: where models are listed; else ``AWS_ENDPOINT_URL_BEDROCK``, or AWS's own in the region.
        version: the ``anthropic_version`` of requests.
        betas: asked for as ``anthropic_beta`` besides what the client asks for.
        behind: which model stands behind an ARN that does not say so, as ``{"arn:aws:…/abc123": claude-sonnet-4-5}``; one
            that nobody knows is asked by Converse.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program AWS is told that this is.
    """

    dialect = BedrockMessages()
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/count-tokens"}

    name: str = "bedrock"
    region: str = ""
    api_key: Secret = Secret.env("AWS_BEARER_TOKEN_BEDROCK")
    aws_profile: str = ""
    control_url: str = ""
    version: str = VERSION
    betas: list[str] = field(factory=list)
    behind: dict[str, str] = field(factory=dict)
    _dialect: BedrockMessages = field(factory=BedrockMessages, init=False)
    _converse: Converse = field(factory=Converse, init=False)
    _chain: Chain = field(init=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: nothing names a region.
        """
        env = gateway.env
        self.gather(env)
        self._chain = Chain(self.name, self.aws_profile, env)
        self._dialect = BedrockMessages(version=self.version, betas=tuple(self.betas))
        self.region = self.region or env.get("AWS_REGION", "") or env.get("AWS_DEFAULT_REGION", "") or self._chain.region
        if not self.region:
            raise ConfigError(f"AWS_REGION is not set: export it, as us-east-1, or say it here @ backends.{self.name}.region")
        self.base_url = self.base_url or env.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "") or self._aws("bedrock-runtime")
        self.control_url = self.control_url or env.get("AWS_ENDPOINT_URL_BEDROCK", "") or self._aws("bedrock")
        return [self]

    def _aws(self, service: str) -> str:
        """AWS's own; its regions in China are of another domain."""
        return f"https://{service}.{self.region}.amazonaws.com" + (".cn" if self.region.startswith("cn-") else "")

    # ---- requests

    def model_behind(self, name: str) -> str:
        """The model: as configured, else its own name is taken to say it."""
        return self.behind.get(name, name)

    def is_claude(self, name: str) -> bool:
        """Whether it is Anthropic's, which takes more than Converse can say."""
        return is_claude(self.model_behind(name))

    def speaks(self, request: Request) -> Dialect:
        """Anthropic's dialect in Bedrock's envelope for Claude, Converse for other vendors' models and those nobody knows."""
        return self._dialect if self.is_claude(request.model) else self._converse

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        base = f"{self.base_url.rstrip('/')}/model/"
        if request.operation == "count_tokens":
            return base + quoted(counted(request.model)) + self.paths[request.operation]
        whole, streamed = _ASKED if self.is_claude(request.model) else _CONVERSED
        return base + quoted(request.model) + (streamed if request.stream else whole)

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Nothing: what a client of Anthropic's says in headers is in the body here."""
        return {}

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What is known of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(self.model_behind(model)), self.profile)

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        """Ask Bedrock to count; of models whose tokens it does not count they are estimated."""
        if not self.is_claude(target.model):
            return None
        try:
            found = await super().count(exchange, target, request)
        except UpstreamError as error:
            if error.kind == "invalid_request" and "count" in error.message.lower():
                return None
            raise
        return None if found is None else Count(found.tokens)  # whose own answer no client would understand

    # ---- who asks

    @property
    def needs_key(self) -> bool:
        """Never: where there is none, requests are signed."""
        return False

    @property
    def _has_key(self) -> bool:
        return any(one.is_set for one in (self._pool or [self.api_key]))

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The headers with a signature, where no key speaks for the request."""
        return headers if self._has_key else await self._signed(gateway, "POST", url, headers, body)

    async def _signed(
        self, gateway: Gateway, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        keys = await self._chain.keys()
        told = {_SIGNED: headers[_SIGNED]} if _SIGNED in headers else {}
        now = gateway.clock.time()
        made = signed(keys, SERVICE, self.region, method=method, url=url, headers=told, body=body, now=now)
        return {**headers, **made}

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The keys, else the login."""
        return super().credentials if self._has_key else [self._chain.state]

    def explained(self, error: UpstreamError) -> UpstreamError:
        """The same, with another way to models that Converse does not know; refused keys are looked for anew next time."""
        if error.kind == "authentication":
            self._chain.forget()
        if _NO_CONVERSE.search(error.message):
            error.message += (
                " Bedrock may have it at its endpoint of OpenAI's shape: configure a back-end of plugin openai-compatible with "
                f"base_url https://bedrock-mantle.{self.region}.api.aws/v1 and api_key env:AWS_BEARER_TOKEN_BEDROCK."
            )
        return error

    # ---- models

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """Models and inference profiles of the region that can be asked here."""
        models = listing.read_models(await self._asked(gateway, listing.MODELS))
        path = listing.PROFILES
        for _ in range(_PAGES):
            body = await self._asked(gateway, path)
            models += listing.read_profiles(body)
            token = listing.next_page(body)
            if token is None:
                break
            path = f"{listing.PROFILES}&nextToken={quote(token, safe='')}"
        return models + [ModelInfo(name, "aws", display_name=model) for name, model in self.behind.items()]

    async def _asked(self, gateway: Gateway, path: str) -> bytes:
        """One page of the control plane.

        Raises:
            UpstreamError: it would not tell.
        """
        url = URL(self.control_url.rstrip("/") + path, encoded=True)  # as it is signed
        headers: Mapping[str, str] = {**self.identity.headers({}), **self.headers(Target(self.name, ""))}
        if not self._has_key:
            headers = await self._signed(gateway, "GET", str(url), headers, b"")
        try:
            async with gateway.http.get(url, headers=headers, allow_redirects=False) as response:
                status, told, body = response.status, response.headers, await response.read()
        except aiohttp.ClientError as error:
            raise self.failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"'{self.name}' did not answer in time ({self.control_url}).") from None
        if status != 200:
            raise self.explained(self._dialect.read_error(status, {name.lower(): told[name] for name in told}, body))
        return body
