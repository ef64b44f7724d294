"""Candidate sets: hashed, ordered by the tie rule, saved and shared as files."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from conftest import Cli
from jrv3_eval.candidates import (
    CandidateSet,
    candidate_set,
    load_candidates,
    read_bundle,
    read_manifest,
    save_candidates,
    unpack_bundle,
    write_bundle,
)
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


# --- bundles ------------------------------------------------------------------------------------


def saved(folder: Path, *tasks: str) -> list[Path]:
    files = [folder / f"s-{task}.parquet" for task in tasks]
    for task, file in zip(tasks, files, strict=True):
        save_candidates(a_set(TWO), file, suite="s", task=task, metrics={"ndcg@10": 0.5})
    return files


def test_a_bundle_gives_the_same_candidates_and_bytes(tmp_path: Path) -> None:
    files = saved(tmp_path, "one", "two")
    write_bundle(files, tmp_path / "a.zip")
    write_bundle(files, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    unpacked = unpack_bundle(tmp_path / "a.zip", tmp_path / "theirs")
    assert [path.name for path, _ in unpacked] == ["s-one.parquet", "s-two.parquet"]
    for (path, manifest), file in zip(unpacked, files, strict=True):
        assert path.read_bytes() == file.read_bytes()
        loaded = load_candidates(path)
        assert loaded.hash == manifest.hash == a_set(TWO).hash
        assert loaded.scores.tolist() == a_set(TWO).scores.tolist()
        assert manifest.metrics == {"ndcg@10": 0.5}


def test_two_sets_of_one_task_are_no_bundle(tmp_path: Path) -> None:
    [file] = saved(tmp_path, "one")
    shutil.copy(file, tmp_path / "copy.parquet")
    with pytest.raises(DataError, match="same task"):
        write_bundle([file, tmp_path / "copy.parquet"], tmp_path / "a.zip")


def test_a_changed_bundle_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_bundle(saved(tmp_path, "one", "two"), tmp_path / "a.zip")
    other = {"q1": [("c", 2.0)], "q2": []}
    save_candidates(a_set(other), tmp_path / "x.parquet", suite="s", task="two")
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        parts = {name: zipped.read(name) for name in zipped.namelist()}
    parts["s-two.parquet"] = (tmp_path / "x.parquet").read_bytes()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as zipped:
        for name, content in parts.items():
            zipped.writestr(name, content)
    with pytest.raises(DataError, match="not the one that the bundle's index describes"):
        unpack_bundle(tmp_path / "b.zip", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("task", ["../evil", "/evil", "a/b"])
def test_a_bundle_cannot_write_elsewhere(tmp_path: Path, task: str) -> None:
    [file] = saved(tmp_path, "one")
    manifest = read_manifest(file).to_json() | {"task": task}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("manifest.json", json.dumps([manifest]))
        zipped.writestr(f"s-{task}.parquet", file.read_bytes())
    with pytest.raises(DataError, match="impossible name"):
        unpack_bundle(tmp_path / "a.zip", tmp_path / "theirs")


@pytest.mark.parametrize("content", [b"", b"no zip", b"{}"])
def test_another_file_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="not a bundle"):
        read_bundle(tmp_path / "a.zip")
    with pytest.raises(DataError, match="does not exist"):
        read_bundle(tmp_path / "absent.zip")


def test_from_one_team_to_another(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    """build, export, import, use: the manifest says what the set is worth."""
    built = cli("candidates", "build", "zoo", "--tasks-dir", tasks_dir, "--to", "ours")
    assert built.code == 0, built.err
    assert "oracle ndcg@10" in built.out
    assert cli("candidates", "export", "ours", "--to", "zoo.zip").code == 0
    [shown] = json.loads(cli("candidates", "show", "zoo.zip").out)
    assert (shown["suite"], shown["task"]) == ("zoo", "animals")
    assert set(shown["metrics"]) == {"ndcg@10", "recall@100"}
    assert 0 < shown["metrics"]["ndcg@10"] <= shown["oracle"]["ndcg@10"] <= 1
    assert (shown["queries"], shown["depth"], shown["first_stage"]) == (3, 100, "bm25")
    imported = cli(
        "candidates", "import", "zoo.zip", "--to", "theirs", "--check", "--tasks-dir", tasks_dir
    )
    assert imported.code == 0, imported.err
    assert "--first-stage candidates:theirs" in imported.out
    used = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json",
               "--first-stage", "candidates:theirs")  # fmt: skip
    assert json.loads(used.out)[0]["candidates"]["hash"] == shown["hash"]


def test_a_set_for_another_dataset_version_is_refused_on_import(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    cli("candidates", "build", "zoo", "--tasks-dir", tasks_dir, "--to", "ours")
    cli("candidates", "export", "ours", "--to", "zoo.zip")
    corpus = tmp_path / "data/animals/corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("brown fox", "red fox"))
    done = cli(
        "candidates", "import", "zoo.zip", "--to", "theirs", "--check", "--tasks-dir", tasks_dir
    )
    assert done.code == 2
    assert "were built for dataset" in done.err
    assert not (tmp_path / "theirs").exists()
