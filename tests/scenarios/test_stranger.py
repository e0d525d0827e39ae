"""A stranger's plugins: built, installed and removed with pip, as on a machine that has never seen this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import define

from llmgw_testing import Program, Provider, stream, whole

pytestmark = pytest.mark.scenario

ROOT = Path(__file__).resolve().parents[2]
ACME = ROOT / "examples/llmgw-acme"

MOST_MEGABYTES = 40
MOST_DISTRIBUTIONS = 25

BUILT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
"""What earlier builds left behind; setuptools would put modules that are gone into the wheel."""

SIZES = """
import json
from importlib.metadata import distributions

print(json.dumps({each.name: sum(file.locate().stat().st_size for file in each.files or ()) for each in distributions()}))
"""

QUESTION = {"model": "anvil", "messages": [{"role": "user", "content": "Is it heavy?"}]}


@define(eq=False)
class Place:
    """An environment of its own, with llmgw and llmgw-acme installed from their wheels.

    Args:
        folder: for what the test writes.
        acme: a copy of the stranger's project.
        python: the environment's interpreter.
    """

    folder: Path
    acme: Path
    python: Path

    @property
    def llmgw(self) -> str:
        """The program, as pip installed it."""
        return str(self.python.with_name("llmgw"))

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command in the stranger's folder, with nothing of this checkout in its environment."""
        return subprocess.run(list(map(str, command)), cwd=self.acme, env=bare(), capture_output=True, text=True, check=False)

    def done(self, *command: str | Path) -> str:
        """Run a command that has to succeed; what it printed."""
        ended = self.run(*command)
        assert ended.returncode == 0, f"{' '.join(map(str, command))}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


