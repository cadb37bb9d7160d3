"""Percentiles over histograms agree with numpy in both definitions, and are exact."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.telemetry.histogram import P50, P90, P95, Histogram, linear, nearest_rank

VALUES = st.lists(st.integers(0, 10**7), min_size=1, max_size=200)
REPORTED = st.sampled_from([P50, P90, P95])
# Eighths are exact in binary, so that numpy's rank is not at the mercy of rounding.
EIGHTHS = st.integers(1, 8).map(lambda eighth: Fraction(eighth, 8))


@given(VALUES, REPORTED | EIGHTHS)
def test_nearest_rank_is_numpys_inverted_cdf(values, share):
    histogram = Histogram(Counter(values))

    assert int(np.quantile(values, float(share), method="inverted_cdf")) == nearest_rank(histogram, share)


@given(VALUES, REPORTED | EIGHTHS)
def test_linear_is_numpys_default(values, share):
    histogram = Histogram(Counter(values))

    assert float(np.quantile(values, float(share), method="linear")) == pytest.approx(float(linear(histogram, share)))


@given(VALUES)
def test_n_min_max_and_mean_are_those_of_the_values(values):
    histogram = Histogram(Counter(values))

    assert (len(values), min(values), max(values)) == (histogram.n, histogram.min, histogram.max)
    assert Fraction(sum(values), len(values)) == histogram.mean


@given(VALUES, st.integers(1, 200).map(lambda k: Fraction(k, 200)))
def test_nearest_rank_is_the_smallest_value_that_covers_the_share(values, share):
    found = nearest_rank(Histogram(Counter(values)), share)

    def covered(limit: int) -> Fraction:
        return Fraction(sum(value <= limit for value in values), len(values))

    assert covered(found) >= share
    assert all(covered(value) < share for value in set(values) if value < found)


def test_interpolation_is_exact_and_not_a_float():
    assert Fraction(281, 10) == linear(Histogram({1: 1, 2: 1, 31: 1}), P95)


@pytest.mark.parametrize("percentile", [nearest_rank, linear])
def test_no_values_have_no_percentile(percentile):
    with pytest.raises(ValueError, match="no values"):
        percentile(Histogram({}), P95)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(-1, 2), Fraction(101, 100)])
def test_a_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(ValueError, match="lies in"):
        nearest_rank(Histogram({1: 1}), share)


def test_no_values_have_no_mean():
    with pytest.raises(ValueError, match="no mean"):
        _ = Histogram({}).mean


def test_a_value_that_was_never_seen_is_refused():
    with pytest.raises(ValueError, match="never seen"):
        Histogram({5: 0})


def test_a_rank_beyond_the_values_is_refused():
    with pytest.raises(ValueError, match="between 1 and 2"):
        Histogram({5: 2}).at_rank(3)
