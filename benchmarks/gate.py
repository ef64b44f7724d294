"""The gate's error rates and power, on resampled real scores of two systems over 13 tasks.

    JRV3_EVAL_DATA=DATA python benchmarks/gate.py

DATA holds the datasets of TASKS in BEIR layout, and of TREC DL 2019 two published rerankings.
Scores are nDCG@10 per query: BM25 with k1 1.5, b 0.75 against BM25 with k1 0.9, b 0.4, and on
TREC DL 2019 rankvicuna-7b against gpt-3.5-turbo over the same BM25 candidates. A simulation draws
the queries of every task with replacement and asks the gate for its 14 verdicts (the tasks and
their mean). "No loss" is one of two populations: the differences less their mean, or the
differences with signs tossed by a coin. A loss is a shift of one task's differences (of all
tasks' for the mean), while the others have no loss.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jrv3_eval import evaluate
from jrv3_eval.compare import Panel
from jrv3_eval.gate import ALPHA, MARGIN, Gate, decide, holm_levels, judge
from jrv3_eval.statistics import RESAMPLES, Contrast, OneSided, Resampling, Sample, one_sided
from jrv3_eval.stored import Stored, System, read_systems

BEFORE, AFTER = "bm25:k1=1.5,b=0.75", "bm25:k1=0.9,b=0.4"
DL19 = "trec-dl19-passage-top100"
RERANKED = ("rankvicuna-7b", "gpt-3.5-turbo-rankgpt")
# Folder, language of the corpus, split, further rules of the card.
TASKS = (
    ("beir-nfcorpus", "en", "test", ""),
    ("beir-scifact", "en", "test", ""),
    ("code-cosqa", "en", "test", "analysis: code"),
    ("ml-afriqa-fr-fr", "fr", "test", ""),
    ("ml-belebele-eng-to-yo", "yo", "test", ""),
    ("ml-jsquad-ja", "ja", "validation", ""),
    ("ml-persianqa-fa", "fa", "test", ""),
    ("ml-tydiqa-goldp-ar", "ar", "dev", ""),
    ("ml-tydiqa-goldp-bn", "bn", "dev", ""),
    ("ml-tydiqa-goldp-ko", "ko", "dev", ""),
    ("ml-xquad-de", "de", "validation", "query_group: xquad"),  # the same questions
    ("ml-xquad-zh", "zh", "validation", "query_group: xquad"),
    (DL19, "en", "test", ""),
)
CENTRED, FLIPPED, SHIFT = range(3)  # columns of a simulation's values
VERDICTS = ("fail", "inconclusive", "pass")  # the worst first
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Real paired differences: name -> (question ids, differences); and of what to ask."""

    ids: Mapping[str, tuple[str, ...]]
    differences: Mapping[str, Floats]
    groups: Mapping[str, str]
    shares: Sequence[Mapping[str, float]]
    detectable: Sequence[float]


@dataclass
class Counts:
    """What happened, summed over simulations; arrays hold one number a hypothesis."""

    gates: dict[str, Counter[str]] = field(default_factory=dict)
    passed: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    failed: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def note(self, what: str, verdicts: Sequence[str]) -> None:
        found = np.array(verdicts)
        for held, verdict in ((self.passed, "pass"), (self.failed, "fail")):
            held[what] = held.get(what, np.zeros(len(found), np.int64)) + (found == verdict)
        worst = min(verdicts, key=VERDICTS.index)
        self.gates.setdefault(what, Counter())[worst] += 1

    def add(self, other: Counts) -> None:
        for what, gates in other.gates.items():
            self.gates.setdefault(what, Counter()).update(gates)
            for held, more in ((self.passed, other.passed), (self.failed, other.failed)):
                held[what] = held.get(what, np.zeros_like(more[what])) + more[what]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=1_999, help=f"a gate has {RESAMPLES}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--swap", action="store_true", help="the candidate is the baseline")
    options = parser.parse_args()
    data = os.environ.get("JRV3_EVAL_DATA")
    if not data:
        parser.error("set JRV3_EVAL_DATA to the folder of real datasets")
    started = time.perf_counter()
    before, after = real_systems(Path(data).resolve())
    if options.swap:
        before, after = after, before
    panel = Panel((System("baseline", before), System("candidate", after)))
    gate = decide(panel)
    counts = simulate(population_of(panel, gate), options)
    report(panel, gate, counts, options, time.perf_counter() - started)


