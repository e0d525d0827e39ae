"""Providers that ask for a key, one or several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import define, field

from llmgw.errors import Misconfigured
from llmgw.secret import Secret
from llmgw.stages import CredentialState, Target
from llmgw.transport import HttpBackend
from llmgw.urls import problems

MOST = 100
"""Further variables that are looked for behind the first."""


def pool(first: Secret, keys: Sequence[Secret], env: Mapping[str, str]) -> list[Secret]:
    """The keys of a back-end: those that are listed, else the first, and what stands in ``NAME_2``, ``NAME_3`` ...

    Args:
        first: the one that is always looked for.
        keys: listed ones.
        env: the environment.
    """
    if keys:
        return list(keys)
    numbers = range(2, MOST) if first.name else ()
    numbered = (Secret(name, env[name]) for number in numbers if env.get(name := f"{first.name}_{number}"))
    return [one for one in (first, *numbered) if one.is_set] or [first]


def fingerprint(key: Secret) -> str:
    """What tells this key from another, also one that will stand in the same variable, and does not show it.

    Args:
        key: one that is set.
    """
    return hashlib.sha256(key.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:12]


@define(eq=False, kw_only=True)
class KeyBackend(HttpBackend):
    """A provider that is asked with a key.

    Args:
        api_key: the key; without one, and at the vendor's own URL, requests fail and say so.
        keys: several, instead of it.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    vendor: ClassVar[str] = ""
    """The vendor's own URL, where nobody gets in without a key; whoever runs another may ask for none."""

    api_key: Secret = Secret("", None)
    keys: list[Secret] = field(factory=list)
    profile: dict[str, Any] = field(factory=dict)
    _pool: list[Secret] = field(factory=list, init=False, repr=False)

    def gather(self, env: Mapping[str, str]) -> None:
        """Find all keys; to be called from the hook ``backends``."""
        self._pool = pool(self.api_key, self.keys, env)

    @property
    def needs_key(self) -> bool:
        """Whether nobody gets in without one."""
        return self.base_url.rstrip("/") == self.vendor

    def key(self, target: Target) -> Secret:
        """The key of a target; the first that is set where the target names none."""
        known = self._pool or self.keys or [self.api_key]
        named = next((one for one in known if one.name == target.credential), None)
        return named or next((one for one in known if one.is_set), known[0])

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key, and what else this provider wants.

        Raises:
            Misconfigured: it is needed and not set.
        """
        key = self.key(target)
        return {**(self.shown(key.reveal()) if key.is_set or self.needs_key else {}), **self.extra}

    def shown(self, key: str) -> Mapping[str, str]:
        """How the key is shown to the provider: as a bearer token (RFC 6750), unless it has its own way."""
        return {"authorization": f"Bearer {key}"}

    @property
    def extra(self) -> Mapping[str, str]:
        """Headers besides the key."""
        return {}

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """One for each key."""
        return [self._state(one) for one in (self._pool or self.keys or [self.api_key])]

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL and with the headers that it would send."""
        headers = {**self.asking({}), **self.extra, **self.identity.headers({})}
        for one in self.credentials:
            try:
                headers.update(self.headers(Target(self.name, "", one.name)))
            except Misconfigured:  # a key that is missing is told of by ``credentials``
                continue
        return problems(self.base_url, headers)

    def _state(self, key: Secret) -> CredentialState:
        if key.is_set:
            return CredentialState(key.name, f"key from {key.name}", fingerprint=fingerprint(key))
        if not key.name:
            return CredentialState("", "needs no key")
        if not self.needs_key:
            return CredentialState(key.name, "no key")
        advice = f"Export {key.name}, or name another variable in the configuration."
        return CredentialState(key.name, f"no key: {key.name} is not set", problem=advice)
