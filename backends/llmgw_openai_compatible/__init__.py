"""Any provider that speaks OpenAI Chat Completions; the well-known ones by name (``presets.yaml``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field
from yarl import URL

from llmgw import (
    Backend,
    ConfigError,
    Dialect,
    Gateway,
    Identity,
    KeyBackend,
    ModelInfo,
    Profile,
    Request,
    Secret,
    Target,
    hookimpl,
    nearest,
)
from llmgw.errors import UpstreamError
from llmgw_dialects.openai_chat import COMPATIBLE
from llmgw_dialects.profiles import with_overrides
from llmgw_openai_compatible.flavour import Flavour
from llmgw_openai_compatible.presets import Preset, filled, presets

__all__ = ["Compatible", "OpenAICompatible", "Preset", "presets"]

_NO_LIST = "It has no list of models: name those that you use in the back-end's option 'models'."
_PLAIN = Preset(title="", base_url="")


@define(eq=False, kw_only=True)
class Compatible(KeyBackend):
    """One such provider, made from the options and its preset."""

    dialect = COMPATIBLE
    path = "/chat/completions"

    required: bool = False
    extra_headers: Mapping[str, str] = field(factory=dict)
    fixed_models: Sequence[str] = ()
    preset: Preset = _PLAIN
    flavour: Flavour = Flavour()
    notices: Sequence[str] = ()
    loopback_only: bool = False

    def speaks(self, request: Request) -> Dialect:
        """Chat Completions, as this provider takes it."""
        return self.flavour

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, over it what the preset does, and over all what the deployment says."""
        known = {"takes_details": True, **self.preset.of_model(model), **self.profile}
        return with_overrides(dialect.profile(model), known)

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
        return self._base + self.path

    @property
    def models_url(self) -> str:
        """Where its list of models is."""
        return self._base + self.models_path

    @property
    def _base(self) -> str:
        return self.base_url.rstrip("/").removesuffix(self.path)

    def explained(self, error: UpstreamError) -> UpstreamError:
        """An error whose words mean more at this provider than its status says."""
        told = error.message.lower()
        known = next((one for one in self.preset.refusals if one.says.lower() in told), None)
        if known is not None:
            error.kind = known.kind
            error.message = f"{error.message.rstrip()} {known.advice}".rstrip()
            error.args = (error.message,)
        return error

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else the provider's own list.

        Raises:
            UpstreamError: it has none, or did not give it.
        """
        if self.fixed_models:
            return [ModelInfo(model, owned_by=self.name) for model in self.fixed_models]
        try:
            return await super().models(gateway)
        except UpstreamError as error:
            if error.status in (404, 405, 501):
                error.message = f"{error.message.rstrip()} {_NO_LIST}"
                error.args = (error.message,)
            raise


@define(eq=False, kw_only=True)
class OpenAICompatible:
    """Any provider that speaks OpenAI Chat Completions: Ollama, vLLM, LM Studio, DeepSeek, Groq, Mistral and the like.

    With neither ``preset`` nor ``base_url``, and an id that is no preset's: every preset whose key is in the environment.

    Args:
        name: the id of the back-end; a preset of that name is taken.
        preset: a provider known by name; ``llmgw plugins openai-compatible`` lists them.
        base_url: the URL before ``/chat/completions``, instead of the preset's; one without a path gets the preset's, or
            ``/v1``.
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
            return [self._of(name, one, gateway.env) for name, one in known.items() if one.is_on(gateway.env)]
        return [self._of(self.name, known[preset] if preset else None, gateway.env)]

    def _of(self, name: str, preset: Preset | None, env: Mapping[str, str]) -> Compatible:
        known = preset or _PLAIN
        base_url = _versioned(self.base_url, preset) if self.base_url else filled(known.base_url, env, name)
        made = Compatible(
            name=name,
            base_url=base_url,
            api_key=self.api_key or known.secret(env),
            keys=self.keys,
            required=preset is not None and preset.needs_key and self.base_url is None,
            extra_headers=self.headers,
            fixed_models=self.models,
            preset=known,
            flavour=Flavour(limit=known.limit, quirks=known.quirks),
            notices=(known.terms,) if known.terms else (),
            loopback_only=bool(known.terms),
            profile=self.profile,
            identity=self.identity,
        )
        made.gather(env)
        return made


def _versioned(url: str, preset: Preset | None) -> str:
    """A base URL with the path that people leave out, unless it is a provider's whose API is right at its host."""
    try:
        bare = URL(url).path in ("", "/") and not URL(url).query_string
    except ValueError:
        return url  # told of by ``problems``
    if not bare or (preset is None and url.rstrip("/") in {one.base_url for one in presets().values()}):
        return url
    return url.rstrip("/") + (URL(preset.base_url).path.rstrip("/") if preset is not None else "/v1")
