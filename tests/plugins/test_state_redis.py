from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from llmgw import Gateway, Report, Secret
from llmgw.config import load
from llmgw.errors import ConfigError
from llmgw.state import Away, Degrading
from llmgw.store import Bucket
from llmgw.workers import bind
from llmgw_state_redis import StateRedis
from llmgw_state_redis.connections import Address, Connections
from llmgw_state_redis.store import RedisStore
from llmgw_testing import FakeClock
from tests.plugins.stores import Laws, Place, taken_by_processes

PROGRAM = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed (Debian: apt-get install redis-server)")
pytestmark = needs_redis


@define
class Server:
    """A Redis that keeps nothing on disk, at a socket in a folder of its own."""

    folder: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> Path:
        """Its socket."""
        return self.folder / "redis"

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.path.unlink(missing_ok=True)
        command = [PROGRAM or "", "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--dir", str(self.folder), *self.options], stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not self._listens():
            assert time.monotonic() < until and self.process.poll() is None, (self.folder / "redis.log").read_text()
            time.sleep(0.005)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.path)) == 0

    def signal(self, number: signal.Signals) -> None:
        """Stop it (SIGSTOP), let it go on (SIGCONT)."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """It is gone, with all that it knew."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that do it no harm."""
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


def redis_store(server: Server, timeout: float = 5.0, size: int = 10, prefix: str = "t:") -> RedisStore:
    """A store there."""
    address = Address.read(server.url)
    return RedisStore(Connections(lambda: address.connection(None, None), timeout, size), address.shown, prefix)


# ---- the laws -----------------------------------------------------------------------------------

_AGE = """
local micro = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local left = redis.call('PTTL', key)
  if kind == 'zset' then
    local seats = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #seats, 2 do redis.call('ZADD', key, seats[i+1] - micro / 1000, seats[i]) end
  elseif string.find(key, ':bucket:', 1, true) then
    local level, at = string.match(redis.call('GET', key), '(%S+) (%S+)')
    redis.call('SET', key, string.format('%s %.0f', level, at - micro), 'KEEPTTL')
  end
  if left >= 0 then redis.call('PEXPIRE', key, math.floor(left - micro / 1000)) end
end
"""
"""Moves all that is kept into the past: the same as if time had passed, which nobody can tell Redis."""


@define
class Aged:
    """A store in Redis, whose time cannot be set."""

    store: RedisStore
    drift: float = 4.0

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self.store.connections.ask("EVAL", _AGE, 0, round(seconds * 1_000_000))


class TestRedisStore(Laws):
    """The laws, of Redis."""

    @pytest_asyncio.fixture
    async def place(self, shared_server: Server) -> AsyncIterator[Place]:
        """An empty database."""
        store = redis_store(shared_server)
        await store.connections.ask("FLUSHALL")
        yield Aged(store)
        await store.close()


def test_processes_at_the_same_time(shared_server: Server) -> None:
    """However many processes take at once, exactly as much is granted as there is, and as many sit as there are seats."""
    prefix = f"p{time.monotonic_ns()}:"
    made = (
        "from llmgw_state_redis.connections import Address, Connections; from llmgw_state_redis.store import RedisStore; "
        f"a = Address.read({shared_server.url!r}); "
        f"store = RedisStore(Connections(lambda: a.connection(None, None), 5, 5), a.shown, {prefix!r})"
    )

    assert [100, 20] == taken_by_processes(made)


# ---- what Redis keeps ---------------------------------------------------------------------------


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[RedisStore]:
    """A store in a server of its own."""
    store = redis_store(server)
    yield store
    await store.close()


async def test_keys_have_the_prefix(store: RedisStore) -> None:
    """Other programs may use the same database."""
    await store.set("a", "1")
    await store.take([Bucket("a", 1, 10, 0.1)])
    await store.seat("a", "w", 1, 60)
    await store.add("n", 1)

    assert {b"t:value:a", b"t:bucket:a", b"t:seats:a", b"t:value:n"} == set(await store.connections.ask("KEYS", "*"))


async def test_nothing_stays_for_ever(store: RedisStore) -> None:
    """Redis forgets a bucket when it is full again, and a table when its last guest's time is over."""
    await store.take([Bucket("b", 6, 10, 0.1), Bucket("full", 0, 10, 0.1)])
    await store.seat("t", "long", 2, 90)
    await store.seat("t", "brief", 2, 30)

    assert 55_000 < await store.connections.ask("PTTL", "t:bucket:b") <= 60_001
    assert 85_000 < await store.connections.ask("PTTL", "t:seats:t") <= 90_001
    assert 0 == await store.connections.ask("EXISTS", "t:bucket:full")


