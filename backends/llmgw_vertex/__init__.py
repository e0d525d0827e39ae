"""Vertex AI: Gemini, Claude and open models, billed to a Google Cloud project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from attrs import define, field
from yarl import URL

from llmgw import (
    Backend,
    Count,
    CredentialState,
    Dialect,
    Gateway,
    KeyBackend,
    Misconfigured,
    ModelInfo,
    Operation,
    Profile,
    Request,
    Secret,
    Target,
    UpstreamError,
    hookimpl,
)
from llmgw_dialects.google_gemini import method
from llmgw_dialects.profiles import with_overrides
from llmgw_logins.adc import Adc
from llmgw_vertex.advice import advice
from llmgw_vertex.dialects import CLAUDE_VERSION, GEMINI, OPEN, VertexClaude
from llmgw_vertex.listing import read_publisher_models
from llmgw_vertex.naming import named

if TYPE_CHECKING:
    from llmgw import Exchange

PROJECTS = ("GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT_ID")
LOCATIONS = ("GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION")
"""Variables of Google's and Anthropic's SDKs; the first one set counts."""


def host(location: str) -> str:
    """Google's own URL for a location: one for all, one for each multi-region, one for each region (as in google-genai)."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def strange(name: str, url: str) -> str | None:
    """What is wrong with showing a login there; None where nothing is: Google has many hosts, all under one name.

    Args:
        name: of the option.
        url: its value.
    """
    try:
        read = URL(url)
    except ValueError:
        return f"{name} is no URL"
    if read.scheme == "https" and (read.host or "").endswith(".googleapis.com"):
        return None
    return (
        f"a login of Google Cloud is shown to https://*.googleapis.com only, and {name} {read.scheme}://{read.host} is another; "
        "for a proxy or a test server of your own say `allow_insecure_origin: true`"
    )


