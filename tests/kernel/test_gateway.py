from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from attrs import define, field

from llmgw import gateway as module
from llmgw.config import Config
from llmgw.errors import ConfigError, UpstreamTimeout
from llmgw.gateway import MODELS_RETRY, MODELS_TTL, Gateway
from llmgw.hookspecs import hookimpl
from llmgw.model import ModelInfo
from llmgw.stages import Command, Endpoint
from llmgw.state import MemoryStore
from llmgw_testing import FakeClock
from tests.toys import FRONT, TOY, Player, Toybox, commanding, filtering, plugin, serving


class Last(Player):
    """A back-end that is there so that something is."""

    last_resort = True


async def say(exchange: object, words: str) -> str:
    """A command."""
    return words


# ---- the parts ----------------------------------------------------------------------------------


def test_all_parts_are_gathered_in_order(toybox: Toybox) -> None:
    """Back-ends, commands and endpoints of all plugins, in the order of the configuration."""
    commands = commanding(Command("a", say, "")), commanding(Command("b", say, ""))
    gateway = toybox.gateway(serving(Player(name="one"), Player(name="two")), serving(Player(name="three")), *commands, FRONT)

    assert ["one", "two", "three"] == list(gateway.backends)
    assert ["a", "b"] == list(gateway.commands)
    assert ["/toy", "/toy/models", "/toy/models/{id:.+}"] == [endpoint.path for endpoint in gateway.endpoints][:3]


def test_a_plugin_may_bring_nothing(toybox: Toybox) -> None:
    """None is as good as an empty list."""

    def backends(gateway: Gateway) -> None:
        return None

    assert ["toy"] == list(toybox.gateway(plugin(backends=backends), serving(Player())).backends)


def test_two_of_one_name_are_a_mistake(toybox: Toybox) -> None:
    """Which of two back-ends or commands is meant cannot be guessed; all mistakes are told at once."""
    with pytest.raises(ConfigError) as caught:
        toybox.gateway(
            serving(Player()), serving(Player()), commanding(Command("a", say, "")), commanding(Command("a", say, "")),
            default_backend="toyy",
        )  # fmt: skip

    assert (
        "two back-ends are called 'toy' @ backends.toy",
        "two plugins bring the command 'a' @ commands",
        "no back-end is called 'toyy' @ default_backend; did you mean 'toy'?",
    ) == caught.value.problems


def test_a_default_like_no_other(toybox: Toybox) -> None:
    """Where no name is near, all are named."""
    with pytest.raises(ConfigError, match="there are: a, b"):
        toybox.gateway(serving(Player(name="b"), Player(name="a")), default_backend="nowhere")


def test_what_is_implemented(toybox: Toybox) -> None:
    """A hook that no plugin of the deployment has is known not to be worth a call."""
    gateway = toybox.gateway(*filtering(None))

    assert (True, False) == (gateway.implements("open_filter"), gateway.implements("open_observer"))


def test_one_that_sits_out_is_not_registered(toybox: Toybox) -> None:
    """A plugin that says it has nothing to do is asked for nothing, and its reason is kept."""

    @define(eq=False)
    class Idle:
        """Has nothing to do."""

        def sits_out(self, config: Config) -> str | None:
            return "the moon is full"

        @hookimpl
        def open_observer(self, exchange: object) -> None:
            raise AssertionError

    @define(eq=False)
    class Busy(Idle):
        """Has something to do."""

        def sits_out(self, config: Config) -> str | None:
            return None

    gateway = toybox.gateway(Idle)
    assert not gateway.implements("open_observer")
    assert ["the moon is full"] == [why for item, why in gateway.idle if not item.default]
    assert not any(isinstance(one, Idle) for _, one in gateway.plugins)
    assert toybox.gateway(Busy).implements("open_observer")


def test_the_first_store_is_taken(toybox: Toybox) -> None:
    """Where no plugin brings a store, it is this process's memory, on the gateway's own clock."""
    store, clock = MemoryStore(), FakeClock()

    def bring(gateway: Gateway) -> MemoryStore:
        return store

    def bring_none(gateway: Gateway) -> None:
        return None

    assert store is toybox.gateway(plugin(state_store=bring_none), plugin(state_store=bring)).state
    memory = toybox.gateway(clock=clock.clock).state
    assert isinstance(memory, MemoryStore) and memory.clock() == clock.now


def test_the_environment_is_that_of_the_configuration(toybox: Toybox) -> None:
    """Nobody looks elsewhere."""
    assert {"A": "1"} == toybox.gateway(env={"A": "1"}).env


# ---- the default back-end -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backends", "configured", "expected"),
    [
        ([], None, None),
        ([Player(name="a")], None, "a"),
        ([Player(name="a"), Player(name="b")], None, None),
        ([Player(name="a"), Last(name="z")], None, "a"),
        ([Last(name="z")], None, "z"),
        ([Last(name="y"), Last(name="z")], None, None),
        ([Player(name="a"), Player(name="b"), Last(name="z")], None, None),
        ([Player(name="a"), Player(name="b")], "b", "b"),
        ([Player(name="a"), Last(name="z")], "z", "z"),
        ([Player(name="a"), Player(name="b")], "b:model", "b"),
    ],
)
def test_the_default_back_end(toybox: Toybox, backends: Sequence[Player], configured: str | None, expected: str | None) -> None:
    """It is the one configured, or the only one that is no last resort, or the only one at all; two are not chosen between."""
    more = {"default_backend": configured} if configured else {}

    assert expected == toybox.gateway(serving(*backends), **more).default_backend