async def test_a_clock_set_back(store: RedisStore) -> None:
    """A bucket that was last taken from in the future flows on from now, and not before."""
    await store.take([Bucket("b", 8, 10, 0.1)])
    await store.connections.ask("EVAL", _AGE, 0, -3_600_000_000)
    assert not (await store.take([Bucket("b", 8, 10, 0.1)])).granted

    await store.connections.ask("EVAL", _AGE, 0, 60_000_000)
    assert (await store.take([Bucket("b", 8, 10, 0.1)])).granted


async def test_one_round_trip(store: RedisStore) -> None:
    """Each call is one command, however much it asks for, once Redis knows the scripts."""
    calls: list[Callable[[], Any]] = [
        lambda: store.set("a", "1", 60),
        lambda: store.get_many(["a", "b", "c"]),
        lambda: store.add("n", 1, 60),
        lambda: store.take([Bucket(key, 1, 10, 0.1) for key in "abc"]),
        lambda: store.seat("t", "w", 2, 60),
        lambda: store.leave("t", "w"),
    ]
    for call in calls:
        await call()
    before = await asked(store)
    for call in calls:
        await call()

    assert len(calls) + 1 == await asked(store) - before


async def asked(store: RedisStore) -> int:
    """How often Redis has read something from its clients."""
    told = (await store.connections.ask("INFO", "stats")).decode().split()
    return int(next(line for line in told if line.startswith("total_reads_processed:")).partition(":")[2])


# ---- when it is away ----------------------------------------------------------------------------


@define
class Deployment:
    """A store that degrades, its server, and what it says."""

    server: Server
    clock: FakeClock
    redis: RedisStore
    store: Degrading
    caplog: pytest.LogCaptureFixture = field(repr=False)

    @property
    def said(self) -> list[tuple[str, bool]]:
        """The levels of what was logged, and whether it says that Redis is back."""
        return [(one.levelname, "is back after" in one.message) for one in self.caplog.records if one.name == "llmgw.state"]

    async def takes(self) -> bool:
        """Whether one more was granted."""
        return (await self.store.take([Bucket("b", 1, 10, 1e-9)])).granted

    async def is_back(self) -> bool:
        """After the time for another try: whether Redis has what is written now."""
        self.clock.now += 5.0
        await self.store.set("back", "1")
        found = redis_store(self.server)
        try:
            return "1" == await found.get("back")
        finally:
            await found.close()


AWAY, BACK = ("WARNING", False), ("INFO", True)


@pytest_asyncio.fixture
async def deployed(server: Server, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Deployment]:
    """One that is connected, and of a bucket of ten has taken one."""
    caplog.set_level(logging.INFO, "llmgw.state")
    clock = FakeClock()
    redis = redis_store(server, timeout=0.5)
    store = Degrading(redis, clock.clock, 5.0)
    async with store.held():
        deployed = Deployment(server, clock, redis, store, caplog)
        assert await deployed.takes()
        yield deployed


async def test_gone_and_come_back(deployed: Deployment) -> None:
    """Killed, it costs nobody an error: calls are answered here, with what this process knows, until it is back, empty."""
    deployed.server.kill()
    assert [True] * 9 + [False] == [await deployed.takes() for _ in range(10)]
    await deployed.store.set("a", "1")
    assert ["1"] == await deployed.store.get_many(["a"])
    assert await deployed.store.seat("t", "w", 1, 60)
    assert [AWAY] == deployed.said

    deployed.server.start()
    assert await deployed.is_back()
    assert await deployed.takes()
    assert [AWAY, BACK] == deployed.said


async def test_hanging(deployed: Deployment) -> None:
    """Silent, it makes nobody wait for longer than the timeout, and those that come later not at all."""
    deployed.server.signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert [True] * 5 == await asyncio.gather(*(deployed.takes() for _ in range(5)))
    first = time.monotonic() - begun
    for _ in range(100):
        await deployed.store.get("a")
    later = time.monotonic() - begun - first
    deployed.server.signal(signal.SIGCONT)

    assert 0.5 <= first < 1.5 and later < 0.5
    assert await deployed.is_back()
    assert [AWAY, BACK] == deployed.said


async def test_the_gateway_hangs(deployed: Deployment) -> None:
    """When it is this process that stood still, Redis is not to blame and is used on."""
    deployed.redis.connections.timeout = 0.1
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(deployed.takes())
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 -- all of the loop stands still
    assert under_way.result()

    assert [] == deployed.said
    deployed.redis.connections.timeout = 5.0
    await deployed.store.set("a", "1")
    assert "1" == await deployed.redis.get("a")


async def test_hanging_still(deployed: Deployment) -> None:
    """When it is time to look again, one call waits and finds it silent; nothing is said twice."""
    deployed.server.signal(signal.SIGSTOP)
    await deployed.takes()
    deployed.clock.now += 5.0
    assert [True] * 5 == await asyncio.gather(*(deployed.takes() for _ in range(5)))
    deployed.server.signal(signal.SIGCONT)

    assert [AWAY] == deployed.said


