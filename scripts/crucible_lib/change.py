"""By how much one figure of two runs differs: the ratio of medians, its interval, and how sure one can be.

Interval: percentile bootstrap of ln(median B / median A), blocks resampled within each run (Efron, Tibshirani: An
Introduction to the Bootstrap, 1993, chapter 8). Test: that the true change is no larger than the least effect, a
minimum-effect hypothesis (Murphy, Myors, J. Appl. Psychol. 84, 1999), by the bootstrap's standard error. Of several
hundred cells, some intervals exclude 1 by chance: the p-values are adjusted by Benjamini and Hochberg (J. R. Stat.
Soc. B 57, 1995), so that of the changes that are reported at most 5 % are expected to be false.
"""
import dataclasses
import math

import numpy
from scipy import stats

from . import ratios

FALSE_DISCOVERIES = 0.05
_RESAMPLES = 2000
_Z95 = stats.norm.ppf(0.975)


@dataclasses.dataclass(frozen=True)
class Change:
    """B over A; low, high and error are None where there is no interval, `error` on the log scale."""
    before: float
    after: float
    low: float | None = None
    high: float | None = None
    error: float | None = None

    @property
    def ratio(self):
        return self.after / self.before


def of_blocks(before, after):
    """From the values of single blocks; None where a median is 0, as the CPU of one that only waits."""
    before, after = (numpy.asarray(values, dtype=float) for values in (before, after))
    medians = float(numpy.median(before)), float(numpy.median(after))
    if min(medians) <= 0:
        return None
    if min(before.size, after.size) < ratios.FEWEST_BLOCKS:
        return Change(*medians)

    def statistic(one, other, axis):
        with numpy.errstate(divide="ignore"):
            return numpy.log(numpy.median(other, axis=axis)) - numpy.log(numpy.median(one, axis=axis))

    found = stats.bootstrap((before, after), statistic, n_resamples=_RESAMPLES, batch=250, method="percentile",
                            vectorized=True, random_state=numpy.random.default_rng(ratios.SEED))
    low, high = map(float, found.confidence_interval)
    if not all(map(math.isfinite, (low, high, found.standard_error))):
        return Change(*medians)
    return Change(*medians, math.exp(low), math.exp(high), float(found.standard_error))


def of_intervals(before, after):
    """From two published medians with their 95 % intervals, taken as normal on the log scale."""
    medians = before["median"], after["median"]
    if min(medians) <= 0:
        return None
    if any(not entry["low"] or entry["low"] <= 0 for entry in (before, after)):
        return Change(*medians)
    error = math.hypot(*(math.log(entry["high"] / entry["low"]) / (2 * _Z95) for entry in (before, after)))
    ratio = medians[1] / medians[0]
    return Change(*medians, ratio * math.exp(-_Z95 * error), ratio * math.exp(_Z95 * error), error)


def p_value(change, least):
    """Of the hypothesis that the true change is within a factor of 1 + least, either way."""
    shift, floor = abs(math.log(change.ratio)), math.log1p(least)
    if change.error == 0:
        return 0.0 if shift > floor else 1.0
    tails = stats.norm.sf((numpy.array([-floor, floor]) + shift) / change.error)
    return min(1.0, float(tails.sum()))


def adjusted(p_values):
    """Benjamini-Hochberg: the smallest share of false discoveries at which each would be reported."""
    values = numpy.asarray(p_values, dtype=float)
    order = numpy.argsort(values)
    scaled = values[order] * values.size / numpy.arange(1, values.size + 1)
    found = numpy.empty(values.size)
    found[order] = numpy.minimum(1.0, numpy.minimum.accumulate(scaled[::-1])[::-1])
    return [float(value) for value in found]


def verdict(change, least, q, lower_is_better):
    """'regression', 'improvement', 'no difference shown' (the whole interval lies within the least effect), or
    'cannot be told'."""
    if change is None or change.low is None:
        return "cannot be told"
    outside = change.low > 1 + least or change.high < 1 / (1 + least)
    if outside and q <= FALSE_DISCOVERIES:
        return "regression" if (change.ratio > 1) == lower_is_better else "improvement"
    if change.low >= 1 / (1 + least) and change.high <= 1 + least:
        return "no difference shown"
    return "cannot be told"
