"""The cut-anywhere law: however the bytes of a stream were cut on their way, the same comes out."""

from __future__ import annotations

import random
from collections.abc import Iterator

SMALL = 700


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Ways to cut some bytes: not at all, into single bytes, at random, and, if they are few, in two at each place."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(len(data))
    for _ in range(3):
        places = sorted(dice.randrange(len(data) + 1) for _ in range(min(40, len(data))))
        yield [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
    if len(data) <= SMALL:
        for at in range(1, len(data)):
            yield [data[:at], data[at:]]