async def test_seats_given_back_meanwhile(deployed: Deployment) -> None:
    """Whoever leaves while Redis is silent does not keep a seat there when it is back."""
    await deployed.store.seat("t", "early", 1, 600)
    deployed.server.signal(signal.SIGSTOP)
    await deployed.store.leave("t", "early")
    deployed.server.signal(signal.SIGCONT)
    assert await deployed.is_back()

    assert await deployed.store.seat("t", "late", 1, 600)
    assert [AWAY, BACK] == deployed.said


async def test_started_anew(deployed: Deployment) -> None:
    """Restarted between two calls, it is used on, though it knows neither our connections nor our scripts."""
    deployed.server.kill()
    deployed.server.start()

    assert await deployed.takes()
    assert await deployed.is_back()
    assert [] == deployed.said


async def test_an_idle_connection_was_closed(deployed: Deployment) -> None:
    """Redis may close connections that nobody uses: another one is made."""
    other = redis_store(deployed.server)
    await asyncio.gather(*(deployed.takes() for _ in range(5)))
    await other.connections.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await other.close()

    assert await deployed.takes()
    assert [] == deployed.said


@pytest.mark.parametrize(
    ("harm", "cure"),
    [
        (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
        (("CONFIG", "SET", "min-replicas-to-write", 1), ("CONFIG", "SET", "min-replicas-to-write", 0)),
    ],
    ids=["replica", "full", "no replicas"],
)
async def test_cannot_be_written(deployed: Deployment, harm: tuple[Any, ...], cure: tuple[Any, ...]) -> None:
    """A Redis that can only be read is away, and reading from it does not make it come back."""
    other = redis_store(deployed.server)
    await other.connections.ask(*harm)
    assert await deployed.takes()
    for _ in range(3):
        deployed.clock.now += 5.0
        await deployed.store.get("a")
    assert [AWAY] == deployed.said

    await other.connections.ask(*cure)
    await other.close()
    assert await deployed.is_back()
    assert [AWAY, BACK] == deployed.said


async def test_another_kind_under_its_key(deployed: Deployment) -> None:
    """Whatever Redis answers, no call fails."""
    other = redis_store(deployed.server)
    await other.connections.ask("LPUSH", "t:value:a", "x")
    await other.close()

    await deployed.store.set("b", "1")
    assert await deployed.store.get("a") is None
    assert [AWAY] == deployed.said


async def test_a_clients_leaving_in_the_middle(server: Server) -> None:
    """A call that is given up at any moment leaves no reply behind for the next one, and no place taken in the pool."""
    store = redis_store(server, size=2)
    for key in ("a", "b"):
        await store.set(key, key)
    for turns in range(40):
        async with asyncio.TaskGroup() as group:
            given_up = [group.create_task(store.get("a")) for _ in range(3)]
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            for task in given_up:
                task.cancel()
        assert ["b"] * 3 == await asyncio.gather(*(store.get("b") for _ in range(3)))
    assert len(store.connections._free) <= 2
    await store.close()


async def test_given_up_while_it_hangs(server: Server) -> None:
    """The reply to a call that was given up, or took too long, is not taken for the next one's."""
    store = redis_store(server, size=1)
    await store.set("a", "a")
    await store.set("b", "b")
    store.connections.timeout = 0.05
    server.signal(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.get("a"))
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(Away, match=r"no reply within 0\.05 seconds"):
        await store.get("a")
    server.signal(signal.SIGCONT)

    store.connections.timeout = 5.0
    assert "b" == await store.get("b")
    await store.close()


async def test_the_pool_is_bounded(server: Server) -> None:
    """There are never more connections than were allowed; whoever finds none free waits."""
    store = redis_store(server, size=3)
    await asyncio.gather(*(store.set(f"{number}", "x") for number in range(50)))
    clients = (await store.connections.ask("CLIENT", "LIST")).decode().splitlines()

    assert 3 == len(clients)
    await store.close()


# ---- TLS ----------------------------------------------------------------------------------------


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_over_tls(tmp_path: Path) -> None:
    """With ``rediss://`` the server must be who the certificate says."""
    cert, key = certified(tmp_path)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    options = ("--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    server = Server(tmp_path, (*options, "--tls-ca-cert-file", str(cert)))
    server.start()
    try:
        for query, trusted in ((f"?ssl_ca_certs={cert}", True), ("", False)):
            address = Address.read(f"rediss://localhost:{port}/0{query}")
            store = RedisStore(Connections(lambda address=address: address.connection(None, None), 5.0, 1), address.shown)
            with nullcontext() if trusted else pytest.raises(Away, match=r"(?i)certificate"):
                await store.set("a", "1")
            await store.close()
    finally:
        server.kill()


# ---- the plugin ---------------------------------------------------------------------------------


def deployment(url: str, **options: Any) -> dict[str, Any]:
    """A gateway that keeps its state in Redis."""
    return {"backends": {"echo": {}}, "plugins": [{"state-redis": {"url": url, **options}}]}


async def test_a_gateway_keeps_its_state_there(server: Server, gateway: Any) -> None:
    """What one gateway sets, another one finds; the status tells where that is."""
    one, other = [await gateway(deployment(server.url)) for _ in range(2)]
    await one.gateway.state.set("selectors.a", "1")

    assert "1" == await other.gateway.state.get("selectors.a")
    row = {"kept in": "Redis at a socket", "away": False, "since": None, "why": None}
    assert [Report("state", [row])] == [await report for report in one.gateway.hook.status(gateway=one.gateway)]


async def test_a_gateway_starts_without(tmp_path: Path, gateway: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that is not there keeps no gateway from starting and serving."""
    clock = FakeClock()
    running = await gateway(deployment(f"unix://{tmp_path}/none"), clock=clock.clock)
    await running.gateway.state.set("a", "1")

    assert "1" == await running.gateway.state.get("a")
    (report,) = [await report for report in running.gateway.hook.status(gateway=running.gateway)]
    assert (True, clock.clock.time()) == (report.rows[0]["away"], report.rows[0]["since"])
    (warning,) = [one.message for one in caplog.records if "is away" in one.message]
    assert "(No such file or directory)" in warning and str(tmp_path) not in warning


async def test_a_password(tmp_path: Path, gateway: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The right one opens it; with a wrong one the state is kept here, and neither is shown."""
    server = Server(tmp_path, ("--requirepass", "right-hush"))
    server.start()
    try:
        options = {"password": "env:WORD", "retry": 60.0}
        right = await gateway(deployment(server.url, **options), env={"WORD": "right-hush"})
        wrong = await gateway(deployment(server.url, **options), env={"WORD": "wrong-hush"})
        await right.gateway.state.set("a", "1")

        assert ["1", None] == [await right.gateway.state.get("a"), await wrong.gateway.state.get("a")]
        assert ["invalid username-password" in one.message for one in caplog.records if "is away" in one.message] == [True]
        assert "hush" not in f"{caplog.text}{right.gateway}{right.gateway.state}{wrong.gateway.state}{right.gateway.plugins}"
    finally:
        server.kill()


def test_a_password_that_is_not_set(tmp_path: Path) -> None:
    """The gateway does not start, and the message names the variable."""
    config = tmp_path / "llmgw.yaml"
    config.write_text(yaml.safe_dump(deployment("redis://127.0.0.1", password="env:NO_SUCH_WORD")))

    with pytest.raises(ConfigError, match="NO_SUCH_WORD is not set: export it"):
        Gateway.build(load(config, {}))


def test_a_bad_url_has_its_place(tmp_path: Path) -> None:
    """A mistake in the file comes with its path, and without what may be a password."""
    config = tmp_path / "llmgw.yaml"
    config.write_text(yaml.safe_dump(deployment("redis://:hush@127.0.0.1")))

    with pytest.raises(ConfigError) as caught:
        Gateway.build(load(config, {}))
    assert "a password must not stand in the file" in str(caught.value) and "url" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1", "Redis at 127.0.0.1:6379"),
        ("rediss://somebody@redis.example:6380/3?ssl_ca_certs=/etc/ssl/some.pem", "Redis at redis.example:6380"),
        ("unix:///run/secret-place/redis.sock?db=2", "Redis at a socket"),
    ],
)
def test_addresses(url: str, shown: str) -> None:
    """All kinds of addresses are understood; of none is shown more than its place."""
    address = Address.read(url)

    assert shown == address.shown
    assert all(word not in repr(address) for word in ("somebody", "secret", "some.pem"))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://:hush@127.0.0.1", "password: env:NAME"),
        ("redis://me:hush@127.0.0.1/0", "password: env:NAME"),
        ("redis://127.0.0.1?password=hush", "password: env:NAME"),
        ("redis://127.0.0.1:hush", "write redis://HOST"),
        ("http://hush", "write redis://HOST"),
        ("redis://127.0.0.1?hush=1", "write redis://HOST"),
        ("", "write redis://HOST"),
    ],
)
def test_bad_addresses(url: str, word: str) -> None:
    """What is no address, or holds a password, is refused with advice, and not shown."""
    with pytest.raises(ValueError) as caught:
        StateRedis(url=url)

    assert word in str(caught.value) and "hush" not in str(caught.value)


def test_options_of_a_login() -> None:
    """A user's name in the options goes before the one in the URL."""
    connection: Any = Address.read("redis://one@127.0.0.1").connection("two", Secret("WORD", "hush"))

    assert ("two", "hush") == (connection.username, connection.password)
    assert "hush" not in repr(connection)
