from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw_testing import every_cut


@given(st.binary(max_size=400))
def test_no_byte_is_lost(data: bytes) -> None:
    """Each way to cut is the data when put together."""
    for pieces in every_cut(data):
        assert data == b"".join(pieces)


def test_short_data_is_cut_at_each_place() -> None:
    """Whole, into bytes, in two at each place, and at random."""
    ways = list(every_cut(b"abcd"))

    assert [[b"abcd"], [b"a", b"b", b"c", b"d"], [b"a", b"bcd"], [b"ab", b"cd"], [b"abc", b"d"]] == ways[:5]


def test_long_data_is_cut_where_it_is_tricky() -> None:
    """There are not more ways than asked for, and those inside a character and at line ends are among them."""
    data = b"x" * 5000 + "é\r\n".encode() + b"x" * 5000
    places = {len(pieces[0]) for pieces in every_cut(data, most=20) if len(pieces) == 2}

    assert {5001, 5003, 5004} <= places
    assert len(places) <= 21


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_gives_the_same_ways(seed: int) -> None:
    """A test that fails fails again."""
    data = bytes(range(256)) * 8

    assert list(every_cut(data, seed=seed)) == list(every_cut(data, seed=seed))


def test_nothing_can_be_cut() -> None:
    """Empty data has its ways too."""
    assert all(b"" == b"".join(pieces) for pieces in every_cut(b""))
