"""mteb's result files as published tables, and the training data that models declare there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from jrv3_eval.cards import HubSource, load_suite
from jrv3_eval.errors import DataError
from jrv3_eval.paths import shipped
from jrv3_eval.published import declares, plain_model, read_published

MINILM = "sentence-transformers__all-MiniLM-L6-v2"


def mteb_result(**scores: float) -> dict[str, Any]:
    return {
        "dataset_revision": "ec0fa4fe99da2ff19ca1214b7966684033a58814",
        "task_name": "NFCorpus",
        "mteb_version": "2.0",
        "scores": {"test": [{"hf_subset": "default", **scores}]},
    }


def test_a_result_of_mteb_is_a_retrieval_table_in_percent(tmp_path: Path) -> None:
    folder = tmp_path / "some__model" / "0123abc"
    folder.mkdir(parents=True)
    content = mteb_result(ndcg_at_10=0.31594, main_score=0.31594, map_at_100=0.1)
    (folder / "NFCorpus.json").write_text(json.dumps(content))
    (folder / "model_meta.json").write_text('{"name": "some/model"}')
    unknown = {**content, "task_name": "SomeOtherTask"}
    (folder / "SomeOtherTask.json.gz").write_bytes(gzip.compress(json.dumps(unknown).encode()))
    for place in (tmp_path, folder / "NFCorpus.json"):
        [table] = read_published(place)
        assert (table.suite, table.protocol.kind, table.source.version) == (
            "beir", "retrieval", "0123abc",
        )  # fmt: skip
        assert table.rows[0].model == "some/model"
        assert table.rows[0].scores == {
            "ndcg@10": {"nfcorpus": 31.594},
            "map@100": {"nfcorpus": 10},
        }
        assert table.protocol.revisions == {"nfcorpus": content["dataset_revision"]}
    with pytest.raises(DataError, match="no published value of a task"):
        read_published(folder / "SomeOtherTask.json.gz")


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x1f\x8b\x08 cut off",
        gzip.compress(b'{"scores": {"test"', mtime=0),
        b'{"scores": [], "mteb_version": "2"}',
        b'{"task_name": "NFCorpus", "scores": {"test": [3]}, "mteb_version": "2"}',
        b'{"task_name": "NFCorpus", "scores": {"test": null}, "mteb_version": "2"}',
        b'{"task_name": "NFCorpus", "mteb_version": "2", "scores": {"test": [{"hf_subset":'
        b' "default", "ndcg_at_10": 31.5}]}}',
    ],
)
def test_a_damaged_result_of_mteb_is_named(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "NFCorpus.json.gz"
    path.write_bytes(damaged)
    with pytest.raises(DataError) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


def test_real_results_of_mteb_are_read(data: Path) -> None:
    tables = read_published(data / "mteb-results")
    [minilm] = [t for t in tables if "MiniLM" in t.rows[0].model and t.suite == "beir"]
    assert minilm.rows[0].scores["ndcg@10"]["nfcorpus"] == 31.594
    assert minilm.rows[0].model == MINILM.replace("__", "/")
    for table in tables:
        tasks = {task.name for task in load_suite(table.suite, None).tasks}
        [row] = table.rows
        values = [v for scores in row.scores.values() for v in scores.values()]
        assert {d for scores in row.scores.values() for d in scores} <= tasks
        assert all(0 <= v <= 100 for v in values)
    [file] = (data / "mteb-results" / MINILM).rglob("NFCorpus.json.gz")
    [alone] = read_published(file)
    assert alone.rows[0].scores["ndcg@10"] == {"nfcorpus": 31.594}


# --- declared training data ---------------------------------------------------------------------


def test_what_a_model_was_trained_on_is_marked() -> None:
    miracl = [("miracl", task.name) for task in load_suite("miracl", None).tasks]
    for place in [("beir", "nq"), ("beir", "hotpotqa"), ("nano-beir", "nano-nq"), *miracl]:
        assert declares("jina-reranker-v3", *place), place
    assert declares("jinaai/jina-reranker-v3-hf", "beir", "nq")  # another packaging of it
    for place in (("beir", "scifact"), ("beir", "nfcorpus"), ("zoo", "animals")):
        assert not declares("jina-reranker-v3", *place)
    assert not declares("a-model-that-nobody-knows", "beir", "nq")


def test_declarations_are_those_of_mteb() -> None:
    import mteb

    declared = json.loads((shipped("published") / "training/declared.json").read_text())
    trained = mteb.get_model_meta("jinaai/jina-reranker-v3").get_training_datasets()
    known = {
        source.task
        for name in ("beir", "nano-beir", "miracl", "miracl-reranking", "miracl-hard-negatives",
                     "code", "mkqa-mteb")
        for task in load_suite(name, None).tasks
        for source in task.sources
        if isinstance(source, HubSource) and source.task
    }  # fmt: skip
    assert set(declared["models"]["jinaai/jina-reranker-v3"]) == set(trained) & known


def test_names_of_models_are_compared_without_their_packaging() -> None:
    assert plain_model("jinaai/Jina-Embeddings-v3-hf") == plain_model("jina-embeddings-v3")
    assert plain_model("jina-reranker-v3") != plain_model("jina-reranker-v3.5")
