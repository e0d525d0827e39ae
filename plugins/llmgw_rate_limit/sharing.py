"""Who shares a limit: how many clients have asked lately, exactly, with counters in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmgw import Gateway
from llmgw_rate_limit.rules import MINUTE, Client, stored

_MARK_TTL: Final = 3 * MINUTE
_COUNT_TTL: Final = 4 * MINUTE


async def active(gateway: Gateway, patterns: Sequence[str], client: Client) -> list[int]:
    """How many clients have asked for what is like each pattern in this minute of the clock or in the one before, with this one.

    A client that is seen for the first time in a minute is counted for this minute, unless the one before has done it already,
    and for the next.

    Args:
        gateway: whose store and clock.
        patterns: of the configuration.
        client: who asks now.
    """
    state, minute = gateway.state, int(gateway.clock.time() // MINUTE)
    keys = [key for pattern in patterns for key in _keys(pattern, minute, client)]
    found = await state.get_many(keys)
    numbers = []
    for at in range(0, len(keys), 4):
        (mark, _, count, following), (seen, before, counted, _) = keys[at : at + 4], found[at : at + 4]
        number = float(counted or 0)
        if seen is None and await state.add(mark, 1, _MARK_TTL) == 1:  # by nobody else at the same time
            await state.add(following, 1, _COUNT_TTL)
            if before is None:
                number = await state.add(count, 1, _COUNT_TTL)
        numbers.append(max(1, int(number)))
    return numbers


def _keys(pattern: str, minute: int, client: Client) -> tuple[str, str, str, str]:
    return (
        stored("seen", pattern, str(minute), client.id),
        stored("seen", pattern, str(minute - 1), client.id),
        stored("count", pattern, str(minute)),
        stored("count", pattern, str(minute + 1)),
    )
