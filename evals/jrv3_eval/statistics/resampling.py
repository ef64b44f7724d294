"""Resampled means of several systems over several tasks, drawn once for all contrasts.

A contrast is a weighted sum of means: one system on one task, a difference of two systems, a
mean of such over the tasks of a suite. Queries are drawn within tasks, and tasks are fixed;
tasks of one group hold the same questions, which are drawn together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 9_999
SEED = 0
_CELLS = 2_000_000
_LONG = 1_000
FEWEST = 1_999  # bootstrap draws; tests keep all resamples, for their smallest p-values
_DRAWN = 20_000_000  # queries drawn in all
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]


@dataclass(frozen=True, eq=False)
class Sample:
    """One value a query and system. ids: n queries. values: float64 [n, systems].

    group: tasks of one group share their questions, by id; also the key of the random draws.
    """

    ids: tuple[str, ...]
    values: Floats
    group: str

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.values) or not len(self.ids):
            raise ValueError(f"{len(self.ids)} ids for {len(self.values)} rows of values")


@dataclass(frozen=True, eq=False)
class Contrast:
    """A weighted sum of means. weights: sample's name -> float64 [systems].

    shift: sample's name -> what a common shift of the contrasted values is multiplied by;
    the weight of each task in a mean over tasks.
    """

    weights: Mapping[str, Floats]
    shift: Mapping[str, float]

    @classmethod
    def of(cls, share: Mapping[str, float], systems: int, plus: int, minus: int | None) -> Contrast:
        """System `plus` (less system `minus`), as the mean over tasks with these shares."""
        unit = np.zeros(systems)
        unit[plus] += 1.0
        if minus is not None:
            unit[minus] -= 1.0
        return cls({name: weight * unit for name, weight in share.items()}, dict(share))


@dataclass(frozen=True, eq=False)
class Resampling:
    """Samples by name, and the draws over them: the same for every contrast."""

    samples: Mapping[str, Sample]
    resamples: int = RESAMPLES

    @cached_property
    def drawn(self) -> Mapping[str, Floats]:
        """Bootstrap means of each sample, float64 [resamples, systems]."""
        found: dict[str, Floats] = {}
        for name, (sums, sizes) in self._sums(_counts, self.draws).items():
            with np.errstate(invalid="ignore", divide="ignore"):
                means = sums / sizes[:, None]
            # Of shared questions a draw may hold none of this task's: then its own mean.
            found[name] = np.where(sizes[:, None] > 0, means, self.samples[name].values.mean(0))
        return found

    @cached_property
    def halves(self) -> Mapping[str, tuple[Floats, Floats]]:
        """Sums over random halves of the queries, over n [resamples, systems]; their shares."""
        return {
            name: (sums / len(self.samples[name].ids), sizes / len(self.samples[name].ids))
            for name, (sums, sizes) in self._sums(_bits, self.resamples).items()
        }

    def estimate(self, contrast: Contrast) -> float:
        """The contrast of the means themselves."""
        return float(
            sum(self.samples[n].values.mean(axis=0) @ w for n, w in contrast.weights.items())
        )

    def units(self, contrast: Contrast) -> list[Floats]:
        """For each independent group, the influence of each question: sums to 0 over them."""
        groups: dict[str, list[tuple[tuple[str, ...], Floats]]] = {}
        for name, weights in contrast.weights.items():
            sample = self.samples[name]
            values = sample.values @ weights
            parts = (values - values.mean()) / len(values)
            groups.setdefault(sample.group, []).append((sample.ids, parts))
        return [_by_question(held) if len(held) > 1 else held[0][1] for held in groups.values()]

    @cached_property
    def draws(self) -> int:
        """Bootstrap draws: `resamples`, fewer over many queries, whose means hardly scatter."""
        largest = max(len(sample.ids) for sample in self.samples.values())
        return min(self.resamples, max(FEWEST, _DRAWN // largest))

    def _sums(self, draw: Draw, draws: int) -> dict[str, tuple[Floats, Floats]]:
        """Weighted sums of each sample's values and of the weights, for weights that are drawn."""
        found: dict[str, tuple[Floats, Floats]] = {}
        groups: dict[str, list[str]] = {}
        for name, sample in self.samples.items():
            groups.setdefault(sample.group, []).append(name)
        for group, names in groups.items():
            found |= self._group_sums(group, names, draw, draws)
        return found

    def _group_sums(
        self, group: str, names: Sequence[str], draw: Draw, draws: int
    ) -> dict[str, tuple[Floats, Floats]]:
        questions = sorted({qid for name in names for qid in self.samples[name].ids})
        place = {qid: index for index, qid in enumerate(questions)}
        rows = {name: np.array([place[q] for q in self.samples[name].ids]) for name in names}
        rng = np.random.default_rng([SEED, _key(group)])
        parts: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in names}
        step = max(1, _CELLS // len(questions))
        for start in range(0, draws, step):
            weights = draw(rng, min(step, draws - start), len(questions))
            for name in names:
                # In the order of the questions, so that no column has to be moved.
                order = np.argsort(rows[name])
                values = self.samples[name].values[order]
                own = weights
                if len(order) != len(questions):
                    own = weights[:, rows[name][order]]
                parts[name].append((own @ values, own.sum(axis=1)))
        return {
            name: (np.concatenate([s for s, _ in p]), np.concatenate([n for _, n in p]))
            for name, p in parts.items()
        }


def _by_question(held: Sequence[tuple[tuple[str, ...], Floats]]) -> Floats:
    """What each question adds over all tasks of its group."""
    members: dict[str, float] = {}
    for ids, parts in held:
        for qid, part in zip(ids, parts.tolist(), strict=True):
            members[qid] = members.get(qid, 0.0) + part
    return np.array(list(members.values()))


def _key(group: str) -> int:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "little")


def _counts(rng: np.random.Generator, draws: int, size: int) -> Floats:
    """How often each of `size` questions is drawn, with replacement."""
    if size > _LONG:  # a row at a time stays in the processor's cache: half the time
        rows = np.empty((draws, size))
        for row in rows:
            row[:] = np.bincount(rng.integers(0, size, size=size), minlength=size)
        return rows
    chosen = rng.integers(0, size, size=(draws, size), dtype=np.int64)
    chosen += np.arange(draws, dtype=np.int64)[:, None] * size
    counted = np.bincount(chosen.ravel(), minlength=draws * size)
    return counted.reshape(draws, size).astype(np.float64)


def _bits(rng: np.random.Generator, draws: int, size: int) -> Floats:
    """For each question whether it is in the random half."""
    wide = -(-size // 8)
    packed = np.frombuffer(rng.bytes(draws * wide), np.uint8).reshape(draws, wide)
    return np.unpackbits(packed, axis=1, count=size).astype(np.float64)
