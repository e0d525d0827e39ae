"""What every test may use, and what no test may leave behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses
import pytest
import pytest_asyncio
from hypothesis import settings

from tests.toys import Toybox

# The same examples each time; ``pytest --hypothesis-profile=default`` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

# ---- what a test leaves behind ------------------------------------------------------------------


def pytest_collection_finish() -> None:
    """Looking for garbage after each test is then quick: all that was imported is never looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a task running, a socket open, or the environment or the working directory changed."""
    if talks := inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("no_task_left")
    folder, environment = Path.cwd(), _environment()
    yield
    if talks:
        gc.collect()  # what holds an open socket or transport warns now, and a warning is an error
        gc.freeze()  # what has survived, such as modules imported meanwhile, is not looked at again
    assert folder == Path.cwd()
    assert environment == _environment()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest_asyncio.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Set up before all other fixtures of its test, and so torn down behind them."""
    before = asyncio.all_tasks()
    yield
    for _ in range(100):  # a task that was told to end may need some turns for it
        if not (left := asyncio.all_tasks() - before - {asyncio.current_task()}):
            break
        await asyncio.sleep(0)
    assert not left, f"tasks left behind: {left}"


# ---- tools --------------------------------------------------------------------------------------


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know that aiohttp 3.14 wants a stream_writer (pnuckowski/aioresponses#289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
    aioresponses.core.ClientResponse = _Response


@pytest.fixture
def toybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toybox:
    """A place where toy plugins are installed until the test ends."""
    toybox = Toybox(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, toybox.module.__name__, toybox.module)
    return toybox
