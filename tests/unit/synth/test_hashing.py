"""The hash that every value comes from: golden values, and that it looks random."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.synth.hashing import Permutation, below, bits, key, to_unit, unit

ROWS = np.array([0, 1, 2, 3, 1_000_000, 2**40], dtype=np.int64)


def test_golden_values() -> None:
    """Whoever changes these changes everybody's data: raise VERSION, and say so in CHANGELOG."""
    assert [f"{int(word):016x}" for word in bits(key(0, "order", "status"), ROWS)] == [
        "6e64a10231570a85",
        "d827c16d8523ad98",
        "31e077b09481691e",
        "71d32db854178a6c",
        "121b1e19732341de",
        "3857d89f07f31bec",
    ]
    assert [f"{int(word):016x}" for word in bits(key(7, "order", "status"), ROWS[:2])] == [
        "c6f20aba7653e5f8",
        "291a61e7d31d81cd",
    ]
    assert Permutation(0, "customer", "email", size=1000)(np.arange(8)).tolist() == [
        636,
        702,
        378,
        361,
        395,
        99,
        488,
        823,
    ]


def test_every_step_of_the_path_counts() -> None:
    keys = {
        key(0, "a", "b"),
        key(0, "ab"),
        key(0, "a", "b", ""),
        key(1, "a", "b"),
        key(0, "b", "a"),
    }
    assert len(keys) == 5


def test_rows_are_uniform_and_columns_do_not_correlate() -> None:
    rows = np.arange(200_000)
    columns = [unit(key(0, "t", str(number)), rows) for number in range(6)]
    for column in columns:
        counts = np.bincount((column * 100).astype(int), minlength=100)
        # chi-squared with 99 degrees of freedom: 180 is beyond one in a million
        assert float(((counts - 2_000) ** 2 / 2_000).sum()) < 180
        assert abs(float(np.corrcoef(column[:-1], column[1:])[0, 1])) < 0.02
    correlation = np.corrcoef(columns) - np.eye(6)
    assert float(np.abs(correlation).max()) < 0.02


def test_a_bit_of_the_row_changes_half_of_the_bits() -> None:
    one = bits(key(0, "t"), np.arange(4_096))
    other = bits(key(0, "t"), np.arange(4_096) ^ 1)
    changed = np.unpackbits((one ^ other).view(np.uint8)).mean()
    assert 0.49 < float(changed) < 0.51


@given(size=st.integers(1, 5_000), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_a_permutation_is_one(size: int, seed: int) -> None:
    moved = Permutation(seed, "t", size=size)(np.arange(size))
    assert sorted(moved.tolist()) == list(range(size))


@given(limit=st.integers(1, 2**32))
@settings(max_examples=60, deadline=None)
def test_below_stays_below(limit: int) -> None:
    drawn = below(bits(key(0, "t"), np.arange(1_000)), limit)
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < limit


def test_a_unit_is_below_one() -> None:
    largest = to_unit(np.array([2**64 - 1, 0], dtype=np.uint64))
    assert largest[0] < 1.0
    assert largest[1] == 0.0
