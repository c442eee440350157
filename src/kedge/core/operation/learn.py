"""What migrations cost, learned of those that have ended.

A migration takes `(fixed + memory / rate) * (1 + slowdown * others at once)`. Rate and fixed part are told apart by the
migrations' own timelines, and by guests of different size where there are some. All of them are medians, so that a few
odd migrations change little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, median

from .transfer import TransferModel

_FEWEST = 3
"""Of fewer nothing is learned."""

_SIZES_DIFFER = 1.5
"""Two guests tell how time grows with memory if one has so many times the memory of the other."""

_FASTEST_MIB = 1e5
_SLOWDOWNS = tuple(step / 20 for step in range(21))


@dataclass(frozen=True)
class Finished:
    """A migration that has ended; times in s of one clock.

    Attributes:
        completed: it has moved its VM. Others only slowed down those that ran at once.
        copy_s: for how long memory was copied.
        pause_ms: how long the VM stood still.
        lag_s: from when its operation could have begun it until it did; None if none began it.
    """

    memory_mib: float
    began_s: float
    ended_s: float
    completed: bool = True
    copy_s: float | None = None
    pause_ms: float | None = None
    lag_s: float | None = None


@dataclass(frozen=True)
class Changed:
    """A host that a transition has changed: what that took, and what trying it took, in s.

    `alike`: to what the next one is changed to, and by the same command, or by hand as that.
    """

    change_s: float
    try_s: float
    alike: bool = True


@dataclass(frozen=True)
class _Sample:
    memory_mib: float
    took_s: float
    copy_s: float
    others: float


def learn(
    history: Sequence[Finished],
    assumed: TransferModel,
    changed: Sequence[Changed] = (),
    rewirings: Sequence[float] = (),
) -> TransferModel:
    """The model with what the history tells in it; as it was assumed where that tells too little.

    `changed` are hosts that were changed in transitions; if some were changed like the next one, only they count.
    `rewirings` has what each of some took.
    """
    if rewirings:
        assumed = replace(assumed, rewire_s=median(rewirings))
    if changed:
        alike = [each for each in changed if each.alike] or changed
        change_s, try_s = median(each.change_s for each in alike), median(each.try_s for each in changed)
        assumed = replace(assumed, convert_s=change_s, try_s=try_s)
    samples = [
        _Sample(each.memory_mib, each.ended_s - each.began_s, each.copy_s, _others(each, history))
        for each in history
        if each.completed and each.copy_s is not None and each.memory_mib > 0 and each.ended_s > each.began_s
    ]
    if len(samples) < _FEWEST:
        return assumed
    _, slowdown, rate, fixed = min(_fit(samples, each, assumed.copy_mib) for each in _slowdowns(samples))
    # What a guest writes meanwhile is in the learned rate already; the forecast counts it a second time.
    copy_mib = rate + assumed.assumed_dirty_mib
    lags = [each.lag_s for each in history if each.lag_s is not None]
    pauses = [each.pause_ms for each in history if each.completed and each.pause_ms is not None]
    return replace(
        assumed,
        copy_mib=copy_mib,
        link_mib=max(assumed.link_mib, copy_mib),
        fixed_s=fixed,
        slowdown=slowdown,
        lag_s=median(lags) if lags else assumed.lag_s,
        pause_ms=median(pauses) if pauses else assumed.pause_ms,
        learned_from=len(samples),
    )


def _others(one: Finished, history: Sequence[Finished]) -> float:
    """How many others ran at once, on average over its time."""
    shared = (
        min(one.ended_s, each.ended_s) - max(one.began_s, each.began_s) for each in history if each is not one
    )
    return sum(each for each in shared if each > 0) / (one.ended_s - one.began_s)


def _slowdowns(samples: Sequence[_Sample]) -> Sequence[float]:
    """Those that can be told apart: none, unless some migrations had more company than others."""
    company = [each.others for each in samples]
    return _SLOWDOWNS if max(company) - min(company) > 0.5 else (0.0,)


def _fit(samples: Sequence[_Sample], slowdown: float, usual_mib: float) -> tuple[float, float, float, float]:
    """How far off this slowdown is, itself, and the rate and the fixed part that go with it."""
    alone = [
        replace(each, took_s=each.took_s / slower, copy_s=each.copy_s / slower)
        for each, slower in ((each, 1 + slowdown * each.others) for each in samples)
    ]
    rate = _rate(alone, usual_mib)
    fixed = max(0.0, median(each.took_s - each.memory_mib / rate for each in alone))
    # A mean, so that the few that had company, or had none, count; a bounded one, so that none counts for many.
    off = fmean(min(1.0, abs(each.took_s / (fixed + each.memory_mib / rate) - 1)) for each in alone)
    return off, slowdown, rate, fixed


def _rate(alone: Sequence[_Sample], usual_mib: float) -> float:
    """MiB/s: by how the time of copying grows with the guest's memory, or simply their quotient.

    Where the time does not grow, memory is not what it depends on, and the rate may be the usual one.
    """
    slopes = [
        (one.copy_s - other.copy_s) / (one.memory_mib - other.memory_mib)
        for one, other in combinations(alone, 2)
        if max(one.memory_mib, other.memory_mib) >= _SIZES_DIFFER * min(one.memory_mib, other.memory_mib)
    ]
    if len(slopes) >= _FEWEST:
        slope = median(slopes)
        return 1 / slope if slope > 1 / _FASTEST_MIB else usual_mib
    return median(each.memory_mib / max(each.copy_s, 0.001) for each in alone)
