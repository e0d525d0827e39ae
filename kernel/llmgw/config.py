"""The deployment's YAML: what is on, in which order, with which options.

::

    proxy: {host: 127.0.0.1, port: 8000}
    auth:
      keys:                                  # of clients: what each may reach, and how much it may ask for
        alice: {key: env:ALICE_KEY, models: ["acme:*"], limits: {requests: 60, tokens: 200000, concurrent: 4}}
    default_backend: acme                    # or acme:a-model
    backends:                                # a mapping: its keys are the ids in backend:model
      acme: {type: compatible, base_url: https://api.acme.ai/v1, api_key: env:ACME_API_KEY}
    losses: {n: drop, input.audio: reject}   # what a provider cannot be told: reject, emulate, approximate or drop
    filters:                                 # a list, as all other sections: the order is the order
      - tidy
      - polite: {name: very-polite, word: kindly}
    defaults: {chatty: false}                # takes something out of the default set

What is on without being named, the default set, stands in setup.cfg beside the registry of plugins. Front-ends and back-ends
in the YAML replace the default ones; elsewhere they add to them.

Here only the kernel's own part is read; a plugin's options stay as they are until ``llmgw.plugins`` knows its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import ge, le, min_len, optional

from llmgw import items, yamls
from llmgw.errors import ConfigError
from llmgw.items import PluginItem
from llmgw.losses import LossPolicy, Worst
from llmgw.mistakes import in_order, told
from llmgw.nearest import did_you_mean
from llmgw.secret import Secret
from llmgw.stages import Limits
from llmgw.structure import Reading

__all__ = ["SINGLE_KEY", "AuthConfig", "ClientKey", "Config", "PluginItem", "ProxyConfig", "load"]

_KEYS = ("proxy", "auth", "default_backend", "defaults", "losses", *items.SECTIONS)


SINGLE_KEY = "key"
"""The name of whoever shows a key that has no name of its own."""


def _seconds(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"expected a number of seconds above 0, found {told(value)}")


@frozen
class ProxyConfig:
    """How the gateway listens and how long it waits; all times are in seconds.

    Args:
        host: the address to listen on.
        port: 0 takes any free one.
        max_request_bytes: a larger body is refused.
        request_timeout: for a request's body to arrive.
        heartbeat: of silence, after which the client is sent something harmless.
        commit_delay: of waiting, after which the client's response is begun, so that failures can no longer change its status.
        silence_timeout: for a provider to say something.
        client_timeout: for a client to take what it was sent.
        deadline: for the whole exchange.
        connect_timeout: for a connection to a provider.
        keepalive_timeout: for which an idle connection of a client is kept.
        grace: for running exchanges to finish when the gateway stops.
    """

    host: str = field(default="127.0.0.1", validator=min_len(1))  # an empty one would be every address
    port: int = field(default=8000, validator=[ge(0), le(65535)])
    max_request_bytes: int = field(default=32 * 2**20, validator=ge(1))
    request_timeout: float = field(default=120.0, validator=_seconds)
    heartbeat: float = field(default=15.0, validator=_seconds)
    commit_delay: float = field(default=15.0, validator=_seconds)
    silence_timeout: float = field(default=600.0, validator=_seconds)
    client_timeout: float = field(default=300.0, validator=_seconds)
    deadline: float | None = field(default=None, validator=optional(_seconds))
    connect_timeout: float = field(default=10.0, validator=_seconds)
    keepalive_timeout: float = field(default=120.0, validator=_seconds)
    grace: float = field(default=30.0, validator=_seconds)


_LONGEST_NAME = 64


def _filled(_: object, attribute: Attribute[Secret], value: Secret) -> None:
    if not value.is_set:
        raise ValueError(f"{value.name} is not set: export it, or take this client out")


@frozen
class ClientKey:
    """A key of one client, or of several that share it.

    Args:
        key: where it stands, as ``env:ALICE_KEY``.
        models: patterns (as of a shell) of the targets it may reach, as ``acme:*``, or of a model's name at any back-end; none
            for all.
        routes: patterns of names that it may ask for whatever stands behind them: aliases and chains of the deployment.
        limits: how much it may ask for.
    """

    key: Secret = field(validator=_filled)
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    limits: Limits = Limits()


def _distinct(_: object, attribute: Attribute[Any], value: Mapping[str, ClientKey]) -> None:
    """SECURITY: who shows a key must be one client; its name goes to logs and becomes part of names in the store."""
    for name in value:
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise ValueError(f"a client's name has 1 to {_LONGEST_NAME} printable characters, found {told(name)}")
        if name == SINGLE_KEY:
            raise ValueError(f"{SINGLE_KEY!r} is the name of whoever shows the gateway's single key: take another one")
    for (name, one), (other, two) in combinations(value.items(), 2):
        if one.key == two.key:
            raise ValueError(f"{name!r} and {other!r} have the same key: give each its own")


@frozen
class AuthConfig:
    """Who may come in.

    Args:
        disable_auth: let everyone in; the gateway then listens on this machine only.
        keys: of clients, by the names that logs and limits know them by.
    """

    disable_auth: bool = False
    keys: dict[str, ClientKey] = field(factory=dict, validator=_distinct)


@frozen
class Config:
    """All that a deployment decides.

    Args:
        proxy: how to listen and wait.
        auth: who may come in.
        losses: the worst that may become of a feature that a provider cannot be told.
        items: the plugins, in the order of their registration.
        default_backend: the id of the back-end for requests that name none.
        default_model: what it is asked for where the request's model is not its own.
        source: the file it came from.
        env: the environment; the only one that anything here reads.
    """

    proxy: ProxyConfig = ProxyConfig()
    auth: AuthConfig = AuthConfig()
    losses: LossPolicy = LossPolicy()
    items: tuple[PluginItem, ...] = ()
    default_backend: str | None = None
    default_model: str | None = None
    source: Path | None = None
    env: Mapping[str, str] = field(factory=dict, repr=False)


def load(
    path: Path | None,
    env: Mapping[str, str],
    *,
    host: str | None = None,
    port: int | None = None,
    default_backend: str | None = None,
    disable_auth: bool | None = None,
    grace: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Config:
    """Read a deployment's configuration; whatever is given here goes before what the file says.

    Args:
        path: the YAML; None is an empty one.
        env: the environment.
        host: as ``proxy.host``.
        port: as ``proxy.port``.
        default_backend: an id, or ``id:model``.
        disable_auth: as ``auth.disable_auth``.
        grace: as ``proxy.grace``.
        options: of plugins, as ``PLUGIN.OPTION``.

    Raises:
        ConfigError: with all mistakes at once, except that those in plugins' options show when the plugins are loaded.
    """
    raw = {} if path is None else yamls.load(path)
    proxy = _over(raw.get("proxy"), {"host": host, "port": port, "grace": grace})
    auth = _over(raw.get("auth"), {"disable_auth": disable_auth})
    raw = _over(raw, {"default_backend": default_backend})
    reading = Reading(env)
    for key in raw:
        if key not in _KEYS:
            reading.wrong("top level", f"unknown key {key!r}", did_you_mean(str(key), _KEYS))
    backend, model = _target(raw.get("default_backend"), reading)
    config = Config(
        proxy=reading.read("proxy", proxy, ProxyConfig, ProxyConfig()),
        auth=reading.read("auth", auth, AuthConfig, AuthConfig()),
        losses=LossPolicy(reading.read("losses", raw.get("losses") or {}, dict[str, Worst], {})),
        items=tuple(items.read(raw, reading, options)),
        default_backend=backend,
        default_model=model,
        source=path,
        env=env,
    )
    if reading.problems:
        raise ConfigError(*in_order(reading.problems))
    return config


def _over(raw: Any, given: Mapping[str, Any]) -> Any:
    """What the file says and, over it, what is given; a section of the wrong kind stays, to be complained about."""
    if not isinstance(raw, dict | None):
        return raw
    return (raw or {}) | {key: value for key, value in given.items() if value is not None}


def _target(raw: Any, reading: Reading) -> tuple[str | None, str | None]:
    """The default back-end and the model it is asked for; a model's name may have colons of its own."""
    written = None if raw is None else reading.read("default_backend", raw, str, None)
    if written is None:
        return None, None
    backend, colon, model = written.partition(":")
    if not backend or (colon and not model):
        reading.wrong("default_backend", f"invalid value, expected ID or ID:MODEL, found {told(written)}")
    return backend, model or None
