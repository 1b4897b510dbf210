"""How far a distribution is from a reference: PSI, Kolmogorov-Smirnov, Jensen-Shannon.

All three take counts of the same bins or categories, so that no value has to be kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headrace.quality.monitors.model import Floats


@dataclass(frozen=True)
class DistributionDrift:
    """How far one distribution is from another; 0 of each is: not at all.

    Attributes:
        psi: population stability index; by custom below 0.1 is stable, above 0.25 is another
            distribution. Siddiqi, "Credit Risk Scorecards" (2006).
        ks: the largest difference of the cumulative shares, 0 to 1; of categories, of half of the
            differences (total variation), as they have no order.
        js: Jensen-Shannon distance, 0 to 1: the root of the divergence in bits. Endres and
            Schindelin, IEEE Trans. Information Theory 49 (2003).
    """

    psi: float
    ks: float
    js: float


def drift(reference: ArrayLike, counts: ArrayLike, *, is_ordered: bool = True) -> DistributionDrift:
    """How far counts are from those of a reference window.

    An empty bin counts as half a row, so that PSI stays finite.

    Args:
        reference: rows of each bin or category in the reference.
        counts: rows of the same bins now.
        is_ordered: false of categories.

    Returns:
        NaN of each where one of the two has no row.
    """
    all_of = drift_by_period(reference, np.asarray([counts], dtype=np.float64), is_ordered)
    return DistributionDrift(*(float(column[0]) for column in all_of))


def drift_by_period(
    reference: ArrayLike, counts: Floats, is_ordered: bool = True
) -> tuple[Floats, Floats, Floats]:
    """PSI, Kolmogorov-Smirnov and Jensen-Shannon of each period.

    Args:
        reference: rows of each bin; or periods x bins, for a reference of each period.
        counts: periods x bins.
        is_ordered: false of categories.
    """
    base = np.asarray(reference, dtype=np.float64)
    base = np.broadcast_to(base, counts.shape)
    totals, base_totals = counts.sum(axis=1), base.sum(axis=1)
    nothing = (totals <= 0) | (base_totals <= 0)
    now = np.maximum(counts, 0.5) / np.maximum(np.maximum(counts, 0.5).sum(axis=1), 1)[:, None]
    then = np.maximum(base, 0.5) / np.maximum(np.maximum(base, 0.5).sum(axis=1), 1)[:, None]
    psi = ((now - then) * np.log(now / then)).sum(axis=1)
    share = counts / np.maximum(totals, 1)[:, None]
    base_share = base / np.maximum(base_totals, 1)[:, None]
    if is_ordered:
        ks = abs(np.cumsum(share, axis=1) - np.cumsum(base_share, axis=1)).max(axis=1, initial=0)
    else:
        ks = abs(share - base_share).sum(axis=1) / 2
    middle = (share + base_share) / 2
    js = np.sqrt(np.maximum((_bits(share, middle) + _bits(base_share, middle)) / 2, 0))
    return tuple(np.where(nothing, np.nan, one) for one in (psi, ks, js))  # type: ignore[return-value]


def _bits(one: Floats, other: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(one > 0, one * np.log2(one / other), 0.0)
    return np.asarray(found.sum(axis=1), dtype=np.float64)
