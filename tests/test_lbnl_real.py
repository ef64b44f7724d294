"""lbnl against the straight implementation, on real queries with 100 real candidates each.

Random weights and Qwen3's own tokenizer; documents are cut at 128 tokens, as attention over the
whole lists would take a processor hours. The default tests take three queries of each set, `-m
slow` fifty, with lists in one block, in several, and with sliding layers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jrv3_eval.cards import load_suite
from jrv3_eval.engine.work import work_list
from jrv3_eval.first_stage import open_first_stage, take_candidates
from jrv3_eval.lbnl import LbnlReranker
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.sources import load_collection
from models import write_lbnl
from straight import Straight

CUT = {"max_doc_length": 128, "max_query_length": 64}
SETS = {"nfcorpus": "beir-nfcorpus", "cosqa": "code-cosqa"}
CASES: dict[str, dict[str, Any]] = {
    "one block": {},
    "several blocks": {"max_length": 4096},
    "sliding layers": {},
}


@pytest.fixture(scope="module")
def folders(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A narrow full-attention checkpoint, and one whose first layer sees 100 tokens."""
    root = tmp_path_factory.mktemp("lbnl")
    shape = {"tokenizer": data / "tokenizer-qwen3", "hidden": 32, "heads": 2, "key_heads": 1}
    return {
        "full": write_lbnl(root / "full", **shape),
        "sliding": write_lbnl(root / "sliding", **shape, sliding_window=100),
    }


def lists(data: Path, folder: Path, name: str, count: int) -> list[RankingRequest]:
    """The first queries of a set that have 100 candidates of BM25."""
    source = f"{{kind: folder, path: '{data / SETS[name]}'}}"
    card = f"suite: real\ntitle: t\ntasks: [{{name: {name}, sources: [{source}]}}]\n"
    (folder / "real.yaml").write_text(card)
    suite = load_suite("real", folder)
    collection = load_collection(suite, suite.tasks[0], cache=folder, data_dir=None)
    stage = open_first_stage("bm25", cache=folder)
    candidates = take_candidates(stage, collection, suite, suite.tasks[0], 100, folder)
    full = [u.request for u in work_list(collection, candidates) if len(u.request.documents) == 100]
    return full[:count]


def check_ranking(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """The same order, but for documents that the reference itself cannot tell apart."""
    order = np.argsort(-ours, kind="stable")
    if not np.array_equal(order, np.argsort(-theirs, kind="stable")):
        assert np.diff(theirs[order]).max() <= 1e-6


def compare(data: Path, root: Path, folder: Path, name: str, case: str, count: int) -> None:
    plain = Straight(folder)
    options = {**CUT, **CASES[case]}
    reranker = LbnlReranker.from_pretrained(str(folder), device="cpu", **options)
    requests = lists(data, root, name, count)
    assert len(requests) == count
    found = reranker.score(requests)
    blocks = {used.blocks for used in reranker.usage(requests)}
    assert max(b or 0 for b in blocks) > 1 if case == "several blocks" else blocks == {1}
    for request, scores in zip(requests, found, strict=True):
        expected = plain.score(request.query, request.documents, **options)
        np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=0)
        check_ranking(scores, expected)


def which(case: str, folders: dict[str, Path]) -> Path:
    return folders["sliding" if case == "sliding layers" else "full"]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("case", CASES)
def test_three_real_queries(
    data: Path, folders: dict[str, Path], tmp_path: Path, name: str, case: str
) -> None:
    compare(data, tmp_path, which(case, folders), name, case, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("case", CASES)
def test_fifty_real_queries(
    data: Path, folders: dict[str, Path], tmp_path: Path, name: str, case: str
) -> None:
    compare(data, tmp_path, which(case, folders), name, case, 50)


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(one, other).statistic)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_bfloat16_ranks_as_the_straight_bfloat16_does(
    data: Path,
    folders: dict[str, Path],
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Prints what rounding does: between the two in bfloat16, and of each to float32."""
    import torch

    requests = lists(data, tmp_path, name, 50)
    plain = {d: Straight(folders["full"], dtype=d) for d in (torch.float32, torch.bfloat16)}
    truth = [plain[torch.float32].score(r.query, r.documents, **CUT) for r in requests]
    half = [plain[torch.bfloat16].score(r.query, r.documents, **CUT) for r in requests]

    def against(left: Any, right: Any) -> tuple[float, float]:
        pairs = list(zip(left, right, strict=True))
        worst = max(float(np.abs(a - b).max()) for a, b in pairs)
        return worst, float(np.mean([kendall(a, b) for a, b in pairs]))

    straight_error = against(half, truth)
    for attention in ("sdpa", "blocked"):
        options: dict[str, Any] = {**CUT, "dtype": "bfloat16", "attention": attention}
        reranker = LbnlReranker.from_pretrained(str(folders["full"]), device="cpu", **options)
        ours = reranker.score(requests)
        error = against(ours, truth)
        shown = [
            f"{what} {worst:.4f} (tau {tau:.4f})"
            for what, (worst, tau) in {
                "ours to straight bfloat16": against(ours, half),
                "ours to float32": error,
                "straight bfloat16 to float32": straight_error,
            }.items()
        ]
        with capsys.disabled():
            sys.stdout.write(f"\n{name}, {attention}: {', '.join(shown)}\n")
        assert error[0] <= 1.5 * straight_error[0]
        assert error[1] >= straight_error[1] - 0.01
