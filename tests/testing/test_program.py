from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from llmgw_testing import Program


def test_it_runs_as_users_run_it(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the options and the environment that it is given, and none of the test's own keys."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-developer")
    program: Program = serve("--log-level", "debug", env={"GROQ_API_KEY": "g"})

    assert "groq (key from GROQ_API_KEY)" in program.banner
    assert "OPENAI_API_KEY" not in program.banner
    assert (200, "ok") == (program.get("/health")[0], program.get("/health")[1]["status"])
    assert 404 == program.get("/nothing")[0]


def test_it_is_stopped(serve: Any) -> None:
    """By the signal that a system sends; its exit code is handed on."""
    program: Program = serve()

    assert 0 == program.stop(signal.SIGINT)
    assert 0 == program.process.poll()


def test_it_does_not_outlive_its_test(tmp_path: Path) -> None:
    """Nobody has to stop it."""
    with Program.serve(log=tmp_path / "log") as program:
        assert program.process.poll() is None

    assert -signal.SIGKILL == program.process.poll()


def test_one_that_does_not_start(tmp_path: Path) -> None:
    """What it said is in the error."""
    with (
        pytest.raises(RuntimeError, match=r"(?s)llmgw serve ended with 2:\n.*no-such-file"),
        Program.serve("--config", "no-such-file", log=tmp_path / "log"),
    ):
        pytest.fail("it runs")