@define(eq=False, kw_only=True)
class Vertex(KeyBackend):
    """Vertex AI: Gemini, Claude and open models, billed to a Google Cloud project.

    It is asked by application default credentials: those of ``gcloud auth application-default login``, a service account, or the
    account of a machine in Google Cloud; or by a key of its express mode. Models are named as Google names them:
    ``gemini-2.5-pro``, ``claude-sonnet-4-5``, ``meta/llama-3.3-70b-instruct-maas``, or ``endpoints/ID`` for a Gemini model tuned
    in the project.

    Args:
        project: the id of the project that pays; else ``GOOGLE_CLOUD_PROJECT``, ``ANTHROPIC_VERTEX_PROJECT_ID``, or the one that
            the credentials name.
        location: a region, ``us``, ``eu`` or ``global``; else ``GOOGLE_CLOUD_LOCATION``, ``CLOUD_ML_REGION``, or ``global``.
        base_url: Google's for the location, or that of a proxy or a test server before it; without the version.
        version: of the API.
        list_version: of the API that lists models.
        credentials_file: instead of the one that ``GOOGLE_APPLICATION_CREDENTIALS`` names or gcloud keeps.
        delegate: whether ``gcloud auth application-default print-access-token`` is asked for tokens, instead of its file.
        token_url: where tokens are asked for.
        metadata_url: of the metadata server of a machine in Google Cloud.
        allow_insecure_origin: whether a token may be shown to a ``base_url`` that is not Google's.
        api_key: of the express mode, which serves Gemini alone; sent as ``x-goog-api-key`` instead of a token.
        keys: several, instead of it; else further ones are taken from ``GOOGLE_VERTEX_API_KEY_2`` and so on.
        models: names to list; else Google's own are.
        anthropic_version: for Claude, unless the client is one of Anthropic's and names a newer one.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Google is told that this is.
    """

    dialect = GEMINI
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": ""}

    name: str = "vertex"
    project: str | None = None
    location: str | None = None
    base_url: str = ""
    version: str = "v1"
    list_version: str = "v1beta1"
    credentials_file: Path | None = None
    delegate: bool = False
    token_url: str | None = None
    metadata_url: str | None = None
    allow_insecure_origin: bool = False
    api_key: Secret = Secret.env("GOOGLE_VERTEX_API_KEY")
    listed: list[str] = field(factory=list, alias="models")
    anthropic_version: str = CLAUDE_VERSION
    _project: str = field(default="", init=False)
    _adc: Adc | None = field(default=None, init=False)
    _claude: VertexClaude = field(factory=VertexClaude, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        env = gateway.env
        self.gather(env)
        self.project = self.project or next((env[name] for name in PROJECTS if env.get(name)), None)
        self.location = self.location or next((env[name] for name in LOCATIONS if env.get(name)), "global")
        self.base_url = self.base_url or env.get("GOOGLE_VERTEX_BASE_URL") or host(self.location)
        self._adc = Adc(env, gateway.clock, self.credentials_file, self.token_url, self.metadata_url, self.delegate)
        self._claude = VertexClaude(self.anthropic_version)
        return [self]

    # ---- where requests go

    def speaks(self, request: Request) -> Dialect:
        """The dialect of the model's publisher."""
        match named(request.model).way:
            case "gemini":
                return GEMINI
            case "claude":
                return self._claude
            case _:
                return OPEN

    def url(self, target: Target, request: Request) -> str:
        """The model and what is asked of it stand in the path, but for open models."""
        model = named(target.model)
        match model.way:
            case "gemini":
                return f"{self._place}/{model.path}:{method(request)}"
            case "claude" if request.operation == "count_tokens":
                return f"{self._place}/publishers/anthropic/models/count-tokens:rawPredict"
            case "claude" | "mistral":
                return f"{self._place}/{model.path}:{'streamRawPredict' if request.stream else 'rawPredict'}"
            case _:
                return f"{self._place}/endpoints/openapi/chat/completions"

    @property
    def models_url(self) -> str:
        """Where Google's own models are listed, which needs no project."""
        return f"{self.base_url.rstrip('/')}/{self.list_version}/publishers/google/models?pageSize=1000"

    @property
    def _place(self) -> str:
        """Before a model's path; with a key, the key says whose project it is."""
        base = f"{self.base_url.rstrip('/')}/{self.version}"
        return base if self._by_key else f"{base}/projects/{self._project}/locations/{self.location}"

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        """Find the project, where only the credentials name it.

        Raises:
            Misconfigured: nothing does, or the model cannot be had with a key.
        """
        if self._by_key:
            if target.model and named(target.model).way != "gemini":
                raise Misconfigured(
                    f"A key of Vertex AI's express mode serves Gemini alone, not '{target.model}'. Unset {self.api_key.name}, "
                    "set `project`, and run: gcloud auth application-default login"
                )
            return
        self._project = self.project or ""
        if not self._project and target.model:
            self._check_origin()
            self._project = (await self.adc.token(gateway.http)).about.get("project", "")
            if not self._project:
                raise Misconfigured(
                    f"The back-end '{self.name}' does not know which Google Cloud project pays. Export GOOGLE_CLOUD_PROJECT, or "
                    "set its `project`."
                )

    # ---- credentials

    @property
    def adc(self) -> Adc:
        """The application default credentials."""
        assert self._adc is not None, "the hook has made them"
        return self._adc

    @property
    def _by_key(self) -> bool:
        return any(one.is_set for one in self._pool or (self.api_key, *self.keys))

    def shown(self, key: str) -> Mapping[str, str]:
        """In Google's own header."""
        return {"x-goog-api-key": key}

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """A key, or a token and whose quota it counts on."""
        if self._by_key:
            return self.headers(target)
        self._check_origin()
        tokens = await self.adc.token(gateway.http)
        quota = tokens.about.get("quota_project")
        return {"authorization": f"Bearer {tokens.access}", **({"x-goog-user-project": quota} if quota else {})}

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token; a key is what it is."""
        token = refused.get("authorization", "").removeprefix("Bearer ")
        return bool(token) and await self.adc.renewed(gateway.http, token) is not None

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The keys, or the application default credentials."""
        return super().credentials if self._by_key or self._adc is None else [self._adc.state]

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL, and whose that is."""
        yield from super().problems()
        if not self._by_key and (told := self._strange()) is not None:
            yield told

    def _check_origin(self) -> None:
        """Raises Misconfigured where a token would be shown to a stranger: it opens all of a Google Cloud account."""
        if (told := self._strange()) is not None:
            raise Misconfigured(f"The back-end '{self.name}': {told}")

    def _strange(self) -> str | None:
        if self.allow_insecure_origin:
            return None
        given = {"base_url": self.base_url, "token_url": self.token_url}
        return next((told for name, url in given.items() if url and (told := strange(name, url)) is not None), None)

    # ---- what is said

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, what is so on Vertex AI alone, and over it what the deployment says."""
        known = named(model)
        own = dict(_OWN.get(known.way, {}))
        if known.way == "claude" and self.anthropic_version >= "2026-10-21" and self.anthropic_version[:1].isdigit():
            own["sampling"] = ["max_output", "stop"]  # the newer version refuses temperature, top_p and top_k
        return with_overrides(dialect.profile(known.model), {**own, **self.profile})

    def explained(self, error: UpstreamError) -> UpstreamError:
        """Google's refusal, and what to do about it."""
        told = advice(error, self._project, self.location or "")
        if told:
            error.message = f"{error.message.rstrip()} {told}"
            error.args = (error.message,)
        return error

    # ---- counting and listing

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        """Ask Google, or Claude, to count; open models do not."""
        return await super().count(exchange, target, request) if named(target.model).way in ("gemini", "claude") else None

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else Google's own."""
        if self.listed:
            return [ModelInfo(model, owned_by=named(model).publisher or "google") for model in self.listed]
        return await super().models(gateway)

    def read_models(self, body: bytes) -> Sequence[ModelInfo]:
        """Read a publisher's list."""
        return read_publisher_models(body)


_OWN: Mapping[str, Mapping[str, object]] = {
    # "URL sources are not supported", says Claude on Vertex AI (BerriAI/litellm#23016)
    "claude": {"url_inputs": []},
    # fileData.fileUri may be any public URL, or one of Cloud Storage
    "gemini": {"url_inputs": ["image", "document", "audio", "video"]},
    "open": {"takes_details": True},
}
"""What is known of models by the way they are spoken to."""
