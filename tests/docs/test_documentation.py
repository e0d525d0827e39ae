"""What the documentation shows works as it is shown, and its tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from docs import generate
from llmgw import Gateway, Secret, Target
from llmgw import config as configuration
from llmgw import plugins as loader
from llmgw.config import ProxyConfig
from llmgw.events import Choice, Reply, StopReason, unfold
from llmgw.model import Text
from llmgw_testing import check_filter

ROOT = Path(__file__).parents[2]
ENV = {
    "ALICE_KEY": "e",
    "BUILD_KEY": "f",
    "OPENAI_API_KEY": "a",
    "WORK_OPENAI_KEY": "b",
    "TEAM_KEY": "c",
    "DEEPSEEK_API_KEY": "d",
}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def table(page: str, first: str) -> dict[str, str]:
    """First and second column of the table whose head begins with ``first``."""
    lines = (ROOT / page).read_text().partition(f"| {first} |")[2].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {row[0]: row[1] for row in rows}


PAGES = ["README.md", "docs/backends.md", "docs/configuration.md", "docs/routing.md", "docs/translation.md"]


@pytest.mark.parametrize("page", PAGES)
def test_yaml_shown_is_a_configuration(page: str, tmp_path: Path) -> None:
    """The YAML on a page builds a gateway."""
    for number, text in enumerate(blocks(page, "yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        gateway = Gateway.build(configuration.load(file, ENV))
        assert set(yaml.safe_load(text)["backends"]) == set(gateway.backends)


def test_readmes_back_end_is_one() -> None:
    """The back-end that README shows sends its key where it says."""
    source = next(block for block in blocks("README.md", "python") if "class Acme" in block)
    space: dict[str, Any] = {}
    exec(compile(source, "README.md", "exec"), space)
    acme = space["Acme"](api_key=Secret("ACME_API_KEY", "sesame"))
    assert [acme] == acme.backends(gateway=None)
    assert {"authorization": "Bearer sesame"} == acme.headers(Target("acme", "m"))


async def test_the_filter_shown_shouts() -> None:
    """The filter that docs/plugins.md shows changes what it says it changes."""
    source = next(block for block in blocks("docs/plugins.md", "python") if "class Shout:" in block)
    space: dict[str, Any] = {}
    exec(compile(source, "docs/plugins.md", "exec"), space)
    one = space["Shout"](mark="?").open_filter(exchange=None)

    said = Reply(id="r", choices=(Choice(parts=(Text("so it is."),), stop=StopReason("end")),))
    heard = await check_filter(one, unfold(said))
    assert [Text("SO IT IS?")] == list(heard.choices[0].parts)


def test_the_table_of_proxy_keys_is_complete() -> None:
    """docs/configuration.md has each key of ``proxy`` with its default."""
    shown = {}
    for names, defaults in table("docs/configuration.md", "key").items():
        shown.update(zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True))
    defaults = ProxyConfig()
    expected = {
        one.name: "none"
        if (value := getattr(defaults, one.name)) is None
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
        for one in attrs.fields(ProxyConfig)
    }
    assert expected == shown


def test_the_table_of_hooks_is_complete() -> None:
    """docs/plugins.md has each hook."""
    assert set(loader.hook_names()) == {name.strip("`") for name in table("docs/plugins.md", "hook")}


def test_every_back_end_has_its_credential_on_the_page() -> None:
    """docs/backends.md lists the back-ends of the registry, and no others."""
    registered = {plugin.name for plugin in generate.plugins() if "back-end" in plugin.stages}
    listed = {name.strip("`") for name in table("docs/backends.md", "id")}
    assert registered == listed


def test_every_login_is_in_the_readmes_table() -> None:
    """What a vendor's terms say of a back-end's login, a reader finds before the log says it."""
    told = {name.strip("`") for name in table("README.md", "back-end with a login")}
    notices = {plugin.name for plugin in generate.plugins() if "back-end" in plugin.stages and "oauth" in plugin.name}
    assert notices <= told
