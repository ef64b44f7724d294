"""Speed and memory of the lbnl family beside a straight implementation, in one run.

    python benchmarks/lbnl.py --data DIR

DIR holds real data in BEIR layout (code-cosqa, beir-scifact) and tokenizer-qwen3. Both run the
same random checkpoint at the released width (hidden 1024, 16/8 heads) with a few layers, in the
same precision, on the same lists: BM25's candidates. The straight implementation is the tests'
own (tests/straight.py): transformers' Qwen3Model with SDPA, all hidden states, one query a call.

Seconds are of both in turn in one process, the median over queries after a warm-up; memory is
of each in a process of its own: what torch's tensors hold at most for the first list, and what the
process peaks above the loaded model over all lists (with what the allocator could not give back,
and machine code that the matrix library keeps for each shape); operations are counted by
torch's FlopCounterMode for the first query: matrix products as they are called, and of SDPA those
that a causal mask leaves. Idle tokens are read without a score depending on them: what follows the
query marker, which the straight implementation reads, and what a prompt is filled up with.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

LISTS = {
    "short": ("code-cosqa", "code", 20),
    "middle": ("code-cosqa", "code", 100),
    "long": ("beir-scifact", "text", 50),
}
SUITE = """suite: bench
title: lists to time
tasks:
  - {{name: code-cosqa, language: code, sources: [{{kind: folder, path: "{data}/code-cosqa"}}]}}
  - {{name: beir-scifact, sources: [{{kind: folder, path: "{data}/beir-scifact"}}]}}
"""


@dataclass(frozen=True)
class Work:
    """A query with its list."""

    query: str
    documents: tuple[str, ...]


def lists(data: Path, name: str, queries: int, folder: Path) -> list[Work]:
    """Real queries with their BM25 candidates; the first is for the warm-up."""
    from jrv3_eval.cards import load_suite
    from jrv3_eval.engine.work import work_list
    from jrv3_eval.first_stage import open_first_stage, take_candidates
    from jrv3_eval.sources import load_collection

    task, _, depth = LISTS[name]
    (folder / "bench.yaml").write_text(SUITE.format(data=data))
    suite = load_suite("bench", folder)
    card = next(c for c in suite.tasks if c.name == task)
    cache = folder / "cache"
    collection = load_collection(suite, card, cache=cache, data_dir=None)
    stage = open_first_stage("bm25", cache=cache)
    candidates = take_candidates(stage, collection, suite, card, depth, cache)
    units = work_list(collection, candidates)
    full = [u.request for u in units if len(u.request.documents) == depth]
    step = max(1, len(full) // (queries + 1))
    return [Work(r.query, r.documents) for r in full[::step][: queries + 1]]


@dataclass(frozen=True)
class Scorer:
    """One of the two: how it scores, and the backbone whose weights it holds."""

    score: Callable[[Work], np.ndarray]
    backbone: Any


def straight(folder: Path) -> Scorer:
    from straight import Straight

    model = Straight(folder)
    return Scorer(lambda work: model.score(work.query, list(work.documents)), model.model)


def ours(folder: Path, settings: dict[str, Any]) -> Scorer:
    from jrv3_eval.lbnl import LbnlReranker
    from jrv3_eval.rerankers import RankingRequest

    model = LbnlReranker.from_pretrained(str(folder), device="cpu", **settings)
    model.load()
    return Scorer(
        lambda work: model.score([RankingRequest("q", work.query, work.documents)])[0],
        model._model.backbone,
    )


def makers(folder: Path, settings: dict[str, Any]) -> dict[str, Callable[[], Scorer]]:
    return {"straight": lambda: straight(folder), "ours": lambda: ours(folder, settings)}


def tokens_of(folder: Path, work: list[Work]) -> list[int]:
    """Tokens up to the query marker, which both need."""
    from jrv3_eval.lbnl import LbnlReranker
    from jrv3_eval.rerankers import RankingRequest

    model = LbnlReranker.from_pretrained(str(folder))
    requests = [RankingRequest("q", w.query, w.documents) for w in work]
    return [used.tokens for used in model.usage(requests)]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew


def high_water() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return peak()


def measure_memory(make: Callable[[], Scorer], work: list[Work]) -> dict[str, int]:
    made = make()
    for weight in made.backbone.parameters():
        weight.sum()  # brings the file's pages in, which would else count for whoever reads them
    made.score(Work("warm", ("up",) * 3))
    before = resident()
    reset_peak()
    for item in work[1:]:
        made.score(item)
    above = high_water() - before
    return {"above": above, "tensors": tensors_peak(made.score, work[1])}


def tensors_peak(score: Callable[[Work], Any], item: Work) -> int:
    """The most bytes that torch's tensors held at a time while one list was scored."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        score(item)
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most


