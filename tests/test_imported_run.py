"""`--model run:FILE`: a reranking made elsewhere, taken only if it is one of these candidates."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from jrv3_eval.errors import DataError
from jrv3_eval.hashing import digest_file
from jrv3_eval.imported import ImportedRun, parse_imported
from jrv3_eval.metrics import evaluate_run

CANDIDATES = {"q1": ["cat", "fox", "dog", "nil"], "q2": ["sea", "fox"], "q3": ["sea", "sun", "cat"]}
SCORES = {
    "q1": {"cat": 1.5, "fox": -2.0, "dog": 7.25, "nil": 0.0},
    "q2": {"sea": 0.1, "fox": 0.2},
    "q3": {"sea": 3.0, "sun": 3.0, "cat": -1.0},
}
RERANKED = {  # trec_eval's rule for the tie of q3: document ids in descending order
    "q1": ["dog", "cat", "nil", "fox"],
    "q2": ["fox", "sea"],
    "q3": ["sun", "sea", "cat"],
}


def write_scores(path: Path, scores: dict[str, dict[str, float]], seed: int = 0) -> Path:
    """A TREC run in an order that says nothing, with ranks that lie."""
    lines = [
        f"{qid} Q0 {doc} 1 {s} tag\n" for qid, docs in scores.items() for doc, s in docs.items()
    ]
    random.Random(seed).shuffle(lines)
    content = "".join(lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A first stage that ranks CANDIDATES."""
    ranked = {q: {d: 10.0 - i for i, d in enumerate(docs)} for q, docs in CANDIDATES.items()}
    return write_scores(tmp_path / "first.run", ranked)


@pytest.fixture
def two_tasks(tasks_dir: Path) -> Path:
    """The suite `zoo` with two tasks over the same data."""
    task = "  - {name: NAME, sources: [{kind: folder, path: ../data/animals}]}\n"
    tasks = "".join(task.replace("NAME", name) for name in ("day", "night"))
    (tasks_dir / "zoo.yaml").write_text(f"suite: zoo\ntitle: Two tiny tasks\ntasks:\n{tasks}")
    return tasks_dir


@pytest.fixture
def firsts(first: Path) -> Path:
    """The same first stage for each of the two tasks."""
    folder = first.parent / "firsts"
    folder.mkdir()
    for name in ("day", "night"):
        (folder / f"{name}.run").write_bytes(first.read_bytes())
    return folder


def records(outcome: Any) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    found: list[dict[str, Any]] = json.loads(outcome.out)
    return found


def ranked(results: Path) -> dict[str, list[str]]:
    """The lists of the one run under the results."""
    [run] = results.rglob("animals.run.gz")
    lists: dict[str, list[str]] = {}
    for line in gzip.decompress(run.read_bytes()).decode().splitlines():
        if not line.startswith("#"):
            qid, _, docid, *_ = line.split()
            lists.setdefault(qid, []).append(docid)
    return lists


@pytest.mark.parametrize("seed", range(3))
def test_scores_land_on_the_documents_that_they_name(
    cli: Cli, tasks_dir: Path, tmp_path: Path, first: Path, seed: int
) -> None:
    run = write_scores(tmp_path / "gpt-3.5-x.trec.gz", SCORES, seed)
    [record] = records(
        cli("zoo", "--tasks-dir", tasks_dir, "--first-stage", f"run:{first}",
            "--model", f"run:{run}", "--json")
    )  # fmt: skip
    assert ranked(tmp_path / "results/runs") == RERANKED
    qrels = tmp_path / "data/animals/qrels/test.tsv"
    assert record["metrics"] == pytest.approx(evaluate_run(qrels, run), abs=1e-12)
    assert record["candidates"]["metrics"]["ndcg@10"] == pytest.approx(
        evaluate_run(qrels, first)["ndcg@10"]
    )
    assert record["reranker"] == {
        "name": "gpt-3.5-x", "family": "run", "listwise": False, "revision": None,
        "weights": digest_file(run), "settings": {}, "unpinned": False,
    }  # fmt: skip
    assert record["cost"]["model_calls"] == 0


def test_a_reranking_may_stand_beside_a_baseline_on_the_same_candidates(
    cli: Cli, tasks_dir: Path, tmp_path: Path, first: Path
) -> None:
    run = write_scores(tmp_path / "made.run", SCORES)
    none, made = records(
        cli("zoo", "--tasks-dir", tasks_dir, "--first-stage", f"run:{first}",
            "--model", "none", "--model", f"run:{run}", "--json")
    )  # fmt: skip
    assert none["candidates"] == made["candidates"]
    assert none["reranker"]["name"] == "none"
    assert none["metrics"]["ndcg@10"] < made["metrics"]["ndcg@10"]


