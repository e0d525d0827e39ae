"""Any provider that speaks OpenAI Chat Completions; the well-known ones by name (``presets.yaml``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml
from attrs import define, field, frozen

from llmgw import (
    Backend,
    ConfigError,
    Dialect,
    Gateway,
    HttpBackend,
    Misconfigured,
    ModelInfo,
    Profile,
    Secret,
    Target,
    hookimpl,
    nearest,
)
from llmgw.urls import problems
from llmgw_dialects.openai_chat import COMPATIBLE
from llmgw_dialects.profiles import with_overrides

if TYPE_CHECKING:
    from llmgw.model import Request


_VARIABLE = re.compile(r"\$\{(\w+)\}")


@frozen(kw_only=True)
class Preset:
    """What there is to know about a provider.

    Args:
        title: its name, for people.
        base_url: before ``/chat/completions``; ``${NAME}`` in it is taken from the environment.
        key: variables that may hold the key, the first one set counts; none for a server that asks for none.
        needs_key: whether it answers nobody without one.
        note: what else a person should know.
    """

    title: str
    base_url: str
    key: tuple[str, ...] = field(default=(), converter=tuple)
    needs_key: bool = True
    note: str = ""


@cache
def presets() -> Mapping[str, Preset]:
    """All providers known by name."""
    text = resources.files(__package__ or __name__).joinpath("presets.yaml").read_text()
    return {name: Preset(**values) for name, values in yaml.safe_load(text).items()}


@define(eq=False, kw_only=True)
class Compatible(HttpBackend):
    """One such provider, made from the options and its preset."""

    dialect = COMPATIBLE
    path = "/chat/completions"

    key: Secret | None = None
    needs_key: bool = False
    extra_headers: Mapping[str, str] = field(factory=dict)
    fixed_models: Sequence[str] = ()
    known: Mapping[str, Any] = field(factory=dict)

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), {"takes_details": True, **self.known})

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key as a bearer token, if there is one, and the deployment's own headers."""
        if self.key is None or not (self.key.is_set or self.needs_key):
            return self.extra_headers
        return {"authorization": f"Bearer {self.key.reveal()}", **self.extra_headers}

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes; a base URL that already names the path is not made longer."""
        base = self.base_url.rstrip("/")
        return base if base.endswith(self.path) else base + self.path

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else the provider's own list."""
        if self.fixed_models:
            return [ModelInfo(model, owned_by=self.name) for model in self.fixed_models]
        return await super().models(gateway)

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL and with the headers that it would send."""
        headers = dict(self.extra_headers)
        with suppress(Misconfigured):  # a key that is missing is told of by ``credential_state``
            headers.update(self.headers(Target(self.name, "")))
        return problems(self.base_url, headers)

    @property
    def credential_state(self) -> str:
        """Where the key comes from, or that there is none."""
        if self.key is None:
            return "needs no key"
        if self.key.is_set:
            return f"key from {self.key.name}"
        return f"no key: {self.key.name} is not set" if self.needs_key else "no key"


@define(eq=False, kw_only=True)
class OpenAICompatible:
    """Any provider that speaks OpenAI Chat Completions: Ollama, vLLM, LM Studio, DeepSeek, Groq, Mistral and the like.

    With neither ``preset`` nor ``base_url``, and an id that is no preset's: every preset whose key is in the environment.

    Args:
        name: the id of the back-end; a preset of that name is taken.
        preset: a provider known by name; ``llmgw plugins openai-compatible`` lists them.
        base_url: the URL before ``/chat/completions``, instead of the preset's.
        api_key: instead of the preset's variable.
        headers: sent with every request.
        models: names to list, where the provider has no list.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    name: str = "openai-compatible"
    preset: str | None = None
    base_url: str | None = None
    api_key: Secret | None = None
    headers: dict[str, str] = field(factory=dict)
    models: list[str] = field(factory=list)
    profile: dict[str, Any] = field(factory=dict)

    @staticmethod
    def describe() -> Iterable[str]:
        """The presets, for ``llmgw plugins openai-compatible``."""
        yield "presets:"
        for name, preset in presets().items():
            key = " or ".join(preset.key) + ("" if preset.needs_key else ", optional") if preset.key else "no key"
            yield f"  {name:14} {preset.title}: {preset.base_url}, {key}"

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """One provider, or all whose key is there."""
        known = presets()
        preset = self.preset or (self.name if self.name in known else None)
        if preset is not None and preset not in known:
            close = nearest(preset, known)
            raise ConfigError(
                f"there is no preset '{preset}' @ backends.{self.name}.preset"
                + (f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}")
            )
        if preset is None and self.base_url is None:
            return [self._of(name, one, gateway.env) for name, one in known.items() if _is_on(one, gateway.env)]
        return [self._of(self.name, known[preset] if preset else None, gateway.env)]

    def _of(self, name: str, preset: Preset | None, env: Mapping[str, str]) -> Compatible:
        base_url = self.base_url or _filled(preset.base_url if preset else "", env, name)
        key = self.api_key or (_key(preset, env) if preset and preset.key else None)
        needs_key = preset is not None and preset.needs_key and self.base_url is None
        return Compatible(
            name=name,
            base_url=base_url,
            key=key,
            needs_key=needs_key,
            extra_headers=self.headers,
            fixed_models=self.models,
            known=self.profile,
        )


def _is_on(preset: Preset, env: Mapping[str, str]) -> bool:
    """Whether the environment has all that a hosted provider needs: its key, and what its URL is made with."""
    return preset.needs_key and _key(preset, env).is_set and all(env.get(name) for name in _VARIABLE.findall(preset.base_url))


def _key(preset: Preset, env: Mapping[str, str]) -> Secret:
    name = next((name for name in preset.key if env.get(name)), preset.key[0])
    return Secret(name, env.get(name) or None)


def _filled(url: str, env: Mapping[str, str], name: str) -> str:
    """The URL with its ``${NAME}`` filled in.

    Raises:
        ConfigError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = env.get(match[1])
        if not found:
            raise ConfigError(f"{match[1]} is not set, and the URL of '{name}' needs it @ backends.{name}")
        return found

    return _VARIABLE.sub(value, url)