# ---- whether it can serve -----------------------------------------------------------------------


def test_ready(toybox: Toybox) -> None:
    """It needs a front-end and a back-end; it says which is missing."""

    def none(gateway: Gateway) -> None:
        return None

    assert toybox.gateway().ready is None
    assert "no back-end is on" == toybox.gateway(serving()).ready
    assert "no front-end is on" == toybox.gateway(plugin(frontend_endpoints=none)).ready


def test_who_is_asked_for_a_key(toybox: Toybox) -> None:
    """A gateway authenticates when a plugin can and the deployment does not forbid it."""

    def authenticate(exchange: object) -> None:
        return None

    asking = plugin(authenticate=authenticate)
    assert not toybox.gateway().authenticates
    assert toybox.gateway(asking).authenticates
    assert not toybox.gateway(asking, auth={"disable_auth": True}).authenticates


# ---- models -------------------------------------------------------------------------------------


@define(eq=False)
class Lister(Player):
    """Counts how often it is asked for its list; fails or hangs when told to."""

    count: int = 0
    error: Exception | None = None
    ready: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.ready.set()

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        self.count += 1
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        return await super().models(gateway)


def names(models: Sequence[ModelInfo]) -> list[str]:
    """Their ids."""
    return [model.id for model in models]


async def test_lists_are_merged(toybox: Toybox) -> None:
    """Models of all back-ends, each by the name that a request gives, in the order of the configuration."""
    gateway = toybox.gateway(serving(Player(name="b", listed=("x", "y")), Player(name="a", listed=("x",))))

    assert ["b:x", "b:y", "a:x"] == names(await gateway.models())
    assert ["b:x", "b:y", "a:x"] == gateway.known_models


async def test_a_list_is_kept_for_a_while(toybox: Toybox) -> None:
    """A back-end is asked once in five minutes."""
    clock, lister = FakeClock(), Lister()
    gateway = toybox.gateway(serving(lister), clock=clock.clock)
    await gateway.models()
    clock.now += MODELS_TTL - 1
    await gateway.models()
    assert 1 == lister.count

    clock.now += 1
    await gateway.models()
    assert 2 == lister.count


async def test_one_that_fails_is_left_out(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """The others are listed, the log has the reason, and it is asked again after a while."""
    clock, bad = FakeClock(), Lister(name="bad", error=UpstreamTimeout("asleep"))
    gateway = toybox.gateway(serving(bad, Player(name="good")), clock=clock.clock)

    assert ["good:m"] == names(await gateway.models())
    assert [(logging.WARNING, "the back-end 'bad' gave no list of models: asleep")] == [
        (one.levelno, one.getMessage()) for one in caplog.records
    ]
    bad.error = None
    assert ["good:m"] == names(await gateway.models())
    clock.now += MODELS_RETRY
    assert ["bad:m", "good:m"] == names(await gateway.models())


async def test_one_that_is_slow_is_not_waited_for(
    toybox: Toybox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The list comes without it."""
    monkeypatch.setattr(module, "MODELS_PATIENCE", 0.01)
    slow = Lister(name="slow")
    slow.ready.clear()
    gateway = toybox.gateway(serving(slow, Player(name="good")))

    assert ["good:m"] == names(await gateway.models())
    assert "too slow" in caplog.text


async def test_many_who_ask_at_once_wait_for_one_answer(toybox: Toybox) -> None:
    """A back-end is asked once, however many clients want its list."""
    lister = Lister()
    lister.ready.clear()
    gateway = toybox.gateway(serving(lister))
    async with asyncio.TaskGroup() as group:
        lists = [group.create_task(gateway.models()) for _ in range(50)]
        await asyncio.sleep(0)
        lister.ready.set()
    assert ([["toy:m"]] * 50, 1) == ([names(one.result()) for one in lists], lister.count)


async def test_an_old_list_is_better_than_none(toybox: Toybox) -> None:
    """One that listed models once and fails now is listed as it was."""
    clock, lister = FakeClock(), Lister()
    gateway = toybox.gateway(serving(lister), clock=clock.clock)
    await gateway.models()
    lister.error = UpstreamTimeout("asleep")
    clock.now += MODELS_TTL

    assert ["toy:m"] == names(await gateway.models())


# ---- life ---------------------------------------------------------------------------------------


async def test_the_session_lives_as_long_as_the_gateway(toybox: Toybox) -> None:
    """It keeps no cookies and reads no proxy from the environment, and is closed at the end."""
    gateway = toybox.gateway()
    async with gateway.running():
        session = gateway.http
        assert not session.closed
        assert (False, 0) == (session.trust_env, len(session.cookie_jar))

    assert session.closed


async def test_the_session_waits_for_a_connection_as_configured(toybox: Toybox) -> None:
    """And for nothing else: how long an answer may take, the pulse decides."""
    gateway = toybox.gateway(proxy={"connect_timeout": 3.0})
    async with gateway.running():
        timeout = gateway.http.timeout

    assert (None, None, 3.0) == (timeout.total, timeout.sock_read, timeout.sock_connect)


def test_ports_of_front_ends(toybox: Toybox) -> None:
    """Each once, in order; the gateway's own is none of them."""

    def frontend_endpoints(gateway: Gateway) -> list[Endpoint]:
        return [Endpoint("POST", path, TOY, port=port) for path in ("/a", "/b") for port in (8002, None, 8001)]

    assert [8001, 8002] == toybox.gateway(plugin(frontend_endpoints=frontend_endpoints)).ports
    assert [] == toybox.gateway().ports