def bare(**more: str) -> dict[str, str]:
    """Our environment, without what would make an interpreter find this checkout or another one's packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"} | more


# ---- the steps, each once -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Both projects built, and their wheels installed into a fresh environment."""
    folder = tmp_path_factory.mktemp("stranger")
    acme = shutil.copytree(ACME, folder / "llmgw-acme", ignore=BUILT)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    place = Place(folder, acme, folder / "venv/bin/python")
    probe = place.run(place.python, "-m", "pip", "download", "--no-deps", "--dest", folder / "probe", "setuptools>=77")
    if probe.returncode != 0:
        pytest.skip(f"pip reaches no package index, so nothing can be installed: {probe.stderr.strip().splitlines()[-1]}")
    ours = shutil.copytree(ROOT, folder / "llmgw", ignore=BUILT)
    place.done(sys.executable, "-m", "build", "--outdir", folder / "dist", ours)  # the wheel is made from the sdist
    place.done(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", acme)
    place.done(place.python, "-m", "pip", "install", "--no-input", *(folder / "dist").glob("*.whl"))
    return place


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A scripted provider; made here, since the checkout need not be installed for this test."""
    async with Provider.start() as one:
        yield one


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as one:
        yield one


# ---- what must hold, in this order: the last test takes the plugins away ------------------------


def test_install_is_small(place: Place) -> None:
    """llmgw brings few distributions, and little."""
    sizes: dict[str, int] = json.loads(place.done(place.python, "-c", SIZES))
    core = {name: size for name, size in sizes.items() if name.lower() not in ("pip", "setuptools", "llmgw-acme")}
    megabytes = sum(core.values()) / 1e6
    largest = ", ".join(f"{name} {core[name] / 1e6:.1f}" for name in sorted(core, key=lambda name: -core[name])[:5])
    told = f"{megabytes:.1f} MB in {len(core)} distributions; the largest, in MB: {largest}"

    print(told)

    assert megabytes <= MOST_MEGABYTES, told
    assert len(core) <= MOST_DISTRIBUTIONS, told


def test_plugins_are_listed(place: Place) -> None:
    """``llmgw plugins`` lists a stranger's plugins beside ours, with the distribution that brings them."""
    lines = [
        line for line in place.done(place.llmgw, "plugins", "--config", "acme.yaml").splitlines() if "llmgw-acme 1.0" in line
    ]

    assert ["acme", "acme-hello", "acme-shout"] == sorted(line.split()[0] for line in lines)


async def test_plugins_serve(place: Place, provider: Provider, http: aiohttp.ClientSession) -> None:
    """Named in the YAML, the back-end sends its key, the filter shouts both ways, and the command asks no provider."""
    provider.answers(whole(answer("It is.")), stream(*chunks("It", " is."), "[DONE]"))
    env = bare(ACME_API_KEY="k1", ACME_BASE_URL=provider.base_url, PYTHONPATH="")
    config = str(place.acme / "acme.yaml")

    with Program.serve("--config", config, env=env, log=place.folder / "serve.log", command=[place.llmgw]) as program:
        whole_text = json.loads(await post(http, program, QUESTION))["choices"][0]["message"]["content"]
        streamed = await post(http, program, QUESTION | {"stream": True})
        command = {"messages": [{"role": "user", "content": "!/hello(Ann)"}]}
        greeting = json.loads(await post(http, program, QUESTION | command))["choices"][0]["message"]["content"]
        code = program.stop()

    assert "IT IS." == whole_text
    assert "IT IS." == streamed_text(streamed)
    assert "Good day, Ann!" == greeting
    assert ["Bearer k1", "Bearer k1"] == [seen.headers["authorization"] for seen in provider.seen]
    assert ["IS IT HEAVY?"] * 2 == [seen.json["messages"][0]["content"] for seen in provider.seen]
    assert 0 == code


def test_project_passes_its_own_checks(place: Place) -> None:
    """In the stranger's own folder and environment, where llmgw is a wheel, what its README says to run finds nothing."""
    (wheel,) = (place.folder / "dist").glob("llmgw_acme-*.whl")
    place.done(place.python, "-m", "pip", "install", "--no-input", f"{wheel}[test]")

    place.done(place.python, "-m", "pytest")
    place.done(place.python, "-m", "mypy", "--strict")
    place.done(place.python, "-m", "ruff", "check")


def test_uninstalled_is_gone(place: Place) -> None:
    """After ``pip uninstall`` nothing of it is left, and a configuration that still names it is told what to do."""
    place.done(place.python, "-m", "pip", "uninstall", "--yes", "llmgw-acme")

    listed = place.done(place.llmgw, "plugins")
    checked = place.run(place.llmgw, "check", "--config", "acme.yaml")

    assert "acme" not in listed
    assert 2 == checked.returncode
    assert "no plugin 'acme' is installed @ backends.acme" in checked.stderr
    assert "no plugin 'acme-shout' is installed @ filters[0].acme-shout" in checked.stderr
    assert "`llmgw plugins` lists" in checked.stderr


# ---- what a provider says -----------------------------------------------------------------------


def answer(text: str) -> dict[str, Any]:
    """A whole reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "anvil", "choices": [choice], "usage": usage}


def chunks(*fragments: str) -> list[dict[str, Any]]:
    """The same, in pieces."""
    deltas: list[tuple[Mapping[str, str], str | None]] = [({"content": each}, None) for each in fragments]
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "anvil"}
    return [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": stop}]}
        for delta, stop in [({"role": "assistant", "content": ""}, None), *deltas, ({}, "stop")]
    ]


async def post(http: aiohttp.ClientSession, program: Program, body: Mapping[str, Any]) -> str:
    """What the gateway answers with 200."""
    async with http.post(f"{program.url}/v1/chat/completions", json=body) as response:
        text = await response.text()
        assert 200 == response.status, text
        return text


def streamed_text(text: str) -> str:
    """The text of a streamed reply, put together."""
    frames = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    found = [choice["delta"].get("content") for frame in frames for choice in json.loads(frame)["choices"]]
    return "".join(filter(None, found))
