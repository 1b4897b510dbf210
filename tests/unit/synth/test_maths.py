"""Logarithm, exponential and the normal distribution against Python's own."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.synth import maths

NORMAL = NormalDist()


@given(st.floats(1e-300, 1e300))
def test_log(value: float) -> None:
    assert float(maths.log(value)) == pytest.approx(math.log(value), rel=4e-16, abs=4e-16)


@given(st.floats(-650, 650))
def test_exp(value: float) -> None:
    assert float(maths.exp(value)) == pytest.approx(math.exp(value), rel=1e-15)


@given(st.floats(0.01, 1e6), st.floats(-5, 5))
def test_power(base: float, exponent: float) -> None:
    assert float(maths.power(base, exponent)) == pytest.approx(base**exponent, rel=1e-13)


@given(st.floats(1e-15, 1 - 1e-15))
def test_normal_quantile(probability: float) -> None:
    found = float(maths.normal_quantile(np.array([probability]))[0])
    assert found == pytest.approx(NORMAL.inv_cdf(probability), abs=1e-5)


@given(st.floats(-7, 7))
def test_normal_cdf(value: float) -> None:
    assert float(maths.normal_cdf(value)[0]) == pytest.approx(NORMAL.cdf(value), abs=1e-13)


def test_golden_bits() -> None:
    """The same to the last bit on every processor."""
    assert float(maths.log(3.0)).hex() == "0x1.193ea7aad030ap+0"
    assert float(maths.exp(1.5)).hex() == "0x1.1ed3fe64fc541p+2"
    assert float(maths.normal_quantile(np.array([0.3]))[0]).hex() == "-0x1.0c7e396346eabp-1"
