"""The providers that are known by name (``presets.yaml``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml
from attrs import field, frozen

from llmgw import ConfigError, Secret
from llmgw.errors import Kind
from llmgw_openai_compatible.quirks import Quirks

_NO_QUIRKS: Final = Quirks()
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@frozen(kw_only=True)
class Refusal:
    """What a provider's words in an error mean, where its status says something else.

    Args:
        says: some of them.
        kind: what they mean.
        advice: what to do next.
    """

    says: str
    kind: Kind
    advice: str = ""


def _refusals(entries: Iterable[dict[str, Any]]) -> tuple[Refusal, ...]:
    return tuple(Refusal(**one) for one in entries)


def _quirks(given: Quirks | Mapping[str, Any]) -> Quirks:
    return given if isinstance(given, Quirks) else Quirks(**given)


@frozen(kw_only=True)
class Preset:
    """What there is to know about a provider.

    Args:
        title: its name, for people.
        base_url: before ``/chat/completions``; ``${NAME}`` in it is taken from the environment.
        key: variables that may hold the key, the first one set counts; none for a server that asks for none.
        needs_key: whether it answers nobody without one.
        note: what else a person should know.
        limit: the field that limits an answer.
        profile: what all its models can do, where that is not known by their names; fields of ``llmgw.Profile``.
        models: the same for some of them, by patterns of their names; where several match, the last one wins.
        quirks: how it wants a request to look.
        refusals: what its errors mean.
        terms: what its vendor allows; a plan with such terms is on only where the configuration names it, and serves this
            machine alone.
    """

    title: str
    base_url: str
    key: tuple[str, ...] = field(default=(), converter=tuple)
    needs_key: bool = True
    note: str = ""
    limit: str = "max_tokens"
    profile: dict[str, Any] = field(factory=dict)
    models: dict[str, dict[str, Any]] = field(factory=dict)
    quirks: Quirks = field(default=_NO_QUIRKS, converter=_quirks)
    refusals: tuple[Refusal, ...] = field(default=(), converter=_refusals)
    terms: str = ""

    def of_model(self, model: str) -> dict[str, Any]:
        """What is known of a model here, as fields of ``llmgw.Profile``."""
        name = model.lower()
        found = dict(self.profile)
        for pattern, known in self.models.items():
            if fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern):
                found |= known
        return found

    def is_on(self, env: Mapping[str, str]) -> bool:
        """Whether the environment has all that a hosted provider needs: its key, and what its URL is made with."""
        needed = _VARIABLE.findall(self.base_url)
        return self.needs_key and not self.terms and self.secret(env).is_set and all(env.get(name) for name in needed)

    def secret(self, env: Mapping[str, str]) -> Secret:
        """Its key."""
        if not self.key:
            return Secret("")
        name = next((name for name in self.key if env.get(name)), self.key[0])
        return Secret(name, env.get(name) or None)


@cache
def presets() -> Mapping[str, Preset]:
    """All providers known by name."""
    text = resources.files("llmgw_openai_compatible").joinpath("presets.yaml").read_text("utf-8")
    return {name: Preset(**values) for name, values in yaml.safe_load(text).items()}


def filled(url: str, env: Mapping[str, str], name: str) -> str:
    """The URL with its ``${NAME}`` filled in.

    Args:
        url: of a preset.
        env: the environment.
        name: of the back-end.

    Raises:
        ConfigError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = env.get(match[1])
        if not found:
            raise ConfigError(f"{match[1]} is not set, and the URL of '{name}' needs it @ backends.{name}")
        return found

    return _VARIABLE.sub(value, url)
