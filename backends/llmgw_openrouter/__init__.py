"""OpenRouter: the models of many providers under one key, in the dialect that the client speaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from attrs import define, field

from llmgw import Backend, Dialect, Gateway, KeyBackend, ModelInfo, Profile, Request, Secret, Target, hookimpl
from llmgw.errors import UpstreamError
from llmgw.stages import Clock
from llmgw_dialects.anthropic_messages import DIALECT as MESSAGES
from llmgw_dialects.openai_chat import COMPATIBLE as CHAT
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.profiles import with_overrides
from llmgw_openrouter.catalogue import known, listed
from llmgw_openrouter.refusals import explained

VENDOR: Final = "https://openrouter.ai/api/v1"
_PATHS: Final[Mapping[str, str]] = {CHAT.name: "/chat/completions", RESPONSES.name: "/responses", MESSAGES.name: "/messages"}
_APIS: Final[Mapping[str, Dialect]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
_LIMITS: Final[Mapping[str, Mapping[str, Any]]] = {
    CHAT.name: {"takes_details": True, "custom_tools": False},
    RESPONSES.name: {"custom_tools": False, "namespaces": False, "server_tools": [], "counts": False},
    MESSAGES.name: {"server_tools": [], "counts": False},
}
"""What OpenRouter's version of an API does not do, whatever the vendor's own does."""


@define(eq=False, kw_only=True)
class OpenRouter(KeyBackend):
    """OpenRouter, by key; models are called as it calls them: ``anthropic/claude-sonnet-4.5``, ``deepseek/deepseek-r1:free``.

    Args:
        api_key: sent as a bearer token; without one, and at OpenRouter's own URL, requests fail and say so.
        keys: several, instead of it; else further ones are taken from ``OPENROUTER_API_KEY_2`` and so on.
        base_url: OpenRouter's, or that of a proxy or a test server before it.
        api: ``chat``, ``responses``, ``messages``, or ``auto``: the client's own where it speaks one of them, for others
            Chat Completions.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program OpenRouter is told that this is; it ranks programs by ``referer`` and ``x_title``.
    """

    dialect = CHAT
    vendor = VENDOR
    path: ClassVar[str] = _PATHS[CHAT.name]

    name: str = "openrouter"
    api_key: Secret = Secret.env("OPENROUTER_API_KEY")
    base_url: str = VENDOR
    api: Literal["chat", "responses", "messages", "auto"] = "auto"
    _clock: Clock | None = field(default=None, init=False)
    _known: dict[str, Mapping[str, Any]] = field(factory=dict, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        self.gather(gateway.env)
        self._clock = gateway.clock
        return [self]

    # ---- what is asked

    def speaks(self, request: Request) -> Dialect:
        """The client's own dialect where OpenRouter has it, unless the deployment wants another."""
        if self.api != "auto":
            return _APIS[self.api]
        return next((one for one in _APIS.values() if one.name == request.dialect), CHAT)

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        return self.base_url.rstrip("/") + _PATHS[self.speaks(request).name]

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What is known of a model: by its name, by what OpenRouter can do, by its list, and by the deployment."""
        name = model.partition(":")[0]  # behind it is a way to be routed, as ``:free``
        return with_overrides(dialect.profile(name), {**_LIMITS[dialect.name], **self._known.get(name, {}), **self.profile})

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """All headers, the title under OpenRouter's own name, too (OpenRouter's manual, "App Attribution")."""
        title = headers.get("x-title")
        return headers if title is None else {"x-openrouter-title": title, **headers}

    # ---- what is said

    def explained(self, error: UpstreamError) -> UpstreamError:
        """What OpenRouter says, or the provider behind it, and what to do next."""
        return explained(error, self._clock.time() if self._clock is not None else None)

    # ---- models

    def read_models(self, body: bytes) -> Sequence[ModelInfo]:
        """Its list, whose details are then known of each model."""
        found = listed(body)
        self._known = {one.id.partition(":")[0]: known(one.raw) for one in found}
        return found
