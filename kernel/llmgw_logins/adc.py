"""Google's application default credentials (ADC): whichever of its logins a machine has, found where Google's own programs look.

In this order (https://cloud.google.com/docs/authentication/application-default-credentials):

1. the file that an option or ``GOOGLE_APPLICATION_CREDENTIALS`` names;
2. the file that ``gcloud auth application-default login`` has written;
3. the metadata server of a machine in Google Cloud.

The files hold no access token: one is asked for, kept in memory, and asked for again when it is due, was refused, or the file
has changed. Nothing is ever written. ``google-auth`` (the extra ``gcp``) signs for service accounts and knows the rarer kinds of
files; whatever it asks of a server goes through the gateway's own session.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import define, field, frozen

from llmgw import jsons
from llmgw.errors import CredentialUnusable
from llmgw.stages import Clock, CredentialState
from llmgw_logins.commands import CommandFailed, ask, found
from llmgw_logins.files import CredentialFile
from llmgw_logins.grants import GrantRefused, granted
from llmgw_logins.login import Tokens

log = logging.getLogger("llmgw.logins")

TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  # a URL
METADATA_URL: Final = "http://metadata.google.internal"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
ADVICE: Final = "Run: gcloud auth application-default login"

SKEW: Final = 225.0
"""Seconds before its end at which a token is due, as for google-auth."""
PAUSE: Final = 5.0
"""Seconds before a server that gave no token is asked again."""

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE: Final = 3600
"""Seconds, the longest that Google allows an assertion to be good for; also of a token that does not say how long it is."""
_COMMAND: Final = ("auth", "application-default", "print-access-token")
_COMMANDS_LIFE: Final = 600.0
"""Seconds for which a token of gcloud's is used: it is fresh when it is printed, and does not say until when."""
_METADATA: Final = "/computeMetadata/v1"
_FLAVOR: Final = {"metadata-flavor": "Google"}
_LARGEST: Final = 2**20
"""Bytes of an answer."""
_BOARD: Final = Path("/sys/class/dmi/id/product_name")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
    "service_account": ("client_email", "private_key"),
    "impersonated_service_account": ("service_account_impersonation_url", "source_credentials"),
    "external_account": ("audience", "credential_source"),
    "external_account_authorized_user": ("client_id", "client_secret", "refresh_token", "token_url"),
}
"""The kinds of files, and what each must hold."""
_CODE: Final = re.compile(r"Error code (\w{1,50})")
_NEW_KEY: Final = (
    "Is this machine's clock right, and is the account enabled? Else make a new key of it and name its file in "
    "GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login"
)


@frozen
class Source:
    """One place where tokens come from.

    Args:
        told: what people hear of it.
        identity: the very object that it was made of; another one where that has changed.
        ask: for a token; raises ``GrantRefused``.
        advice: what to do where it gives none any more.
    """

    told: str
    identity: object = field(repr=False)
    ask: Callable[[aiohttp.ClientSession], Awaitable[Tokens]] = field(repr=False)
    advice: str = ADVICE


