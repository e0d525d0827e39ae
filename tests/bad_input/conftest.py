"""Every test here ends with the proof that nothing was harmed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from llmgw.stages import Clock
from llmgw_testing import Provider, RunningGateway
from tests.bad_input.place import ENV, Place, config


@pytest_asyncio.fixture
async def start(
    provider: Provider, gateway: Callable[..., Awaitable[RunningGateway]], caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Callable[..., Awaitable[Place]]]:
    """``await start(max_request_bytes=…, clock=…)`` runs a gateway; afterwards it still serves, and no traceback was logged."""
    places: list[Place] = []

    async def run(clock: Clock | None = None, **proxy: Any) -> Place:
        places.append(Place(await gateway(config(provider, **proxy), ENV, clock), provider))
        return places[-1]

    with caplog.at_level(logging.INFO):
        yield run
        for place in places:
            await place.check()
    assert [] == [record.getMessage() for record in caplog.get_records("call") if record.exc_info]


@pytest_asyncio.fixture
async def place(start: Callable[..., Awaitable[Place]]) -> Place:
    """A gateway as it is configured by default."""
    return await start()
