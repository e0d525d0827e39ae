"""The pytest plugin: ``provider``, ``gateway`` and ``serve``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from llmgw.stages import Clock
from llmgw_testing.gateway import RunningGateway, run_gateway
from llmgw_testing.program import Program
from llmgw_testing.provider import Provider

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # a project without pytest-asyncio still gets ``serve``
    async_fixture = pytest.fixture  # type: ignore[assignment]

GatewayMaker = Callable[..., Awaitable[RunningGateway]]
ProgramMaker = Callable[..., Program]


@async_fixture
async def provider() -> AsyncIterator[Provider]:
    """A scripted provider on a real socket."""
    async with Provider.start() as one:
        yield one


@async_fixture
async def gateway() -> AsyncIterator[GatewayMaker]:
    """``await gateway(config, env=..., clock=...)`` runs a gateway in this process until the test ends."""
    async with AsyncExitStack() as stack:

        async def make(
            config: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None, clock: Clock | None = None
        ) -> RunningGateway:
            return await stack.enter_async_context(run_gateway(config, env, clock))

        yield make


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[ProgramMaker]:
    """``serve("--config", ..., env=...)`` runs ``llmgw serve`` as a program until the test ends."""
    with ExitStack() as stack:

        def make(*options: str, env: Mapping[str, str] | None = None) -> Program:
            log = tmp_path / f"llmgw-{len(list(tmp_path.glob('llmgw-*.log')))}.log"
            return stack.enter_context(Program.serve(*options, env=env, log=log))

        yield make
