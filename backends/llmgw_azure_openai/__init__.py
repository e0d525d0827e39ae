"""OpenAI's models and Claude as Azure serves them: Azure OpenAI, and Microsoft Foundry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, Literal

from attrs import define, field

from llmgw import Backend, Dialect, Gateway, KeyBackend, ModelInfo, Operation, Profile, Request, Secret, Target, hookimpl
from llmgw.errors import ConfigError, CredentialUnusable, Unsupported, UpstreamError
from llmgw.exchange import Exchange
from llmgw.stages import Count, CredentialState
from llmgw_azure_openai.entra import Az, Entra, Principal, Source
from llmgw_azure_openai.places import foundry, is_azure, openai_path, resource_in, root
from llmgw_azure_openai.refusals import explained
from llmgw_dialects.anthropic_messages import DIALECT as MESSAGES
from llmgw_dialects.openai_chat import DIALECT as CHAT
from llmgw_dialects.openai_models import read_models
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.profiles import with_overrides
from llmgw_logins import expiry

TOKEN_URL: Final = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"  # noqa: S105  # a URL, no token
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
VERSION: Final = "2023-06-01"
"""Of Anthropic's API, the only one that Foundry has."""


@define(eq=False, kw_only=True)
class AzureOpenAI(KeyBackend):
    """One resource of Azure OpenAI or Microsoft Foundry; its models are called by the names of their deployments.

    Args:
        base_url: the resource, as ``https://NAME.openai.azure.com`` or ``https://NAME.services.ai.azure.com``; else that of
            ``AZURE_OPENAI_ENDPOINT``, or the one that ``AZURE_RESOURCE_NAME`` names.
        api_key: sent as ``api-key``.
        keys: several, instead of it; else further ones are taken from ``AZURE_OPENAI_API_KEY_2`` and so on.
        ad_token: a token of Entra ID, which counts more than a key; nobody renews it.
        entra: log in with Entra ID instead of a key: as the service principal of ``tenant``, ``client_id`` and
            ``client_secret`` where these are known, else as whoever is logged in at the command ``az``.
        tenant: else ``AZURE_TENANT_ID``.
        client_id: else ``AZURE_CLIENT_ID``.
        client_secret: of the service principal.
        token_url: where its tokens are granted; ``{tenant}`` in it is the tenant.
        scope: of the tokens.
        allow_insecure_origin: show tokens of Entra ID at a ``base_url`` that is not Microsoft's own, as a test server's.
        api_version: of the older API, as ``2024-10-21``, whose URLs name the deployment; without it the newer one is used.
        api: ``responses``, ``chat``, or ``auto``: the client's own where it speaks one of them, for others Responses, which
            keeps a model's thoughts from one turn to the next; the older API gets Chat Completions.
        deployments: which model stands behind a deployment whose name does not say so, as ``{fast: gpt-5-mini}``; these
            are then listed, since Azure lists only what could be deployed.
        anthropic_url: where Claude answers, for deployments of models named ``claude-…``; else the resource's own.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Azure is told that this is.
    """

    dialect = CHAT
    paths: ClassVar[Mapping[Operation, str]] = {
        "count_tokens": "/v1/messages/count_tokens", "compact": "/responses/compact",
    }  # fmt: skip

    name: str = "azure-openai"
    api_key: Secret = Secret.env("AZURE_OPENAI_API_KEY")
    ad_token: Secret = Secret.env("AZURE_OPENAI_AD_TOKEN")
    entra: bool = False
    tenant: str = ""
    client_id: str = ""
    client_secret: Secret = Secret.env("AZURE_CLIENT_SECRET")
    token_url: str = TOKEN_URL
    scope: str = SCOPE
    allow_insecure_origin: bool = False
    api_version: str | None = None
    api: Literal["responses", "chat", "auto"] = "auto"
    deployments: dict[str, str] = field(factory=dict)
    anthropic_url: str = ""
    _login: Entra | None = field(default=None, init=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: nothing names the resource.
        """
        self.gather(gateway.env)
        self.base_url = root(self.base_url or resource_in(gateway.env))
        if not self.base_url:
            raise ConfigError(
                "AZURE_OPENAI_ENDPOINT is not set: export it, as https://NAME.openai.azure.com, or say it here"
                f" @ backends.{self.name}.base_url"
            )
        self.anthropic_url = self.anthropic_url.rstrip("/") or foundry(self.base_url, gateway.env)
        if self.entra and not self.ad_token.is_set:
            self._login = Entra(self.name, self._source(gateway.env), gateway.clock)
        return [self]

    def _source(self, env: Mapping[str, str]) -> Source:
        tenant, client = self.tenant or env.get("AZURE_TENANT_ID", ""), self.client_id or env.get("AZURE_CLIENT_ID", "")
        if tenant and client and self.client_secret.is_set:
            return Principal(self.token_url.replace("{tenant}", tenant), client, self.client_secret, self.scope)
        return Az(self.scope, env)

    # ---- which API

    def model_behind(self, deployment: str) -> str:
        """The model of a deployment: as configured, else its own name is taken to say it."""
        return self.deployments.get(deployment, deployment)

    def is_claude(self, deployment: str) -> bool:
        """Whether it is Anthropic's, which Foundry serves by Anthropic's API."""
        return self.model_behind(deployment).lower().startswith("claude")

    def speaks(self, request: Request) -> Dialect:
        """Anthropic's dialect for Claude, else one of OpenAI's two.

        Raises:
            Unsupported: only Responses shortens histories.
        """
        if self.is_claude(request.model):
            if request.operation == "compact":
                raise Unsupported(f"Claude on Azure does not do this: {request.operation}.", param="model")
            return MESSAGES
        if request.operation == "compact" or self.api == "responses":
            return RESPONSES
        if self.api == "chat" or self.api_version is not None or request.dialect == CHAT.name:
            return CHAT
        return RESPONSES

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        if self.is_claude(request.model):
            return self.anthropic_url + self.paths.get(request.operation, "/v1/messages")
        path = "/responses" if self.speaks(request) is RESPONSES else "/chat/completions"
        path = self.paths.get(request.operation, path)
        return self.base_url + openai_path(path, request.model, self.api_version)

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of the model behind a deployment, and over it what the configuration says."""
        return with_overrides(dialect.profile(self.model_behind(model)), self.profile)

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        """Ask Claude's API to count; for other models Azure has none that does."""
        return await super().count(exchange, target, request) if self.is_claude(target.model) else None

    # ---- who asks

    @property
    def needs_key(self) -> bool:
        """Whether nobody gets in without one; a proxy of the deployment's own may add it."""
        return is_azure(self.base_url)

    def shown(self, key: str) -> Mapping[str, str]:
        """In Azure's own header."""
        return {"api-key": key}

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """A token of Entra ID, or the key; in Anthropic's own header for Claude (Microsoft Learn, "Use Claude in Foundry")."""
        if self.ad_token.is_set:
            return self._bearer(self.ad_token.reveal())
        if self._login is not None:
            self._refuse_strangers()  # before anything is asked for
            return self._bearer(await self._login.token(gateway.http))
        headers = self.headers(target)
        return {
            "x-api-key" if name == "api-key" and self.is_claude(target.model) else name: value for name, value in headers.items()
        }

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token of Entra ID now."""
        if self._login is None:
            return False
        return await self._login.renewed(gateway.http, refused.get("authorization", "").removeprefix("Bearer "))

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The same; for Claude with the version that a client of another dialect has not named."""
        return {"anthropic-version": VERSION, **headers} if self.is_claude(target.model) else headers

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The token, the login or the keys."""
        if self.ad_token.is_set:
            name, ends = self.ad_token.name, expiry(self.ad_token.reveal())
            return [CredentialState(name, f"token from {name}", self._stranger or "", ends)]
        if self._login is not None:
            told = self._login.state
            return [CredentialState(told.name, told.told, self._stranger or told.problem, told.expires_at)]
        return super().credentials

    def _bearer(self, token: str) -> Mapping[str, str]:
        self._refuse_strangers()
        return {"authorization": f"Bearer {token}"}

    @property
    def _stranger(self) -> str | None:
        if self.allow_insecure_origin or (is_azure(self.base_url) and is_azure(self.anthropic_url)):
            return None
        return (
            "A token of Entra ID is shown to Microsoft's own https:// addresses only, and base_url or anthropic_url is another; "
            "for a server of your own say `allow_insecure_origin: true`."
        )

    def _refuse_strangers(self) -> None:
        # SECURITY: such a token opens everything in the tenant that its owner's role allows
        if (told := self._stranger) is not None:
            raise CredentialUnusable(f"'{self.name}' has no token to show. {told}")

    # ---- what it says

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With what to do next."""
        return explained(error)

    @property
    def models_url(self) -> str:
        """Where Azure lists what could be deployed."""
        return self.base_url + openai_path("/models", "", self.api_version)

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The deployments that the configuration lists, else what Azure says that could be deployed for chats."""
        if self.deployments:
            return [ModelInfo(name, owned_by=self.name, display_name=model) for name, model in self.deployments.items()]
        return await super().models(gateway)

    def read_models(self, body: bytes) -> Sequence[ModelInfo]:
        """Those that chat, where it says so."""
        return [one for one in read_models(body) if _chats(one)]


def _chats(model: ModelInfo) -> bool:
    can = model.raw.get("capabilities") if isinstance(model.raw, dict) else None
    return not isinstance(can, dict) or can.get("chat_completion") is not False
