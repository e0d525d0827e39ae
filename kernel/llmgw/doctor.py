"""``llmgw doctor``: whether each back-end has a credential, can be reached and answers, and what to do where not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import aiohttp
from attrs import field, frozen
from yarl import URL

from llmgw.errors import ConfigError, GatewayError
from llmgw.events import Accumulator
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import ModelInfo, Text
from llmgw.nearest import nearest
from llmgw.stages import Backend, CredentialState, Head, Target
from llmgw.transport import HttpBackend

PATIENCE = 15.0
"""Seconds for one question to one provider."""
LIVE_PATIENCE = 120.0
"""Seconds for an answer, before which a model may have to be loaded."""


@frozen
class Finding:
    """What there is to say of one back-end.

    Args:
        name: its id.
        lines: word and text, as they are printed.
        problems: what is wrong, each with the next step; nothing where all is well.
    """

    name: str
    lines: Sequence[tuple[str, str]]
    problems: Sequence[str] = field(default=())


async def examined(gateway: Gateway, names: Iterable[str] = (), *, live: bool = False) -> AsyncIterator[Finding]:
    """Examine back-ends, one after the other, in the order of the configuration.

    Args:
        gateway: built, not running.
        names: of back-ends; none for all.
        live: whether to send each a minimal request, which may cost something.

    Raises:
        ConfigError: a name is no back-end's.
    """
    wanted = list(names) or list(gateway.backends)
    for name in wanted:
        if name not in gateway.backends:
            close = nearest(name, gateway.backends)
            raise ConfigError(f"no back-end is called '{name}'" + (f"; did you mean '{close[0]}'?" if close else ""))
    async with gateway.running():
        for name in wanted:
            yield await _Examination(gateway, gateway.backends[name]).run(live)


def printed(finding: Finding) -> str:
    """A finding, for people."""
    lines = [*finding.lines, *(("to do", problem) for problem in finding.problems)]
    return "\n".join([finding.name, *(f"  {word:11} {text}" for word, text in lines)])


class _Examination:
    def __init__(self, gateway: Gateway, backend: Backend) -> None:
        self.gateway = gateway
        self.backend = backend
        self.lines: list[tuple[str, str]] = []
        self.problems: list[str] = list(backend.problems())

    async def run(self, live: bool) -> Finding:
        for one in self.backend.credentials or [CredentialState("", self.backend.credential_state)]:
            self._credential(one)
        models = await self._reached()
        if live and models is not None:
            await self._asked(models)
        for notice in self.backend.notices:
            self.lines.append(("notice", notice))
        return Finding(self.backend.name, self.lines, self.problems)

    def _credential(self, state: CredentialState) -> None:
        until = ""
        if state.expires_at is not None:
            until = datetime.fromtimestamp(state.expires_at, UTC).strftime(", until %Y-%m-%d %H:%M UTC")
        self.lines.append(("credential", state.told + until))
        if state.problem:
            self.problems.append(state.problem)

    async def _reached(self) -> Sequence[ModelInfo] | None:
        """Its models; None where it cannot be reached or lets nobody in."""
        begun = self.gateway.clock.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._knocked()
                models = await self.backend.models(self.gateway)
        except TimeoutError:
            self._failed("reachable", f"no: nothing came within {PATIENCE:g} s")
        except GatewayError as error:
            self._failed("reachable", f"no: {error.message}")
        else:
            took = self.gateway.clock.monotonic() - begun
            self.lines.append(("reachable", f"yes, {len(models)} model{'' if len(models) == 1 else 's'} in {took:.1f} s"))
            return models
        return None

    async def _knocked(self) -> None:
        """Whether somebody is there at all, asked without the credential: a list of models may be known without asking."""
        if not isinstance(self.backend, HttpBackend):
            return
        try:
            async with self.gateway.http.get(URL(self.backend.base_url).origin(), allow_redirects=False):
                pass
        except aiohttp.ClientError as error:
            raise self.backend.failure(error) from None

    def _failed(self, word: str, text: str) -> None:
        self.lines.append((word, text))
        self.problems.append(text.removeprefix("no: "))

    async def _asked(self, models: Sequence[ModelInfo]) -> None:
        default = self.gateway.config.default_model if self.gateway.default_backend == self.backend.name else None
        model = default or next((one.id for one in models), None)
        if model is None:
            self.lines.append(("live", "not asked: it lists no model; name one with default_backend: id:model"))
            return
        begun = self.gateway.clock.monotonic()
        try:
            async with asyncio.timeout(LIVE_PATIENCE):
                said = await self._answer(model)
        except TimeoutError:
            self._failed("live", f"no: {model} gave no answer within {LIVE_PATIENCE:g} s")
        except GatewayError as error:
            self._failed("live", f"no: {model}: {error.message}")
        else:
            took = self.gateway.clock.monotonic() - begun
            self.lines.append(("live", f"yes, {model} says {said[:60]!r} in {took:.1f} s"))

    async def _answer(self, model: str) -> str:
        dialect = next((one.dialect for one in self.gateway.endpoints if one.operation == "generate"), None)
        if dialect is None:
            raise ConfigError("a live request needs a front-end, in whose words it is asked @ frontends")
        head = Head("POST", "/", {"model": model})
        request = dialect.read_request(head, dialect.example(model).encode()).with_model(model)
        exchange = Exchange(self.gateway, dialect, head, started=self.gateway.clock.monotonic())
        fold = Accumulator()
        async with aclosing(self.backend.stream(exchange, Target(self.backend.name, model), request)) as events:
            async for event in events:
                fold.feed(event)
        if fold.error is not None:
            raise fold.error
        return "".join(part.text for choice in fold.reply().choices for part in choice.parts if isinstance(part, Text))
