"""Code Assist, whoever's login it is asked with: the project first, then the question in its envelope."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import aiohttp
from attrs import define, field

from llmgw import (
    CredentialState,
    Dialect,
    Gateway,
    HttpBackend,
    Misconfigured,
    ModelInfo,
    Operation,
    Profile,
    Request,
    Target,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    jsons,
)
from llmgw.urls import problems
from llmgw_dialects.google_gemini import method
from llmgw_dialects.profiles import with_overrides
from llmgw_gemini_cli import account
from llmgw_gemini_cli.advice import ALTERNATIVE, explained
from llmgw_gemini_cli.dialect import Envelope
from llmgw_logins import Tokens, strange

VENDOR = "https://cloudcode-pa.googleapis.com"
PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID")
"""Variables of Google's own clients; the first one set counts."""
MODELS = ("gemini-3.1-pro-preview", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite")
"""What is listed where the account's quotas do not tell which models it has."""
PAUSE = 5.0
"""Seconds between two questions whether an account is ready."""
PAUSES = 60
"""So often."""
_PATIENCE = 30.0
_LARGEST = 2**20


@define(eq=False, kw_only=True)
class CodeAssist(HttpBackend):
    """Google's Code Assist; its two back-ends say whose login it is.

    Args:
        project: the id of a Google Cloud project; else ``GOOGLE_CLOUD_PROJECT`` or ``GOOGLE_CLOUD_PROJECT_ID``.
        base_url: Google's, or that of a test server.
        version: of the API.
        models: names to list; else those that the account has quotas for.
        allow_insecure_origin: whether the login may be shown to a URL that is not Google's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Google is told that this is.
    """

    dialect = Envelope()
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": ":countTokens"}
    login_advice: ClassVar[str] = ""
    """What to do where Google does not take the login."""

    base_url: str = VENDOR
    project: str | None = None
    version: str = "v1internal"
    listed: list[str] = field(factory=list, alias="models")
    allow_insecure_origin: bool = False
    profile: dict[str, Any] = field(factory=dict)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)
    _envelope: Envelope | None = field(default=None, init=False, repr=False)
    _whose: str = field(default="", init=False, repr=False)
    """The login that the envelope is for."""
    _dead: tuple[str, str] | None = field(default=None, init=False, repr=False)
    """A login that is served no longer, and what was said."""

    # ---- the login

    @abstractmethod
    async def tokens(self, gateway: Gateway) -> Tokens:
        """A token to ask with; of ``about``, ``quota_project`` and ``project`` count.

        Raises:
            CredentialUnusable: there is none; the message says what to do.
        """

    @abstractmethod
    async def another(self, gateway: Gateway, refused: str) -> Tokens | None:
        """A token other than this one, which Google has refused; None where there is none."""

    @property
    @abstractmethod
    def login_state(self) -> CredentialState:
        """What there is to say of the login."""

    def check(self) -> None:
        """Whether the login may be shown.

        Raises:
            Misconfigured: it may not; the message says why.
        """
        for problem in self.obstacles():
            raise Misconfigured(f"The back-end '{self.name}' is not asked: {problem}.")

    def obstacles(self) -> Iterable[str]:
        """Why the login may not be shown."""
        if not self.allow_insecure_origin and (why := strange(self.base_url, VENDOR)) is not None:
            yield why

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL, whose that is, and with the project."""
        yield from problems(self.base_url, self.identity.headers({}))
        yield from self.obstacles()
        if self.project is not None and self.project.isdigit():
            yield f"the project must be an id, not a number like {self.project}; run: gcloud projects list"

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The login; one that is served no longer has a problem."""
        known = self.login_state
        if self._dead is not None and not known.problem:
            return [CredentialState(known.name, known.told, problem=self._dead[1], expires_at=known.expires_at)]
        return [known]

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The token, and whose quota it counts on."""
        self.check()
        tokens = await self.tokens(gateway)
        quota = tokens.about.get("quota_project")
        return {"authorization": f"Bearer {tokens.access}", **({"x-goog-user-project": quota} if quota else {})}

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token."""
        return await self.another(gateway, refused.get("authorization", "").removeprefix("Bearer ")) is not None

    # ---- requests

    def speaks(self, request: Request) -> Dialect:
        """Code Assist, for the project of this login."""
        return self._envelope or self.dialect

    def url(self, target: Target, request: Request) -> str:
        """The method stands behind the version; the model stands in the body."""
        own = request.dialect == self.dialect.name or request.operation == "count_tokens" or not request.stream
        return self._at(f":{method(request) if own else 'streamGenerateContent?alt=sse'}")

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model.removeprefix("models/")), self.profile)

    def explained(self, error: UpstreamError) -> UpstreamError:
        """Google's refusal, and what to do about it."""
        project = self._envelope.project if self._envelope is not None else self.project
        told = explained(error, project or "", self.login_advice)
        if told.code == "backend_discontinued" and self._whose:
            self._dead = (self._whose, told.message)
        return told

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        """Find the project of this login, once.

        Raises:
            Ineligible: Code Assist does not serve this account.
            Misconfigured: the login may not be shown, or needs a project and has none.
        """
        self.check()
        if await self._is_known(gateway):
            return
        async with self._turn:
            if await self._is_known(gateway):
                return  # somebody else has asked meanwhile
            project = await self._looked_up(gateway)
            self._envelope, self._whose, self._dead = Envelope(project), await self._mark(gateway), None

    async def _is_known(self, gateway: Gateway) -> bool:
        whose = await self._mark(gateway)
        if self._dead is not None and self._dead[0] == whose:
            raise account.Ineligible(self._dead[1], code="backend_discontinued")
        return self._envelope is not None and self._whose == whose

    async def _mark(self, gateway: Gateway) -> str:
        """What stays the same as long as the login does; without a refresh token nobody knows longer than the token lives."""
        tokens = await self.tokens(gateway)
        return tokens.refresh or tokens.access

    # ---- the account

    async def _looked_up(self, gateway: Gateway) -> str:
        own = self.project or (await self.tokens(gateway)).about.get("project")
        told = {**({"cloudaicompanionProject": own} if own else {}), "metadata": account.metadata(own)}
        try:
            tree: Mapping[str, Any] = await self.call(gateway, ":loadCodeAssist", told)
        except UpstreamError as error:
            if error.code != "SECURITY_POLICY_VIOLATED":
                raise
            tree = account.STANDARD
        why = account.refusal(tree)
        if why is not None:
            if why.code == "backend_discontinued":
                self._dead = (await self._mark(gateway), why.message)
            raise why
        known = tree if account.current(tree) is not None else await self._onboarded(gateway, account.offered(tree), own)
        return account.project_in(known) or own or self._without_project()

    async def _onboarded(self, gateway: Gateway, tier: account.Tier, own: str | None) -> Mapping[str, Any]:
        """Put the account into its tier, which takes a while (https://google.aip.dev/151)."""
        if tier.needs_project and own is None:
            self._without_project()
        brought = own if tier.id != "free-tier" else None  # Google refuses another's project in its own tier
        told = {"tierId": tier.id, "metadata": account.metadata(brought)}
        going = await self.call(gateway, ":onboardUser", {**told, "cloudaicompanionProject": brought} if brought else told)
        for _ in range(PAUSES):
            if going.get("done"):
                return self._done(going)
            await gateway.clock.sleep(PAUSE)
            going = await self.call(gateway, "/" + quote(str(going.get("name")), safe="/"), None)
        raise UpstreamTimeout(f"Code Assist has not made '{self.name}' ready within {PAUSE * PAUSES:.0f} s. Ask again later.")

    def _done(self, operation: Mapping[str, Any]) -> Mapping[str, Any]:
        response, error = operation.get("response"), operation.get("error")
        if isinstance(error, dict):
            raise account.Ineligible(
                f"Code Assist has not taken this account: {error.get('message', 'no reason')}. {ALTERNATIVE}"
            )
        return response if isinstance(response, dict) else {}

    def _without_project(self) -> str:
        raise Misconfigured(
            f"The login of '{self.name}' needs a project of Google Cloud. Export GOOGLE_CLOUD_PROJECT, or set its `project`. "
            f"{ALTERNATIVE}"
        )

    # ---- listing

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else those that the account has quotas for; Code Assist has no list."""
        if self.listed:
            return [ModelInfo(model, owned_by="google") for model in self.listed]
        await self.prepared(gateway, Target(self.name, ""))
        assert self._envelope is not None, "it is prepared"
        try:
            tree = await self.call(gateway, ":retrieveUserQuota", {"project": self._envelope.project})
        except UpstreamError as error:
            if error.kind == "authentication":
                raise
            tree = {}
        return [ModelInfo(model, owned_by="google") for model in _quotas(tree) or MODELS]

    # ---- calls

    async def call(self, gateway: Gateway, path: str, told: Mapping[str, Any] | None) -> dict[str, Any]:
        """Ask Code Assist something that is no question to a model.

        Args:
            gateway: the running one.
            path: behind the version.
            told: the body; without one it is a GET.

        Raises:
            UpstreamError: it refused, could not be reached, or answered something else.
        """
        target = Target(self.name, "")
        authorization = await self.authorization(gateway, target)
        status, headers, body = await self._sent(gateway, path, told, authorization)
        if status == 401 and await self.renewed(gateway, target, authorization):
            status, headers, body = await self._sent(gateway, path, told, await self.authorization(gateway, target))
        if status != 200:
            raise self.explained(self.dialect.read_error(status, headers, body))
        try:
            tree = jsons.loads(body)
        except jsons.JsonError:
            tree = None
        if not isinstance(tree, dict):
            raise UpstreamBroken(f"The back-end '{self.name}' answered what is no JSON object. Check its base_url.")
        return tree

    async def _sent(
        self, gateway: Gateway, path: str, told: Mapping[str, Any] | None, authorization: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        kind = {} if told is None else {"content-type": "application/json"}
        headers = {"accept-encoding": "identity", **kind, **self.identity.headers({}), **authorization}
        data = None if told is None else jsons.dumps(told)
        verb = "GET" if told is None else "POST"
        sent = gateway.http.request(verb, self._at(path), data=data, headers=headers, allow_redirects=False)
        try:
            async with asyncio.timeout(_PATIENCE), sent as response:
                body = b""
                while len(body) < _LARGEST and (piece := await response.content.read(_LARGEST - len(body))):
                    body += piece
                return response.status, {name.lower(): value for name, value in response.headers.items()}, body
        except aiohttp.ClientError as error:
            raise self.failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"The back-end '{self.name}' gave no answer within {_PATIENCE:.0f} s.") from None

    def _at(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{self.version}{path}"


def _quotas(tree: Mapping[str, Any]) -> list[str]:
    """The models in an account's quotas, each once."""
    buckets = tree.get("buckets")
    told = [one.get("modelId") for one in buckets if isinstance(one, dict)] if isinstance(buckets, list) else []
    return list(dict.fromkeys(model for model in told if isinstance(model, str) and model))
