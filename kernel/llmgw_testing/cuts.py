"""The cut-anywhere law: what a machine makes of bytes does not depend on how they were cut."""

from __future__ import annotations

import random
from collections.abc import Iterator


def every_cut(data: bytes, *, most: int = 700, sample: int = 12, seed: int = 1) -> Iterator[list[bytes]]:
    """Ways to cut ``data``: whole, byte by byte, at random, and in two at each place, or of longer data at some.

    Args:
        data: what a machine is fed.
        most: bytes of data that is cut at each place.
        sample: places of longer data, half of them inside a UTF-8 character or at the end of a line.
        seed: of the randomness.
    """
    yield [data]
    yield [data[n : n + 1] for n in range(len(data))]
    chance = random.Random(seed)
    places = list(range(1, len(data)))
    if len(data) > most:
        tricky = [n for n in places if data[n] & 0xC0 == 0x80 or data[n - 1] in b"\r\n"]
        places = sorted({*chance.sample(tricky, min(len(tricky), sample // 2)), *chance.sample(places, sample // 2)})
    for place in places:
        yield [data[:place], data[place:]]
    for count in (2, 5, 20, 60):
        cuts = sorted(chance.sample(range(len(data) + 1), min(count, len(data) + 1)))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
