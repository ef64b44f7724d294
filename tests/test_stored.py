"""Result folders read back as systems, with names that tell them apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeReranker
from jrv3_eval import evaluate
from jrv3_eval.errors import DataError
from jrv3_eval.stored import cached_candidates, cached_collection, read_results, read_systems
from literals import write_stored

VALUES = {"q1": 1.0, "q2": 0.5, "q3": 0.0}


def run(tasks_dir: Path, results: Path, *models: str, **options: object) -> None:
    evaluate("zoo", list(models), tasks_dir=tasks_dir, results=results, **options)  # type: ignore[arg-type]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Another first stage than BM25."""
    path = tmp_path / "dense.run"
    ranked = {"q1": ["dog", "cat", "sea"], "q2": ["fox", "sea"], "q3": ["sun", "nil"]}
    path.write_text(
        "".join(f"{q} Q0 {d} {i} {9 - i} t\n" for q, docs in ranked.items()
                for i, d in enumerate(docs))
    )  # fmt: skip
    return path


# --- systems and their names --------------------------------------------------------------------


def test_models_of_one_folder_are_systems_with_baselines_first(
    tasks_dir: Path, tmp_path: Path
) -> None:
    run(tasks_dir, tmp_path / "a", "random:7", "oracle", "none")
    systems = read_systems([tmp_path / "a"])
    assert [one.name for one in systems] == ["none", "oracle", "random:7"]
    assert [list(one.tasks) for one in systems] == [[("zoo", "animals")]] * 3
    assert all(one.is_baseline for one in systems)


def test_orders_tell_a_models_systems_apart(
    tasks_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jrv3_eval.evaluation.open_reranker", lambda *_: FakeReranker())
    for order in ("first-stage", "reverse", "random:3"):
        run(tasks_dir, tmp_path / "a", "fake", order=order)
    systems = read_systems([tmp_path / "a"])
    assert [one.name for one in systems] == [
        "fake",
        "fake (order random:3)",
        "fake (order reverse)",
    ]
    assert [one.example.order for one in systems] == ["first-stage", "random:3", "reverse"]
    assert not systems[0].is_baseline


def test_first_stages_and_depths_tell_systems_apart(
    tasks_dir: Path, tmp_path: Path, first: Path
) -> None:
    run(tasks_dir, tmp_path / "a", "none", "random:7")
    run(tasks_dir, tmp_path / "a", "none", first_stage=f"run:{first}")
    assert [one.name for one in read_systems([tmp_path / "a"])] == [
        "none (over bm25)", "none (over run-dense)", "random:7",
    ]  # fmt: skip
    run(tasks_dir, tmp_path / "b", "random:7", depth=2)
    run(tasks_dir, tmp_path / "b", "random:7", limit=2)
    assert [one.name for one in read_systems([tmp_path / "b"])] == [
        "random:7 (depth 100, limit 2)", "random:7 (depth 2)",
    ]  # fmt: skip


def test_one_model_in_two_folders_is_told_apart_by_the_folder(
    tasks_dir: Path, tmp_path: Path
) -> None:
    for name in ("before", "after"):
        run(tasks_dir, tmp_path / name, "random:7")
    systems = read_systems([tmp_path / "before", tmp_path / "after"])
    assert [one.name for one in systems] == ["random:7 (before)", "random:7 (after)"]
    again = read_systems([tmp_path / "before", tmp_path / "before"])
    assert [one.name for one in again] == ["random:7 #1", "random:7 #2"]


def test_weights_tell_checkpoints_of_one_name_apart(tmp_path: Path) -> None:
    for letter in "ab":
        write_stored(tmp_path, VALUES, **{"reranker.weights": letter * 64})
    assert [one.name for one in read_systems([tmp_path])] == [
        "model (@aaaaaaaa)",
        "model (@bbbbbbbb)",
    ]


def test_tasks_of_one_protocol_are_one_system(tmp_path: Path) -> None:
    for task in ("animals", "plants"):
        write_stored(tmp_path, VALUES, task=task)
    [system] = read_systems([tmp_path])
    assert list(system.tasks) == [("zoo", "animals"), ("zoo", "plants")]


def test_a_folder_of_runs_is_one_system_though_each_task_has_its_own_file(tmp_path: Path) -> None:
    for task, digest in (("animals", "a" * 64), ("plants", "b" * 64)):
        changes = {"reranker.family": "run", "reranker.weights": digest}
        write_stored(tmp_path, VALUES, task=task, **changes)
    assert len(read_systems([tmp_path])) == 1


def test_two_results_that_differ_only_in_the_data_are_refused(tmp_path: Path) -> None:
    for letter in "fg":
        write_stored(tmp_path, VALUES, **{"dataset.fingerprint": letter * 64})
    with pytest.raises(DataError, match="model on zoo/animals differ only in dataset") as caught:
        read_systems([tmp_path])
    assert str(caught.value).count("animals.json") == 2


# --- what is no result --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "The record is damaged"), ('{"schema": 1', "The record is damaged")],
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = write_stored(tmp_path, VALUES).record
    file.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_systems([tmp_path])
    assert caught.value.where == str(file)


def test_a_record_with_a_wrong_field_is_named_with_the_field(tmp_path: Path) -> None:
    file = write_stored(tmp_path, VALUES).record
    content = json.loads(file.read_text())
    content["candidates"]["depth"] = "deep"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"not valid: candidates\.depth") as caught:
        read_systems([tmp_path])
    assert caught.value.where == str(file)