def counted(score: Callable[[Work], Any], item: Work) -> tuple[int, int]:
    """Operations of one list, and tokens that went through the embedding."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def causal(query: Any, key: Any, *_: Any, out_val: Any = None, **options: Any) -> int:
        """torch counts no SDPA on a CPU. Two products, of the pairs that a causal mask leaves."""
        batch, heads, rows, width = query
        pairs = rows * (rows + 1) // 2 if rows == key[2] else rows * key[2]
        return int(4 * batch * heads * pairs * width)

    seen = 0
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def embedding(_module: Any, inputs: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += inputs[0].numel()

    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda m, x: embedding(m, x) if isinstance(m, torch.nn.Embedding) else None
    )
    try:
        with FlopCounterMode(display=False, custom_mapping={attention: causal}) as counter:
            score(item)
    finally:
        handle.remove()
    return counter.get_total_flops(), seen


def measure_speed(scores: dict[str, Any], work: list[Work]) -> dict[str, Any]:
    found: dict[str, Any] = {name: {"seconds": []} for name in scores}
    values: dict[str, np.ndarray] = {}
    for score in scores.values():
        score(work[0])
    differences = []
    for item in work[1:]:
        for name, score in scores.items():
            start = time.perf_counter()
            values[name] = score(item)
            found[name]["seconds"].append(time.perf_counter() - start)
        differences.append(float(np.abs(values["ours"] - values["straight"]).max()))
    for name, score in scores.items():
        found[name]["flops"], found[name]["read"] = counted(score, work[1])
    found["difference"] = max(differences)
    return found


def child(options: argparse.Namespace) -> None:
    """What one process measures, as JSON on standard output."""
    folder = Path(options.child)
    settings = json.loads(options.settings)
    work = [Work(**w) for w in json.loads((folder / f"{options.lists}.json").read_text())]
    made = makers(folder / "ckpt", settings)
    if options.measure == "speed":
        found = measure_speed({name: make().score for name, make in made.items()}, work)
    else:
        found = measure_memory(made[options.measure], work)
    print(json.dumps(found))


def run_child(folder: Path, name: str, measure: str, settings: dict[str, Any]) -> Any:
    command = [
        sys.executable, __file__, "--child", str(folder), "--lists", name, "--measure", measure,
        "--settings", json.dumps(settings),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(name: str, folder: Path, settings: dict[str, Any], work: list[Work]) -> Iterator[str]:
    tokens = tokens_of(folder / "ckpt", work)[1:]
    speed = run_child(folder, name, "speed", settings)
    memory = {m: run_child(folder, name, m, settings) for m in ("straight", "ours")}
    pairs = zip(speed["straight"]["seconds"], speed["ours"]["seconds"], strict=True)
    ratios = [a / b for a, b in pairs]
    corpus, _, depth = LISTS[name]
    yield (
        f"\n{name}: {corpus}, {depth} documents, {len(tokens)} queries of "
        f"{min(tokens):,} to {max(tokens):,} tokens"
    )
    memories = f"{'MiB':>8}{'MiB resident':>14}"
    yield f"{'':10}{'s/query':>9}{'tokens/s':>10}{memories}{'GFLOP':>8}{'idle tokens':>13}"
    for who in ("straight", "ours"):
        seconds = statistics.median(speed[who]["seconds"])
        rate = sum(tokens) / sum(speed[who]["seconds"])
        held, above = (memory[who][k] / 2**20 for k in ("tensors", "above"))
        idle = speed[who]["read"] - tokens[0]
        yield (
            f"{who:10}{seconds:9.2f}{rate:10,.0f}{held:8,.0f}{above:14,.0f}"
            f"{speed[who]['flops'] / 1e9:8,.0f}"
            f"{idle:8} ({idle / tokens[0]:.1%})"
        )
    held, above = (memory["ours"][k] / memory["straight"][k] for k in ("tensors", "above"))
    yield (
        f"straight / ours: {statistics.median(ratios):.2f} in time (pairs {min(ratios):.2f} to "
        f"{max(ratios):.2f}); ours / straight: {held:.2f} in memory held by tensors, "
        f"{above:.2f} in resident; largest difference of a "
        f"score {speed['difference']:.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--queries", type=int, default=3)
    parser.add_argument("--lists", default=",".join(LISTS))
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    if options.data is None:
        parser.error("--data is needed")

    from dataclasses import asdict, replace

    from jrv3_eval.lbnl.initialise import RELEASED, initialise

    settings = {"attention": options.attention, "compile": options.compile}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = replace(RELEASED, layers=options.layers)
        tokenizer = options.data / "tokenizer-qwen3"
        initialise(folder / "ckpt", size, tokenizer=tokenizer, dtype=options.dtype)
        print(f"{options.layers} layers at full width, {options.dtype}, {json.dumps(settings)}")
        for chosen in options.lists.split(","):
            work = lists(options.data.resolve(), chosen, options.queries, folder)
            (folder / f"{chosen}.json").write_text(json.dumps([asdict(w) for w in work]))
            for line in report(chosen, folder, settings, work):
                print(line, flush=True)


if __name__ == "__main__":
    main()