def test_a_run_of_all_queries_serves_a_limited_evaluation(
    cli: Cli, tasks_dir: Path, tmp_path: Path, first: Path
) -> None:
    run = write_scores(tmp_path / "made.run", SCORES)
    [record] = records(
        cli("zoo", "--tasks-dir", tasks_dir, "--first-stage", f"run:{first}",
            "--model", f"run:{run}", "--limit", "2", "--json")
    )  # fmt: skip
    assert record["limit"] == 2


@pytest.mark.parametrize(
    ("qid", "scores", "what"),
    [
        (
            "q1",
            {"cat": 1.0, "dog": 2.0},
            "has no score for 2 of 4 candidates of query 'q1', such as 'fox'",
        ),
        ("q2", {}, "has no score for 2 of 2 candidates of query 'q2', such as 'sea'"),
        (
            "q3",
            {**SCORES["q3"], "dog": 1.0, "nil": 1.0},
            "ranks 2 documents for query 'q3' that are no candidates",
        ),
    ],
)
def test_a_run_of_other_candidates_is_refused(
    cli: Cli, tasks_dir: Path, tmp_path: Path, first: Path, qid: str,
    scores: dict[str, float], what: str,
) -> None:  # fmt: skip
    run = write_scores(tmp_path / "other.run", {**SCORES, qid: scores})
    done = cli(
        "zoo", "--tasks-dir", tasks_dir, "--first-stage", f"run:{first}", "--model", f"run:{run}"
    )
    assert done.code == 2
    assert what in " ".join(done.err.split())
    assert "other.run" in done.err
    assert "next:" in done.err
    assert "--first-stage run:FILE --depth N" in " ".join(done.err.split())
    assert not list((tmp_path / "results/runs").rglob("*.json"))


def test_a_run_of_more_documents_than_the_depth_is_refused(
    cli: Cli, tasks_dir: Path, tmp_path: Path, first: Path
) -> None:
    run = write_scores(tmp_path / "deep.run", SCORES)
    done = cli("zoo", "--tasks-dir", tasks_dir, "--first-stage", f"run:{first}",
               "--model", f"run:{run}", "--depth", "2")  # fmt: skip
    assert done.code == 2
    assert "ranks 2 documents for query 'q1' that are no candidates" in " ".join(done.err.split())


def test_a_missing_file_is_said_before_any_work(
    cli: Cli, tasks_dir: Path, tmp_path: Path, cache: Path
) -> None:
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", f"run:{tmp_path / 'gone.run'}")
    assert done.code == 2
    assert "The run file does not exist." in done.err
    assert "gone.run" in done.err
    assert "a run is TREC" in " ".join(done.err.split())
    assert not (cache / "collections").exists()


def test_a_folder_holds_one_run_a_task(
    cli: Cli, two_tasks: Path, tmp_path: Path, firsts: Path
) -> None:
    folder = tmp_path / "my-model"
    backwards = {q: {d: -s for d, s in docs.items()} for q, docs in SCORES.items()}
    write_scores(folder / "day.run", SCORES)
    write_scores(folder / "zoo-night.trec.gz", backwards)
    day, night = records(
        cli("zoo", "--tasks-dir", two_tasks, "--first-stage", f"run:{firsts}",
            "--model", f"run:{folder}", "--json")
    )  # fmt: skip
    assert [r["reranker"]["name"] for r in (day, night)] == ["my-model", "my-model"]
    assert day["reranker"]["weights"] == digest_file(folder / "day.run")
    assert day["metrics"]["ndcg@10"] > night["metrics"]["ndcg@10"]


def test_a_folder_without_a_tasks_run_is_refused(
    cli: Cli, two_tasks: Path, tmp_path: Path, firsts: Path
) -> None:
    folder = tmp_path / "my-model"
    write_scores(folder / "day.run", SCORES)
    done = cli("zoo", "--tasks-dir", two_tasks, "--first-stage", f"run:{firsts}",
               "--model", f"run:{folder}")  # fmt: skip
    assert done.code == 2
    assert "The folder has no file for task 'night'." in done.err
    assert "it should hold one of night.run" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("gpt-3.5-x.trec.gz", "gpt-3.5-x"),
        ("rankvicuna-7b.run", "rankvicuna-7b"),
        ("a.b.c.txt.gz", "a.b.c"),
        ("mteb_predictions.json", "mteb_predictions"),
        ("scores.parquet", "scores"),
        ("llama-3.1", "llama-3.1"),
        ("run", "run"),
    ],
)
def test_the_name_is_the_files_without_the_endings_of_runs(file: str, name: str) -> None:
    assert ImportedRun(Path("somewhere") / file).name == name


def test_only_the_prefix_makes_a_run(tmp_path: Path) -> None:
    assert parse_imported("jinaai/jina-reranker-v3") is None
    assert parse_imported("none") is None
    with pytest.raises(DataError, match="does not exist"):
        parse_imported(f"run:{tmp_path / 'gone.run'}")
