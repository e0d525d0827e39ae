from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from llmgw.config import AuthConfig, ClientKey, Config, PluginItem, ProxyConfig, load
from llmgw.errors import ConfigError
from llmgw.secret import Secret
from llmgw.stages import Limits


@pytest.fixture(autouse=True)
def _no_default_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own distribution, without a default set."""
    info = tmp_path / "llmgw-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmgw\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the YAML stands."""
    return tmp_path / "llmgw.yaml"


def test_without_a_file() -> None:
    """A gateway needs no file."""
    assert Config() == load(None, {})


def test_the_minimal_file(file: Path) -> None:
    """The file of the documentation works as it stands there."""
    file.write_text("""\
backends:
  openai: {type: openai}
default_backend: openai
proxy: {host: 0.0.0.0, port: 8000}
auth: {disable_auth: false}
""")
    env = {"A": "b"}

    expected = Config(
        proxy=ProxyConfig(host="0.0.0.0"),
        items=(PluginItem("openai", "openai", "backends", {}, "backends.openai"),),
        default_backend="openai",
        source=file,
        env=env,
    )
    assert expected == load(file, env)


def test_an_empty_file(file: Path) -> None:
    """A file without contents, or with empty sections, changes nothing."""
    file.write_text("{proxy: , auth: , backends: , filters: , defaults: , default_backend: }")

    assert Config(source=file) == load(file, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fitlers: []", "unknown key 'fitlers' @ top level; did you mean 'filters'?"),
        ("5: 6", "unknown key 5 @ top level"),
        ("proxy: {hots: x}", "unknown key 'hots' @ proxy; did you mean 'host'?"),
        ("proxy: [host]", "invalid value for type, expected a mapping, found a list @ proxy"),
        ("proxy: {host: 5}", "invalid value for type, expected str, found 5 @ proxy.host"),
        ("proxy: {host: ''}", "Length of 'host' must be >= 1: 0 @ proxy.host"),
        ("proxy: {host: '${HOST}'}", "HOST is not set @ proxy.host; export it, or write ${HOST:-a value}"),
        ("proxy: {port: '8000'}", "invalid value for type, expected int, found '8000' @ proxy.port"),
        ("proxy: {port: 80.5}", "invalid value for type, expected int, found 80.5 @ proxy.port"),
        ("proxy: {port: -1}", "'port' must be >= 0: -1 @ proxy.port"),
        ("proxy: {port: 65536}", "'port' must be <= 65535: 65536 @ proxy.port"),
        ("proxy: {max_request_bytes: 0}", "'max_request_bytes' must be >= 1: 0 @ proxy.max_request_bytes"),
        ("proxy: {heartbeat: 0}", "expected a number of seconds above 0, found 0.0 @ proxy.heartbeat"),
        ("proxy: {deadline: .inf}", "expected a number of seconds above 0, found inf @ proxy.deadline"),
        ("proxy: {deadline: .nan}", "expected a number of seconds above 0, found nan @ proxy.deadline"),
        ("proxy: {grace: 30s}", "invalid value for type, expected float, found '30s' @ proxy.grace"),
        ("proxy: {grace: true}", "invalid value for type, expected float, found true @ proxy.grace"),
        ("auth: false", "invalid value for type, expected a mapping, found false @ auth"),
        ("auth: {disable_auth: 'false'}", "invalid value for type, expected bool, found 'false' @ auth.disable_auth"),
        ("auth: {disable_auth: 0}", "invalid value for type, expected bool, found 0 @ auth.disable_auth"),
        ("default_backend: 5", "invalid value for type, expected str, found 5 @ default_backend"),
        ("default_backend: ''", "invalid value, expected ID or ID:MODEL, found '' @ default_backend"),
        ("default_backend: ':gpt'", "invalid value, expected ID or ID:MODEL, found ':gpt' @ default_backend"),
        ("default_backend: 'openai:'", "invalid value, expected ID or ID:MODEL, found 'openai:' @ default_backend"),
        ("backends: [openai]", "invalid value for type, expected a mapping, found a list @ backends; write ID: {type: NAME}"),
    ],
)
def test_refuses(file: Path, text: str, message: str) -> None:
    """Each mistake is said in one line, with its place."""
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert (message,) == caught.value.problems


def test_all_at_once(file: Path) -> None:
    """All that is wrong with a file is said together, sorted by its place."""
    file.write_text("{proxy: {port: x, grace: -1}, x: 1, filters: [a, a, 5], auth: {disable_auth: 1}, default_backend: ':'}")

    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert (
        "invalid value for type, expected bool, found 1 @ auth.disable_auth",
        "invalid value, expected ID or ID:MODEL, found ':' @ default_backend",
        "a second 'a' in filters @ filters[1].a; give one of them a name: of its own",
        "expected NAME or NAME: {options}, found 5 @ filters[2]",
        "expected a number of seconds above 0, found -1.0 @ proxy.grace",
        "invalid value for type, expected int, found 'x' @ proxy.port",
        "unknown key 'x' @ top level",
    ) == caught.value.problems