@define(eq=False)
class Adc:
    """Application default credentials. ``Tokens.about`` may have ``quota_project`` and ``project``.

    Args:
        env: the environment: ``GOOGLE_APPLICATION_CREDENTIALS``, ``CLOUDSDK_CONFIG``, ``GCE_METADATA_HOST`` and the like.
        clock: the gateway's.
        credentials_file: instead of the one that the environment names.
        token_url: where tokens are asked for, instead of Google's or of the one that a service account's file names.
        metadata_url: of the metadata server, without a path.
        delegate: whether gcloud is asked for tokens, instead of reading its file.
        board: where Linux tells what machine it runs on.
    """

    env: Mapping[str, str] = field(repr=False)
    clock: Clock
    credentials_file: Path | None = None
    token_url: str | None = None
    metadata_url: str | None = None
    delegate: bool = False
    board: Path = _BOARD
    _files: dict[Path, CredentialFile] = field(factory=dict, init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _known: Tokens | None = field(default=None, init=False)
    _of: object = field(default=None, init=False, repr=False)
    """What the known token was made of."""
    _dead: object = field(default=None, init=False, repr=False)
    """What was refused for good."""
    _failed: tuple[float, GrantRefused] | None = field(default=None, init=False)
    """Until when nobody is asked again, and why."""

    async def token(self, http: aiohttp.ClientSession) -> Tokens:
        """A token that Google may be expected to take.

        Args:
            http: the gateway's session.

        Raises:
            CredentialUnusable: there are no credentials here, or they have ended; the message says what to run.
        """
        return self._good(self._source()) or await self._fresh(http, refused=None)

    async def renewed(self, http: aiohttp.ClientSession, refused: str) -> Tokens | None:
        """Another token than this, which Google has refused; None where there is none.

        Args:
            http: the gateway's session.
            refused: the access token.

        Raises:
            CredentialUnusable: the credentials have ended.
        """
        known = self._good(self._source())
        if known is not None and known.access != refused:
            return known
        fresh = await self._fresh(http, refused)
        return fresh if fresh.access != refused else None

    @property
    def state(self) -> CredentialState:
        """What there is to say of them, found without asking anybody."""
        try:
            source = self._source()
        except CredentialUnusable as error:
            return CredentialState("adc", "no application default credentials", problem=str(error))
        problem = self._ended(source) if source.identity is self._dead else ""
        return CredentialState("adc", source.told, problem=problem)

    # ---- keeping a token fresh

    async def _fresh(self, http: aiohttp.ClientSession, refused: str | None) -> Tokens:
        async with self._turn:
            source = self._source()
            known = self._good(source)
            if known is not None and known.access != refused:
                return known  # somebody else has waited for it
            if source.identity is self._dead:
                raise CredentialUnusable(self._ended(source))
            try:
                if self._failed is not None and self._of is source.identity and self.clock.monotonic() < self._failed[0]:
                    raise self._failed[1]
                made = await source.ask(http)
            except GrantRefused as failure:
                return self._without(failure, source, refused)
            self._known, self._of, self._failed = made, source.identity, None
            return made

    def _without(self, failure: GrantRefused, source: Source, refused: str | None) -> Tokens:
        """The old token where it is still good; else why there is none."""
        if failure.permanent:
            self._dead = source.identity
            raise CredentialUnusable(self._ended(source, failure)) from None
        if self._of is not source.identity:
            self._known, self._of = None, source.identity
        if self._failed is None or self._failed[1] is not failure:
            self._failed = (self.clock.monotonic() + PAUSE, failure)
            log.warning("application default credentials (%s): no fresh token now: %s", source.told, failure)
        known = self._known
        if known is not None and known.access != refused and not self._due(known, 0.0):
            return known
        raise CredentialUnusable(f"No token by application default credentials ({source.told}): {failure}. Ask again later.")

    def _good(self, source: Source) -> Tokens | None:
        """The known token, where it is this source's and not due."""
        known = self._known
        return known if known is not None and self._of is source.identity and not self._due(known, SKEW) else None

    def _due(self, known: Tokens, skew: float) -> bool:
        return known.expires_at is not None and known.expires_at - self.clock.time() <= skew

    @staticmethod
    def _ended(source: Source, failure: GrantRefused | None = None) -> str:
        why = f" ({failure})" if failure is not None else ""
        return f"The application default credentials ({source.told}) were revoked or have ended{why}. {source.advice}"

    # ---- where tokens come from

    def _source(self) -> Source:
        if self.delegate:
            return self._gcloud()
        named = self.credentials_file or self.env.get("GOOGLE_APPLICATION_CREDENTIALS")
        path = self._expanded(str(named)) if named else self._gclouds_file()
        if path is not None and (named or path.exists()):
            return self._of_file(self._files.setdefault(path, CredentialFile(path, ADVICE)))
        base = self._metadata_base()
        if base is None:
            raise CredentialUnusable(
                f"There are no application default credentials: no file of gcloud's, and this is no machine in Google Cloud. "
                f"{ADVICE}, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS"
            )
        why = "Attach a service account to this machine"
        return Source("metadata server", _METADATA, lambda http: self._metadata(http, base), why)

    def _expanded(self, path: str) -> Path:
        home = self.env.get("HOME")
        return Path(home + path[1:]) if home and path.startswith("~/") else Path(path)

    def _gclouds_file(self) -> Path | None:
        """Where gcloud keeps its own, on each system."""
        env = self.env
        folder = env.get("CLOUDSDK_CONFIG")
        if not folder and os.name == "nt" and env.get("APPDATA"):
            folder = f"{env['APPDATA']}/gcloud"
        if not folder and env.get("HOME"):
            folder = f"{env['HOME']}/.config/gcloud"
        return Path(folder) / "application_default_credentials.json" if folder else None

    def _metadata_base(self) -> str | None:
        """Where the metadata server is; None where nothing says that there is one, for asking an unknown host may take long."""
        host = self.env.get("GCE_METADATA_HOST")
        if self.metadata_url or host:
            return (self.metadata_url or f"http://{host}").rstrip("/")
        if self.env.get("NO_GCE_CHECK", "").lower() == "true":
            return None
        return METADATA_URL if self.env.get("K_SERVICE") or _product(self.board).startswith("Google") else None

    def _of_file(self, file: CredentialFile) -> Source:
        tree = file.read()
        kind = str(tree.get("type") or "")
        if kind not in _NEEDED:
            told = f"of the type '{kind:.40}'" if kind else "of no type"
            raise CredentialUnusable(f"The credentials in {file.shown} are {told}, which cannot be used here. {ADVICE}")
        if missing := [name for name in _NEEDED[kind] if not tree.get(name)]:
            raise CredentialUnusable(f"The credentials in {file.shown} are corrupt: {', '.join(missing)} is missing. {ADVICE}")
        advice = _NEW_KEY if kind == "service_account" else ADVICE
        return Source(f"{kind.replace('_', ' ')} from {file.shown}", tree, lambda http: self._asked(http, tree), advice)

    # ---- asking

    async def _asked(self, http: aiohttp.ClientSession, tree: Mapping[str, Any]) -> Tokens:
        """By what a file says."""
        match tree.get("type"):
            case "authorized_user":
                return await self._refreshed(http, tree)
            case "service_account":
                return await self._asserted(http, tree)
            case "impersonated_service_account":
                return await self._impersonated(http, tree)
            case _:
                return await self._by_library(http, tree)

    async def _refreshed(self, http: aiohttp.ClientSession, tree: Mapping[str, Any]) -> Tokens:
        """A person's login: its refresh token is not rotated, so nothing needs to be written (RFC 6749, 6)."""
        form = {name: str(tree[name]) for name in _NEEDED["authorized_user"]}
        answer = await granted(http, self.token_url or TOKEN_URL, form={"grant_type": "refresh_token", **form})
        return self._tokens(answer, tree)

    async def _asserted(self, http: aiohttp.ClientSession, tree: Mapping[str, Any]) -> Tokens:
        """A service account: it signs who it is (RFC 7523, 2.1)."""
        audience = tree.get("token_uri") or TOKEN_URL
        now = int(self.clock.time())
        claims = {"iss": tree["client_email"], "scope": SCOPE, "aud": audience, "iat": now, "exp": now + _LIFE}
        assertion = await asyncio.to_thread(_signed, tree, claims)
        form = {"grant_type": _JWT_BEARER, "assertion": assertion}
        return self._tokens(await granted(http, self.token_url or audience, form=form), tree)

    async def _impersonated(self, http: aiohttp.ClientSession, tree: Mapping[str, Any]) -> Tokens:
        """A service account that another login may act for (IAM Credentials API, ``generateAccessToken``)."""
        source = tree["source_credentials"]
        if not isinstance(source, dict) or any(not source.get(name) for name in _NEEDED.get(str(source.get("type")), ("type",))):
            raise GrantRefused("its source_credentials are none", permanent=True)
        bearer = (await self._asked(http, source)).access
        wanted = {"delegates": tree.get("delegates") or [], "scope": [SCOPE], "lifetime": f"{_LIFE}s"}
        answer = await _impersonation(http, tree["service_account_impersonation_url"], bearer, wanted)
        return Tokens(answer["accessToken"], expires_at=self.clock.time() + _LIFE, about=self._about(tree))

    async def _by_library(self, http: aiohttp.ClientSession, tree: Mapping[str, Any]) -> Tokens:
        """Workload and workforce identities, which google-auth knows; it waits, and so does so in a thread."""
        over = Over(http, asyncio.get_running_loop())
        try:
            access, expires_at = await asyncio.to_thread(_asked_library, tree, over)
        finally:
            over.close()
        return Tokens(access, expires_at=expires_at, about=self._about(tree))

    async def _gclouds_token(self, command: str) -> Tokens:
        try:
            printed = await ask((command, *_COMMAND), env=self.env)
        except CommandFailed as failure:
            raise GrantRefused(f"{failure}; run it yourself to see why: gcloud {' '.join(_COMMAND)}") from None
        access = printed.decode(errors="replace").strip()
        if not access or not access.isprintable() or " " in access:
            raise GrantRefused("gcloud printed no token")
        return Tokens(access, expires_at=self.clock.time() + SKEW + _COMMANDS_LIFE, about=self._about({}))

    def _gcloud(self) -> Source:
        command = found("gcloud", self.env)
        if command is None:
            raise CredentialUnusable("There is no command gcloud here to ask for a token. Install it, or set `delegate: false`.")
        return Source("token from gcloud", _COMMAND, lambda http: self._gclouds_token(command))

    async def _metadata(self, http: aiohttp.ClientSession, base: str) -> Tokens:
        """Of the service account that this machine runs as (https://cloud.google.com/compute/docs/metadata)."""
        answer = _object(await _told(http, f"{base}{_METADATA}/instance/service-accounts/default/token"))
        if not isinstance(answer.get("access_token"), str) or not answer["access_token"]:
            raise GrantRefused("the metadata server's answer holds no token")
        try:
            project = (await _told(http, f"{base}{_METADATA}/project/project-id")).decode(errors="replace")
        except GrantRefused:
            project = ""
        return self._tokens(answer, {"project_id": project})

    def _tokens(self, answer: Mapping[str, Any], tree: Mapping[str, Any]) -> Tokens:
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else _LIFE
        return Tokens(answer["access_token"], expires_at=self.clock.time() + seconds, about=self._about(tree))

    def _about(self, tree: Mapping[str, Any]) -> Mapping[str, str]:
        """On whose quota requests count, and whose project it is, where the credentials say so."""
        told = {
            "quota_project": self.env.get("GOOGLE_CLOUD_QUOTA_PROJECT") or tree.get("quota_project_id"),
            "project": tree.get("project_id"),
        }
        return {name: value for name, value in told.items() if isinstance(value, str) and value}


# ---- servers


async def _told(http: aiohttp.ClientSession, url: str) -> bytes:
    """What the metadata server says; whoever answers without its header is another (a captive portal, say).

    Raises:
        GrantRefused: nothing.
    """
    try:
        async with asyncio.timeout(10.0), http.get(url, headers=_FLAVOR, allow_redirects=False) as response:
            data = await _up_to(response)
            status, flavor = response.status, response.headers.get("metadata-flavor")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GrantRefused(f"the metadata server cannot be reached ({type(error).__name__})") from None
    if status == 404:
        raise GrantRefused("the metadata server knows no service account of this machine", permanent=True)
    if status != 200 or flavor != _FLAVOR["metadata-flavor"]:
        raise GrantRefused(f"the metadata server answered {status}" if status != 200 else "what answered is no metadata server")
    return data


async def _impersonation(http: aiohttp.ClientSession, url: str, bearer: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What the IAM Credentials API grants.

    Raises:
        GrantRefused: nothing.
    """
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
    sent = http.post(url, data=jsons.dumps(wanted), headers=headers, allow_redirects=False)
    try:
        async with asyncio.timeout(30.0), sent as response:
            status, data = response.status, await _up_to(response)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GrantRefused(f"the IAM Credentials API cannot be reached ({type(error).__name__})") from None
    answer = _object(data)
    if status != 200 or not isinstance(answer.get("accessToken"), str) or not answer["accessToken"]:
        why = "; the login needs the role Service Account Token Creator" if status == 403 else ""
        raise GrantRefused(f"the IAM Credentials API answered {status}{why}")
    return answer


async def _up_to(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while len(data) < _LARGEST and (piece := await response.content.read(_LARGEST - len(data))):
        data += piece
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        tree = jsons.loads(data)
    except jsons.JsonError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _product(board: Path) -> str:
    try:
        return board.read_text(errors="replace").strip()
    except OSError:
        return ""


# ---- google-auth, which not everybody has


@frozen
class Answer:
    """A server's answer, as google-auth wants it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


@define(eq=False)
class Over:
    """What google-auth calls a request: made in its thread, sent by the gateway's session.

    Args:
        http: the session.
        loop: that it lives in.
    """

    http: aiohttp.ClientSession
    loop: asyncio.AbstractEventLoop
    _closed: bool = False
    _waiting: Any = None

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: float | None = None, **more: Any
    ) -> Answer:
        """Send it, and wait."""
        wrong = _library("exceptions").TransportError
        if self._closed or any(value is not None for value in more.values()):
            raise wrong("it is no longer wanted" if self._closed else "client certificates are not used here")
        self._waiting = asyncio.run_coroutine_threadsafe(self._sent(url, method, body, headers, timeout or 30.0), self.loop)
        try:
            answer: Answer = self._waiting.result()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise wrong(f"a server cannot be reached ({type(error).__name__})") from None
        return answer

    async def _sent(self, url: str, method: str, body: Any, headers: Any, patience: float) -> Answer:
        sent = self.http.request(method, url, data=body, headers=headers, allow_redirects=False)
        async with asyncio.timeout(patience), sent as response:
            return Answer(response.status, dict(response.headers), await _up_to(response))

    def close(self) -> None:
        """Nobody waits for it any more."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()


def _library(name: str) -> Any:
    """A module of google-auth.

    Raises:
        GrantRefused: it is not installed.
    """
    try:
        return import_module(f"google.auth.{name}")
    except ImportError:
        raise GrantRefused("these credentials need google-auth; run: pip install 'llmgw[gcp]'") from None


def _signed(tree: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """An assertion, signed by RS256."""
    jwt, crypt = _library("jwt"), _library("crypt")
    try:
        signer = crypt.RSASigner.from_service_account_info(tree)
    except ValueError:
        raise GrantRefused("its private_key is no RSA key in PEM", permanent=True) from None
    signed = jwt.encode(signer, claims, key_id=tree.get("private_key_id"))
    return str(signed, "ascii") if isinstance(signed, bytes) else str(signed)


def _asked_library(tree: Mapping[str, Any], over: Over) -> tuple[str, float | None]:
    """A token and its end."""
    wrong = _library("exceptions")
    try:
        made = _library(_module_for(tree)).Credentials.from_info(tree, scopes=[SCOPE])
        made.refresh(over)
    except (wrong.GoogleAuthError, ValueError, KeyError, TypeError) as error:  # its words may hold a path or a token
        told = _CODE.search(str(error))
        code = told[1] if told else type(error).__name__
        raise GrantRefused(f"google-auth got none: {code}", code=code, permanent=code == "invalid_grant") from None
    return made.token, made.expiry.replace(tzinfo=UTC).timestamp() if made.expiry else None


def _module_for(tree: Mapping[str, Any]) -> str:
    """Where google-auth has the class for a file (https://google.aip.dev/auth/4117)."""
    if tree["type"] == "external_account_authorized_user":
        return "external_account_authorized_user"
    if str(tree.get("subject_token_type", "")).startswith("urn:ietf:params:aws:"):
        return "aws"
    source = tree["credential_source"]
    return "pluggable" if isinstance(source, dict) and source.get("executable") else "identity_pool"
