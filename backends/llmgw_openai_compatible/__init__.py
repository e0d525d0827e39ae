"""Any provider that speaks OpenAI Chat Completions; the well-known ones by name (``presets.yaml``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
    Identity,
    KeyBackend,
    ModelInfo,
    Profile,
    Secret,
    Target,
    hookimpl,
    nearest,
)
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
class Compatible(KeyBackend):
    """One such provider, made from the options and its preset."""

    dialect = COMPATIBLE
    path = "/chat/completions"

    required: bool = False
    extra_headers: Mapping[str, str] = field(factory=dict)
    fixed_models: Sequence[str] = ()

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), {"takes_details": True, **self.profile})

    @property
    def needs_key(self) -> bool:
        """Whether nobody gets in without one."""
        return self.required

    @property
    def extra(self) -> Mapping[str, str]:
        """The deployment's own headers."""
        return self.extra_headers

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes; a base URL that already names the path is not made longer."""
        base = self.base_url.rstrip("/")
        return base if base.endswith(self.path) else base + self.path

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else the provider's own list."""
        if self.fixed_models:
            return [ModelInfo(model, owned_by=self.name) for model in self.fixed_models]
        return await super().models(gateway)


@define(eq=False, kw_only=True)
class OpenAICompatible:
    """Any provider that speaks OpenAI Chat Completions: Ollama, vLLM, LM Studio, DeepSeek, Groq, Mistral and the like.

    With neither ``preset`` nor ``base_url``, and an id that is no preset's: every preset whose key is in the environment.

    Args:
        name: the id of the back-end; a preset of that name is taken.
        preset: a provider known by name; ``llmgw plugins openai-compatible`` lists them.
        base_url: the URL before ``/chat/completions``, instead of the preset's.
        api_key: instead of the preset's variable.
        keys: several, instead of it; else further ones are taken from that variable with ``_2`` and so on.
        headers: sent with every request.
        models: names to list, where the provider has no list.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program the provider is told that this is.
    """

    name: str = "openai-compatible"
    preset: str | None = None
    base_url: str | None = None
    api_key: Secret | None = None
    keys: list[Secret] = field(factory=list)
    headers: dict[str, str] = field(factory=dict)
    models: list[str] = field(factory=list)
    profile: dict[str, Any] = field(factory=dict)
    identity: Identity = field(factory=Identity)

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
        made = Compatible(
            name=name,
            base_url=base_url,
            api_key=self.api_key or (_key(preset, env) if preset and preset.key else Secret("")),
            keys=self.keys,
            required=preset is not None and preset.needs_key and self.base_url is None,
            extra_headers=self.headers,
            fixed_models=self.models,
            profile=self.profile,
            identity=self.identity,
        )
        made.gather(env)
        return made


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