def real_systems(data: Path) -> tuple[dict[tuple[str, str], Stored], ...]:
    """The results of both systems by task, evaluated in a folder that is removed after."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["JRV3_EVAL_CACHE"] = str(work / "cache")
        write_cards(work / "gate.yaml", data)
        names = [name for name, *_ in TASKS if name != DL19]
        for stage in (BEFORE, AFTER):
            results = work / stage.replace(":", "-")
            evaluate(
                "gate", "none", tasks=names, first_stage=stage, results=results, tasks_dir=work
            )
            evaluate(
                "gate",
                f"run:{data}/{DL19}/reranked/{RERANKED[stage == AFTER]}.trec.gz",
                tasks=DL19,
                first_stage=f"run:{data}/{DL19}/runs/BM25.trec.gz",
                results=results,
                tasks_dir=work,
            )
        found = []
        for stage in (BEFORE, AFTER):
            held = {}
            for system in read_systems([work / stage.replace(":", "-")]):
                held.update(system.tasks)
            for stored in held.values():
                _ = stored.values  # read while the folder is there
            found.append({("gate", name): held["gate", name] for name, *_ in TASKS})
        return tuple(found)


def write_cards(path: Path, data: Path) -> None:
    lines = ["suite: gate", "title: Thirteen real tasks", "tasks:"]
    for name, language, split, rule in TASKS:
        lines += [f"  - name: {name}", f"    language: {language}", f"    split: {split}"]
        lines += [f"    {rule}"] if rule else []
        lines += ["    sources:", f"      - {{kind: folder, path: '{data / name}'}}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def population_of(panel: Panel, gate: Gate) -> Population:
    samples = panel.resampling.samples
    tasks = [{name: 1.0} for name in samples]
    mean = dict.fromkeys(samples, 1 / len(samples))
    return Population(
        ids={name: sample.ids for name, sample in samples.items()},
        differences={name: s.values[:, 1] - s.values[:, 0] for name, s in samples.items()},
        groups={name: sample.group for name, sample in samples.items()},
        shares=[*tasks, mean],
        detectable=[one.detectable for one in gate.hypotheses],
    )


def simulate(population: Population, options: argparse.Namespace) -> Counts:
    """All simulations, a line of progress on stderr."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    total = Counts()
    work = [(population, seed, options.resamples) for seed in range(options.simulations)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for done, counts in enumerate(pool.imap_unordered(one_simulation, work, 5), 1):
            total.add(counts)
            if done % 20 == 0 or done == len(work):
                sys.stderr.write(f"\r{done} of {len(work)} simulations")
                sys.stderr.flush()
    sys.stderr.write("\n")
    return total


def one_simulation(work: tuple[Population, int, int]) -> Counts:
    """One draw of the queries, under every population that is asked for."""
    population, seed, resamples = work
    resampling = Resampling(draw(population, seed), resamples)
    counts = Counts()
    nothing: Mapping[str, float] = {}
    counts.note("signs tossed", verdicts(asked(resampling, population, FLIPPED, nothing)))
    equal = asked(resampling, population, CENTRED, nothing)
    counts.note("centred", verdicts(equal))
    for what, drops in (
        ("detectable", population.detectable),
        ("margin", [MARGIN] * len(population.shares)),
    ):
        noted = []
        for index, (share, drop) in enumerate(zip(population.shares, drops, strict=True)):
            shifts = dict.fromkeys(share, drop)
            changed = asked(resampling, population, CENTRED, shifts, equal)
            noted.append(verdicts(changed)[index])
        counts.note(what, noted)
    return counts


def draw(population: Population, seed: int) -> dict[str, Sample]:
    """The tasks with their questions drawn with replacement, those of a group together."""
    rng = np.random.default_rng(seed)
    samples: dict[str, Sample] = {}
    for group in dict.fromkeys(population.groups.values()):
        names = [name for name, of in population.groups.items() if of == group]
        questions = sorted({qid for name in names for qid in population.ids[name]})
        drawn = [questions[place] for place in rng.integers(0, len(questions), len(questions))]
        signs = rng.choice([-1.0, 1.0], len(questions))
        for name in names:
            place = {qid: row for row, qid in enumerate(population.ids[name])}
            held = [index for index, qid in enumerate(drawn) if qid in place]
            found = population.differences[name][[place[drawn[index]] for index in held]]
            columns = np.ones((len(held), 3))
            columns[:, CENTRED] = found - population.differences[name].mean()
            columns[:, FLIPPED] = found * signs[held]
            # Other random halves in each simulation: the key of the draws is the group's name.
            samples[name] = Sample(tuple(map(str, held)), columns, f"{group} {seed}")
    return samples


def asked(
    resampling: Resampling,
    population: Population,
    column: int,
    drops: Mapping[str, float],
    unchanged: Sequence[OneSided] = (),
) -> list[OneSided]:
    """The tests of all hypotheses, with these drops in these tasks; others as they were."""
    found = []
    for index, share in enumerate(population.shares):
        if unchanged and not drops.keys() & share.keys():
            found.append(unchanged[index])
            continue
        weights = {}
        for name, weight in share.items():
            weights[name] = np.zeros(3)
            weights[name][column] = weight
            weights[name][SHIFT] = -weight * drops.get(name, 0.0)
        found.append(one_sided(resampling, Contrast(weights, share)))
    return found


def verdicts(found: Sequence[OneSided]) -> list[str]:
    levels = holm_levels([test.p_drop for test in found], ALPHA)
    pairs = zip(found, levels, strict=True)
    return [judge(test, margin=MARGIN, alpha=ALPHA, level=level) for test, level in pairs]


def report(
    panel: Panel, gate: Gate, counts: Counts, options: argparse.Namespace, seconds: float
) -> None:
    """Two Markdown tables."""
    total = options.simulations
    print(f"{total:,} simulations, {options.resamples:,} random halves each, margin {MARGIN:g}, "
          f"alpha {ALPHA:g}; {seconds:.0f} s")  # fmt: skip
    print("\n| no loss | a verdict is fail | inconclusive | all pass |")
    print("| --- | ---: | ---: | ---: |")
    for what in ("centred", "signs tossed"):
        shown = (counts.gates[what][verdict] / total for verdict in VERDICTS)
        print(f"| {what} | " + " | ".join(f"{rate:.1%}" for rate in shown) + " |")
    print("\n| task | queries | not 0 | deviation | equal: fail | equal: pass "
          "| loss of the margin: pass | detectable | then: fail | queries needed |")  # fmt: skip
    print("| --- |" + " ---: |" * 9)
    for index, one in enumerate(gate.hypotheses):
        sample = panel.resampling.samples.get(f"gate/{one.name}")
        spread = changed = "-"
        if sample is not None:
            differences = sample.values[:, 1] - sample.values[:, 0]
            spread = f"{differences.std(ddof=1):.3f}"
            changed = f"{(differences != 0).mean():.0%}"
        rates = (
            counts.failed["centred"][index],
            counts.passed["centred"][index],
            counts.passed["margin"][index],
        )
        print(
            f"| {one.name} | {one.queries:,} | {changed} | {spread} | "
            + " | ".join(f"{rate / total:.1%}" for rate in rates)
            + f" | {one.detectable:.4f} | {counts.failed['detectable'][index] / total:.1%} "
            f"| {one.needed:,} |"
        )


if __name__ == "__main__":
    main()
