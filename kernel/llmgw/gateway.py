"""One generation of the gateway: a configuration, its plugins, and what they hold open.

A reload builds a new generation beside the old; running exchanges finish on theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pluggy
from attrs import define, evolve, field

from llmgw import plugins
from llmgw.config import Config, PluginItem
from llmgw.errors import ConfigError
from llmgw.model import ModelInfo
from llmgw.nearest import nearest
from llmgw.stages import Backend, Clock, Command, Endpoint, Report
from llmgw.state import MemoryStore
from llmgw.store import StateStore
from llmgw.transport import Connector

log = logging.getLogger("llmgw")

MODELS_TTL = 300.0
"""Seconds for which a back-end's list of models is kept."""
MODELS_RETRY = 30.0
"""Seconds for which a back-end that gave none is not asked again, so that one slow provider delays one client and not all."""
MODELS_PATIENCE = 5.0
"""Seconds after which a list of models is given without those of a slow back-end."""


@define(eq=False)
class Gateway:
    """What plugins are handed when the gateway starts; ``Gateway.build`` makes one, ``running`` opens it.

    Args:
        config: what it was built from.
        pm: the plugin manager.
        plugins: instances with the items that asked for them.
        idle: those that have nothing to do in this deployment, with the reason they gave (``sits_out``).
        clock: all time comes from here.
    """

    config: Config
    pm: pluggy.PluginManager = field(repr=False)
    plugins: Sequence[tuple[PluginItem, object]] = field(repr=False)
    idle: Sequence[tuple[PluginItem, str]] = field(default=(), repr=False)
    clock: Clock = field(factory=Clock, repr=False)
    backends: dict[str, Backend] = field(factory=dict, init=False)
    endpoints: list[Endpoint] = field(factory=list, init=False, repr=False)
    commands: dict[str, Command] = field(factory=dict, init=False, repr=False)
    state: StateStore = field(factory=MemoryStore, init=False, repr=False)
    exchanges: set[Any] = field(factory=set, init=False, repr=False)
    _http: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)
    _implemented: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    _models: dict[str, tuple[float, Sequence[ModelInfo]]] = field(factory=dict, init=False, repr=False)
    """Lists by back-end, each with the moment from which on it is asked for again."""
    _asking: defaultdict[str, asyncio.Lock] = field(factory=lambda: defaultdict(asyncio.Lock), init=False, repr=False)

    @classmethod
    def build(cls, config: Config, clock: Clock | None = None) -> Gateway:
        """Load what the configuration names, and ask it for its parts; opens nothing.

        Raises:
            ConfigError: with every problem found.
        """
        pm = plugins.manager()
        loaded = plugins.load(config)
        idle = [(item, why) for item, plugin in loaded if (why := _sits_out(plugin, config))]
        active = [(item, plugin) for item, plugin in loaded if not _sits_out(plugin, config)]
        plugins.register(pm, active)
        gateway = cls(config, pm, active, idle, clock or Clock())
        gateway._collect()
        return gateway

    def _collect(self) -> None:
        self._implemented = frozenset(caller.name for caller in vars(self.pm.hook).values() if caller.get_hookimpls())
        self.state = self.hook.state_store(gateway=self) or MemoryStore(clock=self.clock.monotonic)
        problems: list[str] = []
        for backend in _flat(self.hook.backends(gateway=self)):
            if backend.name in self.backends:
                problems.append(f"two back-ends are called '{backend.name}' @ backends.{backend.name}")
            self.backends[backend.name] = backend
        for command in _flat(self.hook.chat_commands(gateway=self)):
            if command.name in self.commands:
                problems.append(f"two plugins bring the command '{command.name}' @ commands")
            self.commands[command.name] = command
        self.endpoints = _flat(self.hook.frontend_endpoints(gateway=self))
        problems += self._default_problems()
        if problems:
            raise ConfigError(*problems)

    def _default_problems(self) -> list[str]:
        default = self.config.default_backend
        if default is None or default in self.backends:
            return []
        close = nearest(default, self.backends)
        hint = f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(sorted(self.backends)) or 'none'}"
        return [f"no back-end is called '{default}' @ default_backend{hint}"]

    # ---- what plugins ask

    @property
    def hook(self) -> Any:
        """Pluggy's callers; results come in the order of the configuration."""
        return self.pm.hook

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements this hook: calling one that nobody implements is not free."""
        return hook in self._implemented

    @property
    def env(self) -> Mapping[str, str]:
        """The environment, as it was when the configuration was read."""
        return self.config.env

    @property
    def http(self) -> aiohttp.ClientSession:
        """The one client session of this generation."""
        assert self._http is not None, "only while the gateway runs"
        return self._http

    @property
    def default_backend(self) -> str | None:
        """Where requests go that name no back-end: as configured, or the only one that is no last resort."""
        if self.config.default_backend is not None:
            return self.config.default_backend
        asked = [name for name, backend in self.backends.items() if not backend.last_resort]
        names = asked or list(self.backends)
        return names[0] if len(names) == 1 else None

    @property
    def ports(self) -> list[int]:
        """Ports that front-ends want for themselves."""
        return sorted({endpoint.port for endpoint in self.endpoints if endpoint.port is not None})

    @property
    def authenticates(self) -> bool:
        """Whether somebody asks who is calling."""
        return self.implements("authenticate") and not self.config.auth.disable_auth

    @property
    def ready(self) -> str | None:
        """Why it cannot serve, or None when it can."""
        if not self.endpoints:
            return "no front-end is on"
        if not self.backends:
            return "no back-end is on"
        return None

    # ---- models

    @property
    def known_models(self) -> list[str]:
        """Names seen in lists so far, as ``backend:model``; asks nobody."""
        return [f"{name}:{model.id}" for name, (_, models) in self._models.items() for model in models]

    def known(self, backend: str, model: str) -> ModelInfo | None:
        """What the list of a back-end, if it was seen so far, says of a model; asks nobody."""
        _, models = self._models.get(backend, (0.0, ()))
        return next((one for one in models if one.id == model), None)

    async def models(self) -> list[ModelInfo]:
        """All models, by the ids that a request may name; a back-end that is slow or fails is left out, never waited for."""
        names = list(self.backends)
        lists = await asyncio.gather(*(self._models_of(name) for name in names))
        return [evolve(model, id=f"{name}:{model.id}") for name, models in zip(names, lists, strict=True) for model in models]

    async def _models_of(self, name: str) -> Sequence[ModelInfo]:
        async with self._asking[name]:
            until, known = self._models.get(name, (None, ()))
            if until is not None and self.clock.monotonic() < until:
                return known
            try:
                async with asyncio.timeout(MODELS_PATIENCE):
                    models = await self.backends[name].models(self)
            except Exception as error:  # noqa: BLE001 -- whatever a plugin raises: those of the others are listed all the same
                log.warning("the back-end '%s' gave no list of models: %s", name, str(error) or "too slow")
                models, kept = known, MODELS_RETRY
            else:
                kept = MODELS_TTL
            self._models[name] = (self.clock.monotonic() + kept, models)
            return models

    # ---- status

    async def reports(self) -> list[Report]:
        """What the plugins have to tell of their parts now."""
        told = self.hook.status(gateway=self) if self.implements("status") else ()
        return [await one for one in told if one is not None]

    # ---- life

    def keep_memory_of(self, before: Gateway) -> None:
        """Go on with what the generation before has in memory, where no plugin keeps state: a reload forgets no limit."""
        if isinstance(self.state, MemoryStore) and isinstance(before.state, MemoryStore):
            self.state = before.state

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Hold open what the generation needs: the client session, and whatever plugins hold."""
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(self._session())
            for lifespan in self.hook.lifespan(gateway=self):
                if lifespan is not None:
                    await stack.enter_async_context(lifespan)
            yield self

    def _session(self) -> aiohttp.ClientSession:
        proxy = self.config.proxy
        return aiohttp.ClientSession(
            connector=Connector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=proxy.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


def _sits_out(plugin: object, config: Config) -> str | None:
    """Why a plugin has nothing to do here: it may have a method ``sits_out`` that tells, and is then not registered."""
    ask = getattr(plugin, "sits_out", None)
    return ask(config) if ask is not None else None


def _flat(results: Sequence[Any]) -> list[Any]:
    return [one for result in results if result is not None for one in result]
