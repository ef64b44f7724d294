"""Candidate sets: hashed, ordered by the tie rule, saved and shared as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jrv3_eval.candidates import CandidateSet, candidate_set, load_candidates, save_candidates
from jrv3_eval.errors import DataError


def a_set(
    lists: dict[str, list[tuple[str, float]]], depth: int = 3, dataset: str = "d" * 64
) -> CandidateSet:
    return candidate_set(
        list(lists),
        [([d for d, _ in pairs], np.float32([s for _, s in pairs])) for pairs in lists.values()],
        first_stage="bm25",
        depth=depth,
        dataset=dataset,
        settings={"k1": 1.5},
    )


TWO = {"q1": [("b", 2.0), ("a", 2.0), ("c", 1.0)], "q2": []}


def test_lists_come_back_in_order() -> None:
    candidates = a_set(TWO)
    docids, scores = candidates.of(0)
    assert docids == ["b", "a", "c"]
    assert scores.tolist() == [2.0, 2.0, 1.0]
    assert candidates.of(1)[0] == []


def test_the_hash_is_that_of_the_ordered_documents() -> None:
    same_order_other_scores = {"q1": [("b", 9.0), ("a", 8.0), ("c", 7.0)], "q2": []}
    other_order = {"q1": [("a", 9.0), ("b", 8.0), ("c", 7.0)], "q2": []}
    moved_border = {"q1": [("b", 9.0), ("a", 8.0)], "q2": [("c", 7.0)]}
    assert a_set(TWO).hash == a_set(same_order_other_scores).hash
    assert len({a_set(x).hash for x in (TWO, other_order, moved_border)}) == 3


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a", 2.0), ("a", 1.0)], "twice among the candidates of query 'q1'"),
        ([("a", 1.0), ("b", 2.0)], "not ordered by score"),
        ([("a", 2.0), ("b", 2.0)], "not ordered by score, then id"),
        ([("a", float("nan"))], "not a number"),
    ],
)
def test_a_list_that_breaks_the_rules_is_refused(
    pairs: list[tuple[str, float]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        a_set({"q1": pairs})


def test_cut_and_select() -> None:
    candidates = a_set({**TWO, "q3": [("x", 1.0)]})
    assert candidates.cut(1).of(0)[0] == ["b"]
    assert candidates.cut(1).depth == 1
    assert candidates.select(["q3", "q1"]).qids == ("q3", "q1")
    assert candidates.select(["q3", "q1"]).of(1)[0] == ["b", "a", "c"]


def test_a_saved_set_is_the_same_set_and_the_same_bytes(tmp_path: Path) -> None:
    candidates = a_set(TWO)
    save_candidates(candidates, tmp_path / "one.parquet", suite="s", task="t")
    save_candidates(candidates, tmp_path / "two.parquet", suite="s", task="t")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    loaded = load_candidates(tmp_path / "one.parquet")
    assert loaded.hash == candidates.hash
    assert loaded.of(0)[1].tolist() == [2.0, 2.0, 1.0]
    assert (loaded.first_stage, loaded.depth, loaded.settings) == ("bm25", 3, {"k1": 1.5})


def test_files_that_are_no_candidate_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_candidates(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="not a saved candidate set"):
        load_candidates(tmp_path / "text.parquet")


def test_a_file_with_a_changed_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    save_candidates(a_set(TWO), path, suite="s", task="t")
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    manifest = json.loads(metadata[b"jrv3_eval.candidates"])
    metadata[b"jrv3_eval.candidates"] = json.dumps({**manifest, "hash": "0" * 64}).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(DataError, match="does not have the hash"):
        load_candidates(path)
