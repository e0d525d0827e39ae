"""OpenAI's models with a ChatGPT plan, by the login of Codex."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

import aiohttp
from attrs import define, field
from yarl import URL

from llmgw import (
    Backend,
    CredentialState,
    CredentialUnusable,
    Dialect,
    Gateway,
    HttpBackend,
    ModelInfo,
    Operation,
    Profile,
    Request,
    Secret,
    Target,
    UpstreamError,
    hookimpl,
    jsons,
)
from llmgw.stages import Clock
from llmgw.urls import problems
from llmgw_dialects.profiles import with_overrides
from llmgw_logins import CommandFailed, CredentialFile, Login, Mode, Terms, Tokens, expiry, found, strange
from llmgw_openai_oauth import app_server, catalogue, workspace
from llmgw_openai_oauth.dialect import NATIVE, PLAIN
from llmgw_openai_oauth.login import CLIENT_ID, TOKEN_URL, CodexLogin, account_in, advice, home
from llmgw_openai_oauth.refusals import explained
from llmgw_openai_oauth.workspace import Workspace

log = logging.getLogger("llmgw.backends")

VENDOR: Final = "https://chatgpt.com/backend-api/codex"
CATALOGUE: Final = "0.169.0"
"""The version of Codex whose list of models is asked for; each lists those that it knows how to use."""
TERMS: Final = Terms(
    "openai-oauth uses your ChatGPT plan by Codex's login. OpenAI is not known to forbid that in other programs, and guarantees "
    "nothing: one account, for your own use, on this machine"
)
GIVEN: Final = "CODEX_ACCESS_TOKEN"
PATIENCE: Final = 10.0
"""Seconds for the question where a workspace is served."""
_SPACE: Final = uuid.UUID("b0a8ae3f-94a2-5d1c-9a55-4d8f0c6b2e71")
"""Within which the ids of sessions are made; any would do."""


@define(eq=False, kw_only=True)
class OpenAIOAuth(HttpBackend):
    """OpenAI's models with a ChatGPT plan, by the login that Codex has made. Tolerated by OpenAI, as far as is known, for a
    person's own use; so this machine alone is served. Off until named. The server takes few settings: neither the length of an
    answer nor its temperature can be said, and a client that asks is told so.

    Args:
        auth_file: Codex's login, instead of ``auth.json`` in ``CODEX_HOME`` or ``~/.codex``.
        source: how a fresh token is come by: ``delegate`` has Codex refresh its login (``codex app-server``), ``follow`` only
            reads the file, ``co-manage`` refreshes it here and writes the file as Codex does; ``auto`` is the variable
            where it is set, else ``delegate`` where Codex is installed, else ``follow``.
        refresh: the same as ``source: co-manage``.
        access_token: a token that counts instead of the file's where it is set; it is never refreshed.
        client_id: of Codex, for which its refresh tokens are issued.
        token_url: where fresh tokens are asked for.
        base_url: OpenAI's, or that of a test server.
        accounts_url: where it is told how a workspace is routed; else ``../wham/accounts/check`` beside ``base_url``.
        models_url: where the list of models is; else ``/models`` below ``base_url``.
        client_version: the version of Codex whose models are listed.
        allow_insecure_origin: whether the login may be shown to a URL that is not OpenAI's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program OpenAI is told that this is.
    """

    dialect = PLAIN
    path = "/responses"
    paths: ClassVar[Mapping[Operation, str]] = {"compact": "/responses/compact"}
    loopback_only = True
    """A plan is one person's: to serve others with it is where all vendors draw the line."""
    notices = (TERMS.notice,)
    terms = TERMS

    name: str = "openai-oauth"
    auth_file: Path | None = None
    source: Literal["auto", "delegate", "follow", "co-manage"] = "auto"
    refresh: bool = False
    access_token: Secret = Secret.env(GIVEN)
    client_id: str = CLIENT_ID
    token_url: str = TOKEN_URL
    base_url: str = VENDOR
    accounts_url: str | None = None
    listed_at: str | None = field(default=None, alias="models_url")
    client_version: str = CATALOGUE
    allow_insecure_origin: bool = False
    profile: dict[str, Any] = field(factory=dict)
    _login: Login | None = field(default=None, init=False, repr=False)
    _clock: Clock = field(factory=Clock, init=False, repr=False)
    _codex: str | None = field(default=None, init=False)
    """Where Codex is."""
    _workspaces: dict[str, Workspace] = field(factory=dict, init=False, repr=False)
    """How each account is addressed, once that was asked."""
    _asking: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)
    _efforts: dict[str, tuple[str, ...]] = field(factory=dict, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        path = self.auth_file or home(gateway.env) / "auth.json"
        self._clock = gateway.clock
        self._codex = found("codex", gateway.env) if path.name == "auth.json" else None
        mode = self._mode()
        told = advice(path.parent)
        env = {**gateway.env, "CODEX_HOME": str(path.parent)}
        file = CredentialFile(path, told)
        self._login = Login(
            self.name,
            CodexLogin(self.token_url, self.client_id, gateway.clock, mode == "follow", told),
            file,
            mode,
            gateway.clock,
            given=_given(self.access_token.reveal()) if mode == "env" else None,
            where=self.access_token.name,
            delegate=lambda: _delegated(self._codex or "codex", env, file),
        )
        return [self]

    def _mode(self) -> Mode:
        if self.refresh or self.source == "co-manage":
            return "co-manage"
        if self.source != "auto":
            return self.source
        if self.access_token.is_set:
            return "env"
        return "delegate" if self._codex else "follow"

    @property
    def login(self) -> Login:
        """The login."""
        assert self._login is not None, "the hook has made it"
        return self._login

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The login."""
        return [self.login.state]

    # ---- where to ask

    @property
    def models_url(self) -> str:
        """Where the list of models is."""
        url = self.listed_at or f"{self.base_url.rstrip('/')}/models"
        return f"{url}{'&' if '?' in url else '?'}client_version={quote(self.client_version)}"

    @property
    def routed_at(self) -> str:
        """Where it is told how a workspace is routed."""
        return self.accounts_url or f"{self.base_url.rstrip('/').rpartition('/')[0]}/wham/accounts/check"

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        known = next(reversed(self._workspaces.values()), Workspace())
        return placed(self.base_url.rstrip("/"), known.origin) + {**self.paths, "generate": self.path}[request.operation]

    def _strangers(self) -> Iterable[str]:
        """URLs that the login may not be shown to, and why."""
        if self.allow_insecure_origin:
            return
        for url in (self.base_url, self.routed_at, self.listed_at or self.base_url):
            if (why := strange(url, VENDOR)) is not None:
                yield why
        if self.login.mode == "co-manage" and (why := strange(self.token_url, TOKEN_URL)) is not None:
            yield why

    def problems(self) -> Iterable[str]:
        """What is wrong with its URLs, whose they are, and whether Codex is there to be asked."""
        yield from problems(self.base_url, {**self.asking({}), **self.identity.headers({})})
        yield from self._strangers()
        if self.login.mode == "delegate" and self._codex is None:
            yield "`source: delegate` needs the command codex on the PATH: install it, or say `source: follow`"

    # ---- who asks

    async def _tokens(self, gateway: Gateway) -> Tokens:
        for problem in self._strangers():  # SECURITY: before the token is looked for, or a fresh one is asked for
            raise CredentialUnusable(f"The back-end '{self.name}' is not asked: {problem}.")
        return await self.login.tokens(gateway.http)

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The token, and the workspace that it is for."""
        tokens = await self._tokens(gateway)
        account = tokens.about.get("account", "")
        override = self._workspaces.get(account, Workspace()).override
        return {**_shown(tokens), **({workspace.HEADER: override} if override else {})}

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token now."""
        told = refused.get("authorization", "").removeprefix("Bearer ")
        return await self.login.renewed(gateway.http, told) is not None

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        """Where the workspace is served, asked once; where that is not told, as if it were anywhere."""
        account = (await self._tokens(gateway)).about.get("account", "")
        if account in self._workspaces:
            return
        async with self._asking:
            for _ in range(2):
                tokens = await self._tokens(gateway)
                account = tokens.about.get("account", "")
                if account in self._workspaces:
                    return
                known = await self._routed(gateway, tokens, account)
                if known is not None:
                    self._workspaces.clear()  # the login is another one by now
                    self._workspaces[account] = known
                elif await self.login.renewed(gateway.http, tokens.access) is None:
                    return

    async def _routed(self, gateway: Gateway, tokens: Tokens, account: str) -> Workspace | None:
        """How the workspace is addressed; None where the login was refused."""
        headers = {**self.identity.headers({}), **self.asking({}), **_shown(tokens)}
        try:
            async with asyncio.timeout(PATIENCE):
                status, body = await workspace.asked(gateway.http, self.routed_at, headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            status, body = 0, b""
            log.info("back-end '%s': nothing is known of the workspace's routing (%s)", self.name, type(error).__name__)
        if status == 401:
            return None
        return (workspace.read(body, account) if status == 200 else None) or Workspace()

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What else is sent: this program's name, and of Codex itself, if it is the client, its own headers."""
        ours = {"originator": self.identity.headers({}).get("originator", "llmgw")}
        kept = {name: value for name, value in headers.items() if name.startswith("x-codex-") or name in _KEPT}
        if "session_id" in headers:  # as clients of 2025 call it
            kept.setdefault("session-id", headers["session_id"])
        return {**kept, **ours}

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """With what each question has: a session, so that the next one of a conversation finds its cache."""
        told = {} if url.endswith("/compact") else {"accept": "text/event-stream"}
        return {**told, **headers, "session-id": headers.get("session-id") or session(body)}

    # ---- what is said

    def speaks(self, request: Request) -> Dialect:
        """The dialect, in which Codex itself is told more."""
        native = request.dialect == NATIVE.name and any(name.startswith("x-codex-") for name in request.headers)
        return NATIVE if native else PLAIN

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, with the efforts that ChatGPT lists, and over it what the deployment says."""
        listed = {"efforts": list(self._efforts[model])} if self._efforts.get(model) else {}
        return with_overrides(dialect.profile(model), {**listed, **self.profile})

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With what to do next."""
        return explained(error, self._clock.time())

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models of the plan; as Codex has last seen them where ChatGPT does not tell."""
        try:
            models = await super().models(gateway)
        except UpstreamError as error:
            kept = catalogue.kept(self.login.file.path.parent) if error.kind != "authentication" else None
            if kept is None:
                raise
            log.warning("back-end '%s': models are listed as Codex has kept them: %s", self.name, error)
            models = kept
        self._efforts = {one.id: catalogue.efforts(one) for one in models}
        return models

    def read_models(self, body: bytes) -> Sequence[ModelInfo]:
        """Those that are to be seen."""
        return catalogue.read(body)


_KEPT: Final = ("session-id", "thread-id", "x-client-request-id")


def session(body: bytes) -> str:
    """An id that is the same for all questions of a conversation: of its cache key, else of how it begins.

    Args:
        body: as it is sent.
    """
    tree = jsons.loads(body)
    key = tree.get("prompt_cache_key")
    if not key:
        items = tree.get("input") or []
        users = (n for n, one in enumerate(items) if isinstance(one, dict) and one.get("role") == "user")
        key = jsons.dumps([tree.get("model"), tree.get("instructions"), items[: next(users, 0) + 1]])
    try:
        return str(uuid.UUID(key if isinstance(key, str) else ""))
    except (ValueError, AttributeError, TypeError):
        data = key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogatepass")
        return str(uuid.uuid5(_SPACE, hashlib.sha256(data).hexdigest()))


def placed(base: str, origin: str) -> str:
    """A URL at the server that a workspace is told to be at, if it is OpenAI's own and no other is configured.

    Args:
        base: the configured URL.
        origin: the workspace's.
    """
    try:
        host = URL(origin).host or ""
    except ValueError:
        return base
    # SECURITY: an answer decides here where a login is shown, so only at ChatGPT's own hosts
    own = origin.startswith("https://") and (host == "chatgpt.com" or host.endswith(".chatgpt.com"))
    return f"{URL(origin).origin()}{URL(VENDOR).path}" if own and base == VENDOR else base


async def _delegated(command: str, env: Mapping[str, str], file: CredentialFile) -> None:
    """Have Codex refresh its login.

    Raises:
        CommandFailed: it has not; what else it could not tell, as where the workspace is served, is not asked of it here.
    """
    before = file.read().get("tokens")
    try:
        await app_server.refreshed(command, env)
    except CommandFailed:
        if file.read().get("tokens") == before:
            raise


def _given(token: str) -> Tokens:
    return Tokens(token, None, expiry(token), {"account": account_in({"access_token": token})})


def _shown(tokens: Tokens) -> dict[str, str]:
    """How a login is shown."""
    account = tokens.about.get("account", "")
    told = {"chatgpt-account-id": account} if account else {}
    return {"authorization": f"Bearer {tokens.access}", **told}