def test_keys_of_clients(file: Path) -> None:
    """Each with what it may reach and how much it may ask for; the file names variables, and nothing shows a key."""
    alice = "{key: env:A, models: ['acme:*'], routes: [fast], limits: {requests: 60, concurrent: 4}}"
    file.write_text(f"auth: {{keys: {{alice: {alice}, bob: {{key: env:B}}}}}}")
    auth = load(file, {"A": "sk-one", "B": "sk-two"}).auth

    known = ClientKey(Secret("A", "sk-one"), ("acme:*",), ("fast",), Limits(requests=60.0, concurrent=4))
    assert {"alice": known, "bob": ClientKey(Secret("B", "sk-two"))} == auth.keys
    assert "sk-" not in repr(auth)


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("{alice: {key: env:C}}", "C is not set: export it, or take this client out @ auth.keys.alice.key"),
        ("{alice: {key: env:EMPTY}}", "EMPTY is not set: export it, or take this client out @ auth.keys.alice.key"),
        ("{alice: {key: sk-one}}", "a key must not stand in the file @ auth.keys.alice.key; write env:NAME and export NAME"),
        ("{alice: {models: [a]}}", "a required option is missing @ auth.keys.alice.key"),
        ("{alice: {key: env:A}, bob: {key: env:A}}", "'alice' and 'bob' have the same key: give each its own @ auth.keys"),
        (
            "{a: {key: env:B}, b: {key: env:A}, c: {key: env:AGAIN}}",
            "'b' and 'c' have the same key: give each its own @ auth.keys",
        ),
        (
            "{key: {key: env:A}}",
            "'key' is the name of whoever shows the gateway's single key: take another one @ auth.keys",
        ),
        ("{'': {key: env:A}}", "a client's name has 1 to 64 printable characters, found '' @ auth.keys"),
        ('{"a\\nb": {key: env:A}}', "a client's name has 1 to 64 printable characters, found 'a\\nb' @ auth.keys"),
        (
            f"{{{'a' * 65}: {{key: env:A}}}}",
            "a client's name has 1 to 64 printable characters, found a text of 65 characters @ auth.keys",
        ),
        ("{1: {key: env:A}}", "invalid key, expected text, found 1 @ auth.keys; put it in quotes"),
        ("{alice: {key: env:A, limits: {tokens: 0}}}", "'tokens' must be > 0: 0.0 @ auth.keys.alice.limits.tokens"),
        ("{alice: {key: env:A, limits: {token: 1}}}", "unknown key 'token' @ auth.keys.alice.limits; did you mean 'tokens'?"),
    ],
)
def test_wrong_keys_of_clients(file: Path, keys: str, mistake: str) -> None:
    """A client without a key of its own never makes a gateway that is open."""
    file.write_text(f"auth: {{keys: {keys}}}")

    with pytest.raises(ConfigError) as caught:
        load(file, {"A": "sk-one", "AGAIN": "sk-one", "B": "sk-two", "EMPTY": ""})
    assert (mistake,) == caught.value.problems


def test_a_broken_file_is_said_alone(file: Path) -> None:
    """Where there is no YAML, there is nothing else to say."""
    file.write_text("a: [")

    with pytest.raises(ConfigError, match=r"line 1, column 5$"):
        load(file, {})


@pytest.mark.parametrize(
    ("overrides", "config"),
    [
        ({"host": "::1"}, Config(proxy=ProxyConfig(host="::1", port=1))),
        ({"port": 0}, Config(proxy=ProxyConfig(port=0))),
        ({"grace": 5}, Config(proxy=ProxyConfig(port=1, grace=5.0))),
        ({"disable_auth": True}, Config(proxy=ProxyConfig(port=1), auth=AuthConfig(disable_auth=True))),
        ({"default_backend": "b"}, Config(proxy=ProxyConfig(port=1), default_backend="b", default_model=None)),
        ({"default_backend": "b:m:x"}, Config(proxy=ProxyConfig(port=1), default_backend="b", default_model="m:x")),
    ],
)
def test_overrides(file: Path, overrides: dict[str, Any], config: Config) -> None:
    """What is given goes before what the file says, and leaves the rest of it."""
    file.write_text("{proxy: {port: 1}, default_backend: 'a:n'}")
    config = config if "default_backend" in overrides else attrs.evolve(config, default_backend="a", default_model="n")

    assert attrs.evolve(config, source=file) == load(file, {}, **overrides)


def test_overrides_are_checked() -> None:
    """What is given is held to the rules of the file."""
    with pytest.raises(ConfigError, match=r"^'port' must be <= 65535: 70000 @ proxy\.port$"):
        load(None, {}, port=70000)


def test_the_environment_is_handed_in(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables come from the mapping that is given, never from the process."""
    monkeypatch.setitem(os.environ, "LLMGW_TEST_HOST", "wrong")
    file.write_text("proxy: {host: '${LLMGW_TEST_HOST}'}")

    assert "right" == load(file, {"LLMGW_TEST_HOST": "right"}).proxy.host


def test_the_environment_does_not_show() -> None:
    """A configuration that is logged shows no variable."""
    assert "sk-hunter2" not in repr(load(None, {"ACME_API_KEY": "sk-hunter2"}))


def test_options_of_plugins_from_the_command_line(file: Path) -> None:
    """They reach the plugin, and one that is not on is told with all other mistakes."""
    file.write_text("filters: [tidy: {a: 1}]")
    [item] = load(file, {}, options={"tidy.a": 2, "tidy.b": "x"}).items
    assert {"a": 2, "b": "x"} == item.options

    file.write_text("{x: 1}")
    with pytest.raises(ConfigError) as caught:
        load(file, {}, options={"tidy.a": 2})
    assert {"tidy.a is set, but tidy is not on @ the command line", "unknown key 'x' @ top level"} == set(caught.value.problems)
