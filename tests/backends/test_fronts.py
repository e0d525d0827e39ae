"""The means of these tests are themselves right: each front-end's question is answered by echo."""

from __future__ import annotations

import pytest

from llmgw_testing import run_gateway
from tests.backends.fronts import FRONTS, QUESTION, asked


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_is_answered(front: str, stream: bool) -> None:
    """What was asked is in the answer, once."""
    async with run_gateway({"backends": {"echo": {}}}, {}) as running:
        status, said = await asked(running, front, "echo:echo", stream=stream)
    assert (200, 1) == (status, said.count(QUESTION))