def test_other_json_in_a_folder_is_passed_over_unless_it_is_named(tmp_path: Path) -> None:
    write_stored(tmp_path, VALUES)
    note = tmp_path / "note.json"
    note.write_text('{"written by": "someone else"}')
    assert len(read_results(tmp_path)) == 1
    with pytest.raises(DataError, match="not a record"):
        read_results(note)


def test_a_place_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no result"):
        read_systems([tmp_path])
    with pytest.raises(DataError, match="no such result folder") as caught:
        read_systems([tmp_path / "gone"])
    assert caught.value.next_step


# --- what lies beside the record ----------------------------------------------------------------


def test_values_are_those_of_the_record(tasks_dir: Path, tmp_path: Path) -> None:
    run(tasks_dir, tmp_path, "oracle")
    [stored] = read_results(tmp_path / "oracle@baseline")
    assert stored.values.qids == ("q1", "q2", "q3")
    assert stored.values.of("ndcg@10").mean() == pytest.approx(stored.result.metrics["ndcg@10"])
    assert {"first_stage_ndcg@10", "oracle_ndcg@10"} <= set(stored.values.columns)
    assert all(column.dtype == np.float64 for column in stored.values.columns.values())


def test_values_of_another_record_are_refused(tmp_path: Path) -> None:
    mine = write_stored(tmp_path / "mine", VALUES)
    other = write_stored(tmp_path / "other", VALUES | {"q3": 0.9})
    own = mine.record.with_suffix(".queries.parquet")
    shutil.copy(other.record.with_suffix(".queries.parquet"), own)
    with pytest.raises(DataError, match=r"not those of the record.* is not 0\.500000") as caught:
        _ = mine.values
    assert caught.value.where == str(own)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_values_that_cannot_be_read_are_an_error(tmp_path: Path, damage: str) -> None:
    stored = write_stored(tmp_path, VALUES)
    file = stored.record.with_suffix(".queries.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read") as caught:
        _ = stored.values
    assert caught.value.where == str(file)


def test_values_by_another_metric_are_refused(tmp_path: Path) -> None:
    mine = write_stored(tmp_path / "mine", VALUES)
    other = write_stored(tmp_path / "other", VALUES, primary_metric="mrr@10")
    shutil.copy(
        other.record.with_suffix(".queries.parquet"), mine.record.with_suffix(".queries.parquet")
    )
    with pytest.raises(DataError, match="lack first_stage_ndcg@10"):
        _ = mine.values


def test_lists_are_best_first_with_their_scores(tmp_path: Path) -> None:
    lists = {
        "q1": {"cat": 0.5, "dog": 2.0, "fox": 1.0},
        "q2": {"sea": 1.0, "sun": 1.0},  # a tie: ids in descending order, by trec_eval's rule
        "q3": {"nil": -1.0},
    }
    stored = write_stored(tmp_path, VALUES, lists=lists)
    assert stored.lists(["q1", "q2"]) == {
        "q1": [("dog", 2.0), ("fox", 1.0), ("cat", 0.5)],
        "q2": [("sun", 1.0), ("sea", 1.0)],
    }
    assert stored.lists(["q3", "absent"]) == {"q3": [("nil", -1.0)], "absent": []}


def test_ids_with_spaces_are_kept(tmp_path: Path) -> None:
    stored = write_stored(
        tmp_path, {"a query": 1.0}, lists={"a query": {"the cat": 1.0, "a  dog": 2.0}}
    )
    assert stored.lists(["a query"]) == {"a query": [("a  dog", 2.0), ("the cat", 1.0)]}


# --- what the cache still has -------------------------------------------------------------------


def test_candidates_and_texts_come_from_the_cache_by_their_hash(
    tasks_dir: Path, tmp_path: Path, cache: Path
) -> None:
    run(tasks_dir, tmp_path / "whole", "none")
    run(tasks_dir, tmp_path / "part", "none", limit=2)
    for place, count in (("whole", 3), ("part", 2)):
        [stored] = read_results(tmp_path / place)
        candidates = cached_candidates(stored.result, stored.values.qids, cache)
        assert candidates is not None
        assert candidates.hash == stored.result.candidates.hash
        assert len(candidates) == count
        collection = cached_collection(stored.result.dataset.fingerprint, cache)
        assert collection is not None
        assert collection.queries["q1"] == "cat on a mat"


def test_what_the_cache_has_not_is_none(tmp_path: Path, cache: Path) -> None:
    stored = write_stored(tmp_path, VALUES)
    assert cached_candidates(stored.result, stored.values.qids, cache) is None
    assert cached_collection(stored.result.dataset.fingerprint, cache) is None


def test_a_damaged_cache_is_as_good_as_none(tasks_dir: Path, tmp_path: Path, cache: Path) -> None:
    run(tasks_dir, tmp_path / "a", "none")
    [stored] = read_results(tmp_path / "a")
    for path in (cache / "candidates").glob("*.parquet"):
        path.write_bytes(b"no parquet")
    for path in (cache / "collections").glob("*/meta.json"):
        path.write_text("{")
    assert cached_candidates(stored.result, stored.values.qids, cache) is None
    assert cached_collection(stored.result.dataset.fingerprint, cache) is None
