"""`fusion:A+B`, `pool` and `paper`: stages that rest on others or on the dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import DOCUMENTS, QRELS, QUERIES, Cli, write_beir
from jrv3_eval.candidates import CandidateSet
from jrv3_eval.cards import Suite, TaskCard
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import CheckpointError, DataError, UsageError
from jrv3_eval.first_stage import open_first_stage, take_candidates
from jrv3_eval.first_stage.fusion import Fusion, fuse
from jrv3_eval.sources.folder import open_folder

CARD = TaskCard(name="animals")
SUITE = Suite(suite="zoo", title="t", tasks=(CARD,))


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


def take(
    spec: str, collection: Collection, cache: Path, depth: int = 100, suite: Suite = SUITE
) -> CandidateSet:
    stage = open_first_stage(spec, cache=cache)
    return take_candidates(stage, collection, suite, suite.tasks[0], depth, cache)


# --- reciprocal rank fusion ---------------------------------------------------------------------


def test_the_sum_of_reciprocal_ranks() -> None:
    docids, scores = fuse([["a", "b"], ["b", "c"]], k=60, depth=10)
    assert docids == ["b", "a", "c"]
    assert scores.tolist() == np.float32([1 / 62 + 1 / 61, 1 / 61, 1 / 62]).tolist()


LISTS = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=4)


@given(LISTS, st.randoms(), st.integers(1, 9))
def test_the_order_of_the_lists_changes_nothing(
    lists: list[list[str]], rng: object, k: int
) -> None:
    docids, scores = fuse(lists, k, 5)
    shuffled = list(lists)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again, same = fuse(shuffled, k, 5)
    assert (docids, scores.tolist()) == (again, same.tolist())
    pairs = list(zip(scores.tolist(), docids, strict=True))
    assert pairs == sorted(pairs, reverse=True)
    assert set(docids) <= {docid for ranked in lists for docid in ranked}


@given(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
def test_one_list_stays_as_it_is(ranked: list[str]) -> None:
    assert fuse([ranked, ranked], 60, 100)[0] == ranked


def test_two_runs_and_bm25_are_fused(tmp_path: Path, animals: Path, cache: Path) -> None:
    (tmp_path / "odd+name.run").write_text("q1 Q0 sea 1 2.0 x\nq1 Q0 dog 2 1.0 x\n")
    collection = load(animals, cache)
    spec = f"fusion:k=1:bm25+run:{tmp_path / 'odd+name.run'}"
    found = take(spec, collection, cache)
    # bm25: cat, dog; the run: sea, dog
    assert found.of(0)[0] == ["dog", "sea", "cat"]
    assert found.of(1)[0] == take("bm25", collection, cache).of(1)[0]
    assert found.first_stage == "fusion-bm25-run-odd+name"
    assert found.settings["k"] == 1
    assert [part["first_stage"] for part in found.settings["parts"]] == ["bm25", "run-odd+name"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fusion:", "needs more"),
        ("fusion:bm25", "two first stages or more"),
        ("fusion:fusion:bm25+bm25+bm25", "none of them a fusion"),
        ("fusion:k=x:bm25+bm25", "whole number from 1 to 10000, not 'x'"),
        ("fusion:k=10001:bm25+bm25", "from 1 to 10000"),
        ("run:~nobody-by-this-name/x", "path cannot be found"),
        ("fusion:bm25+bm52", "two first stages or more|Unknown option"),
        ("pool:x", "takes no more"),
    ],
)
def test_a_bad_spec_names_the_problem(cache: Path, spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_first_stage(spec, cache=cache)


def test_a_fusion_of_cached_stages_is_cached(cache: Path) -> None:
    stage = open_first_stage("fusion:bm25+bm25:k1=0.9,b=0.4", cache=cache)
    assert isinstance(stage, Fusion)
    assert stage.for_task(SUITE, CARD).cached
    with_run = open_first_stage("fusion:bm25+run:x", cache=cache)
    assert isinstance(with_run, Fusion)
    assert not with_run.for_task(SUITE, CARD).cached


# --- the dataset's own pools --------------------------------------------------------------------


def with_pools(folder: Path, cache: Path, pools: dict[str, tuple[str, ...]]) -> Collection:
    from dataclasses import replace

    raw = replace(open_folder(folder, "test"), pools=lambda: iter(pools.items()))
    raw = replace(raw, identity=[raw.identity, sorted(pools)])
    return ingest(raw, join="title text", split="test", cache=cache)


def test_pools_keep_the_datasets_order(animals: Path, cache: Path) -> None:
    collection = with_pools(animals, cache, {"q1": ("sea", "cat", "dog"), "q3": ("sun",)})
    found = take("pool", collection, cache, depth=2)
    assert [found.of(i)[0] for i in range(3)] == [["sea", "cat"], [], ["sun"]]
    assert found.of(0)[1].tolist() == [2.0, 1.0]
    assert found.first_stage == "pool"


def test_a_dataset_without_pools_is_refused(animals: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="brings no candidates of its own"):
        take("pool", load(animals, cache), cache)


@pytest.mark.parametrize(
    ("pool", "message"),
    [(("cat", "cat"), "names a document twice"), (("unicorn",), "'unicorn', which the corpus")],
)
def test_bad_pools_are_refused(
    animals: Path, cache: Path, pool: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        with_pools(animals, cache, {"q1": pool})


# --- the published first stage ------------------------------------------------------------------


def test_paper_is_what_the_card_names(animals: Path, cache: Path) -> None:
    card = CARD.model_copy(update={"paper_first_stage": "bm25:k1=0.9,b=0.4"})
    suite = Suite(suite="zoo", title="t", tasks=(card,), paper_first_stage="bm25")
    found = take("paper", load(animals, cache), cache, suite=suite)
    assert found.first_stage == "bm25:k1=0.9,b=0.4"
    suite = Suite(suite="zoo", title="t", tasks=(CARD,), paper_first_stage="bm25")
    assert take("paper", load(animals, cache), cache, suite=suite).first_stage == "bm25"


def test_a_card_without_a_published_first_stage(animals: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="names no published first stage"):
        take("paper", load(animals, cache), cache)


def test_one_that_cannot_run_here_points_to_candidate_sets(
    animals: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    suite = Suite(suite="zoo", title="t", tasks=(CARD,), paper_first_stage="dense:org/absent")
    with pytest.raises(CheckpointError, match=r"dense:org/absent cannot be run here") as caught:
        take("paper", load(animals, cache), cache, suite=suite)
    assert "jrv3-eval candidates import" in str(caught.value)


def test_the_table_names_the_command_that_would_be_comparable(cli: Cli, tmp_path: Path) -> None:
    write_beir(tmp_path / "data/animals", DOCUMENTS, QUERIES, QRELS)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/zoo.yaml").write_text(
        "suite: zoo\ntitle: t\npublished: The Paper, Table 1\n"
        "paper_first_stage: bm25:k1=0.9,b=0.4\n"
        "tasks: [{name: animals, sources: [{kind: folder, path: ../data/animals}]}]\n"
    )
    command = ("zoo", "--tasks-dir", "cards", "--model", "none", "--first-stage")
    other = cli(*command, "bm25")
    assert "not comparable with The Paper, Table 1, which reranks bm25:k1=0.9,b=0.4" in other.out
    line = next(x for x in other.out.splitlines() if "comparable: " in x)
    words = line.partition("comparable: ")[2].split()
    assert words[0] == "jrv3-eval"
    same = cli(*words[1:])
    assert same.code == 0, same.err
    assert "not comparable" not in same.out
