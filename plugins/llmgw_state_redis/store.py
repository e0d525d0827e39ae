"""The state store in Redis: each step is one command or one script, which Redis runs with nobody in between.

Time is Redis' own, so that it does not matter whether the clocks of machines agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen
from redis.exceptions import NoScriptError, ResponseError

from llmgw.state import Away
from llmgw.store import Bucket, Taken
from llmgw_state_redis.connections import Connections, Reply

_LONGEST: Final = 10**12
"""Milliseconds that Redis keeps anything; it takes no endless time."""


@frozen
class _Script:
    text: str
    sha: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


_ADD: Final = _Script("""
local held = redis.call('GET', KEYS[1])
if held and not tonumber(held) then return held end
local total = string.format('%.17g', (tonumber(held) or 0) + tonumber(ARGV[1]))
if held then redis.call('SET', KEYS[1], total, 'KEEPTTL')
elseif ARGV[2] == '' then redis.call('SET', KEYS[1], total)
elseif tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], total, 'PX', ARGV[2]) end
return total
""")
"""KEYS: the number's; ARGV: how much, and milliseconds or nothing. What is no number comes back as it is."""

_TAKE: Final = _Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('MGET', unpack(KEYS))
local levels, wait = {}, 0
for i = 1, #KEYS do
  local amount, capacity, rate = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
  levels[i] = capacity
  if held[i] then
    local left, at = string.match(held[i], '(%S+) (%S+)')
    levels[i] = math.min(capacity, tonumber(left) + math.max(0, now - tonumber(at)) / 1000000 * rate)
  end
  local missing = amount - levels[i]
  if amount > 0 and missing > math.max(1e-9, rate * 1e-6) then
    wait = math.max(wait, (amount > capacity or rate <= 0) and math.huge or missing / rate)
  end
end
local granted = (wait == 0 or ARGV[1] == '1') and 1 or 0
local reply = {granted, granted == 1 and '0' or wait == math.huge and 'inf' or string.format('%.17g', wait)}
for i = 1, #KEYS do
  local amount, capacity, rate = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
  local left = levels[i] - granted * amount
  if left >= capacity then
    left = capacity
    if held[i] then redis.call('DEL', KEYS[i]) end
  else
    local full = rate > 0 and math.min((capacity - left) / rate * 1000 + 1, 1e12) or 1e12
    redis.call('SET', KEYS[i], string.format('%.17g %.0f', left, now), 'PX', string.format('%.0f', math.ceil(full)))
  end
  reply[i + 2] = string.format('%.17g', left)
end
return reply
""")
"""KEYS: the buckets'; ARGV: 1 to force, then of each bucket amount, capacity and rate. The arithmetic of ``llmgw.state.taking``.

What was not granted is written too: were Redis' clock set back, the bucket would else stand still until then."""

_SEAT: Final = _Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
if tonumber(ARGV[3]) <= 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 1
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last) + 1))
return 1
""")
"""KEYS: the table's; ARGV: who, how many seats, milliseconds."""


@define(eq=False)
class RedisStore:
    """State in Redis; an implementation of ``llmgw.state.Shared``.

    Args:
        connections: to it.
        where: it is, for people.
        prefix: of all keys.
    """

    connections: Connections
    where: str
    prefix: str = "llmgw:"

    async def probe(self) -> None:
        """Write something: a replica, or one that is full, can only be read."""
        await self._ask("SET", self._key("probe", ""), "", "PX", 1)

    async def close(self) -> None:
        """Close the connections."""
        await self.connections.close()

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        return _text(await self._ask("GET", self._key("value", key)))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of several keys, in their order."""
        if not keys:
            return []
        return [_text(value) for value in await self._ask("MGET", *(self._key("value", key) for key in keys))]

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        name, until = self._key("value", key), _milliseconds(ttl)
        if until is None:
            await self._ask("SET", name, _bytes(value))
        elif until > 0:
            await self._ask("SET", name, _bytes(value), "PX", until)
        else:  # Redis takes no time that is over
            await self._ask("DEL", name)

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        until = _milliseconds(ttl)
        return float(_text(await self._run(_ADD, [self._key("value", key)], repr(amount), "" if until is None else until)) or 0)

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._ask("DEL", self._key("value", key))

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """Take from all of these buckets, or from none."""
        if not buckets:
            return Taken(True, ())
        numbers = [repr(float(each)) for one in buckets for each in (one.amount, one.capacity, one.rate)]
        keys = [self._key("bucket", one.key) for one in buckets]
        granted, wait, *left = await self._run(_TAKE, keys, int(force), *numbers)
        return Taken(granted == 1, tuple(map(float, left)), float(wait))

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """Take one of ``limit`` seats for ``ttl`` seconds, or keep the one that one has; whether there is one."""
        until = _milliseconds(ttl)
        return bool(await self._run(_SEAT, [self._key("seats", key)], _bytes(who), limit, until or 0))

    async def leave(self, key: str, who: str) -> None:
        """Give the seat back."""
        await self._ask("ZREM", self._key("seats", key), _bytes(who))

    def _key(self, kind: str, key: str) -> bytes:
        return _bytes(f"{self.prefix}{kind}:{key}")

    async def _run(self, script: _Script, keys: Sequence[bytes], *arguments: bytes | str | int) -> Reply:
        """Run a script by its name; Redis forgets scripts when it starts, and keeps those that it was shown."""
        try:
            return await self.connections.ask("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._ask("EVAL", script.text, len(keys), *keys, *arguments)
        except ResponseError as error:
            raise _away(error) from None

    async def _ask(self, *command: bytes | str | int) -> Reply:
        try:
            return await self.connections.ask(*command)
        except ResponseError as error:
            raise _away(error) from None


def _away(error: ResponseError) -> Away:
    return Away(f"it answers: {str(error)[:200]}")


def _milliseconds(ttl: float | None) -> int | None:
    """What Redis counts in; what lasts less than one lasts one."""
    if ttl is None:
        return None
    return 0 if ttl <= 0 else max(1, round(min(ttl * 1000, _LONGEST)))


def _bytes(text: str) -> bytes:
    # What a client sent may hold lone surrogates, which are no UTF-8
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogatepass")
