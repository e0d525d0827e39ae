"""Z.ai's API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, Literal

from attrs import define, field

from llmgw import (
    Backend,
    Clock,
    ConfigError,
    Dialect,
    Gateway,
    KeyBackend,
    ModelInfo,
    Profile,
    Request,
    Secret,
    Target,
    UpstreamBroken,
    UpstreamError,
    hookimpl,
)
from llmgw_dialects.anthropic_messages import DIALECT as MESSAGES
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.profiles import with_overrides
from llmgw_zai.dialect import ZAI
from llmgw_zai.models import KNOWN
from llmgw_zai.places import PLACES, VENDORS, Place, Region
from llmgw_zai.refusals import explained

KEYS: Final = ("ZAI_API_KEY", "ZHIPU_API_KEY")
"""The first one set counts: Z.ai's own name, and that of its house in China."""
VERSION: Final = "2023-06-01"


@define(eq=False, kw_only=True)
class Zai(KeyBackend):
    """Z.ai's models, paid by use.

    Args:
        api_key: sent as a bearer token; else ``ZHIPU_API_KEY``, which counts first in China.
        keys: several, instead of it; else further ones are taken from the same variable with ``_2`` and so on.
        region: ``international`` for Z.ai, ``china`` for bigmodel.cn; keys of one are not taken by the other.
        base_url: before ``/chat/completions``; else the region's.
        messages_url: before ``/v1/messages``; else the region's, where ``base_url`` is the region's, too.
        responses_url: before ``/responses``; the same, but China has none.
        api: ``chat``, ``messages``, ``responses``, or ``auto``: the client's own dialect where there is an endpoint for it, for
            others Chat Completions.
        version: the ``anthropic-version`` of requests to ``messages_url`` whose client does not name one.
        models: names to list; else those that Z.ai lists.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Z.ai is told that this is.
    """

    dialect = ZAI
    path = "/chat/completions"
    is_plan: ClassVar[bool] = False

    name: str = "zai"
    api_key: Secret = Secret.env(KEYS[0])
    region: Region = "international"
    base_url: str = ""
    messages_url: str = ""
    responses_url: str = ""
    api: Literal["chat", "messages", "responses", "auto"] = "auto"
    version: str = VERSION
    listed: list[str] = field(factory=list, alias="models")
    _clock: Clock = field(factory=Clock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        place = PLACES[self.region]
        if not self.base_url:
            self.base_url = self.chat_url(place)
            self.messages_url = self.messages_url or place.messages
            self.responses_url = self.responses_url or place.responses

    def chat_url(self, place: Place) -> str:
        """Where the region has Chat Completions."""
        return place.paid

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: the dialect that is wanted has no endpoint, or the URL is the plan's.
        """
        self.check_api()
        if not self.is_plan and "/coding/" in self.base_url:  # or it would go round the plan's terms
            told = "that is the Coding Plan's URL, for which there is the back-end 'zai-coding-plan'"
            raise ConfigError(f"{told} @ backends.{self.name}.base_url")
        self._clock = gateway.clock
        if self.api_key.name == KEYS[0]:
            self.api_key = self.found_key(gateway.env)
        self.gather(gateway.env)
        return [self]

    def found_key(self, env: Mapping[str, str]) -> Secret:
        """The key of the first of both variables that is set; in China its own name counts first."""
        names = KEYS if self.region == "international" else KEYS[::-1]
        name = next((name for name in names if env.get(name)), names[0])
        return Secret(name, env.get(name) or None)

    def check_api(self) -> None:
        """See that there is an endpoint for the dialect that is wanted.

        Raises:
            ConfigError: there is none.
        """
        urls = {"messages": self.messages_url, "responses": self.responses_url}
        if not urls.get(self.api, "any"):
            raise ConfigError(
                f"there is no endpoint for `api: {self.api}`; say `{self.api}_url`, or `api: chat` @ backends.{self.name}.api"
            )

    @property
    def needs_key(self) -> bool:
        """Whether nobody gets in without one."""
        return self.base_url.rstrip("/") in VENDORS

    # ---- which of three dialects

    def speaks(self, request: Request) -> Dialect:
        """The client's own, where there is an endpoint for it."""
        known = {MESSAGES.name: (MESSAGES, self.messages_url), RESPONSES.name: (RESPONSES, self.responses_url)}
        match self.api:
            case "messages":
                return MESSAGES
            case "responses":
                return RESPONSES
            case "auto" if known.get(request.dialect, (None, ""))[1]:
                return known[request.dialect][0]
            case _:
                return ZAI

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        dialect = self.speaks(request)
        if dialect is MESSAGES:
            return self.messages_url.rstrip("/") + "/v1/messages"
        if dialect is RESPONSES:
            return self.responses_url.rstrip("/") + "/responses"
        return self.base_url.rstrip("/") + self.path

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The same; at the endpoint of Anthropic's dialect with the version that a client of another has not named."""
        is_messages = bool(self.messages_url) and url.startswith(self.messages_url)
        return {"anthropic-version": self.version, **headers} if is_messages else headers

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    # ---- what it says

    def explained(self, error: UpstreamError) -> UpstreamError:
        """By its number, with what to do next."""
        return explained(error, key=self.key(Target(self.name, "")).name, plan=self.is_plan, now=self._clock.time())

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else Z.ai's own list; those known here where it has none."""
        if self.listed:
            return self.named(self.listed)
        try:
            return await super().models(gateway)
        except UpstreamBroken:  # a 200 that is no list
            return self.named(KNOWN)
        except UpstreamError as error:
            if error.upstream is None or error.upstream.status != 404:
                raise
            return self.named(KNOWN)

    def named(self, models: Iterable[str]) -> Sequence[ModelInfo]:
        """A list of these."""
        return [ModelInfo(model, owned_by="z-ai") for model in models]
