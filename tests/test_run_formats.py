"""`run:` reads what other tools write, one file or one a task."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Cli
from jrv3_eval.candidates import CandidateSet
from jrv3_eval.cards import HubSource, Suite, TaskCard
from jrv3_eval.collection import ingest
from jrv3_eval.errors import DataError
from jrv3_eval.first_stage import open_first_stage, take_candidates
from jrv3_eval.sources.folder import open_folder

HUB = HubSource(
    kind="hub", path="org/zoo", revision="a" * 40, task="ZooRetrieval", subset="en", split="dev"
)
CARD = TaskCard(name="animals", sources=(HUB,))
SUITE = Suite(suite="zoo", title="t", tasks=(CARD,))
SCORES = {"q1": {"dog": 3.0, "cat": 2.5}, "q2": {"fox": 1.0}}


def take(path: Path, folder: Path, cache: Path) -> CandidateSet:
    collection = ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)
    stage = open_first_stage(f"run:{path}", cache=cache)
    return take_candidates(stage, collection, SUITE, CARD, 100, cache)


def lists(found: CandidateSet) -> dict[str, list[str]]:
    return {qid: found.of(index)[0] for index, qid in enumerate(found.qids)}


TREC = "# a header\nq1 Q0 cat 2 2.5 tag\nq1 Q0 dog 1 3.0 tag\nq2 Q0 fox 1 1.0 tag\n"
MSMARCO = "q1\tdog\t1\nq1\tcat\t2\nq2\tfox\t1\n"
PREDICTIONS = {
    "mteb_model_meta": {"model_name": "org/model", "revision": "1"},
    "de": {"dev": {"q1": {"sea": 1.0}}},
    "en": {"train": {"q1": {"sea": 1.0}}, "dev": SCORES},
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bm25.run", TREC),
        ("run.bm25.txt", TREC.replace(" ", "\t")),
        ("msmarco.tsv", MSMARCO),
        ("ZooRetrieval_predictions.json", json.dumps(PREDICTIONS)),
        ("only.json", json.dumps({"default": {"test": SCORES}})),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_gives_the_same_candidates(
    tmp_path: Path, animals: Path, cache: Path, name: str, content: str, zipped: bool
) -> None:
    path = tmp_path / f"{name}{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(content.encode()) if zipped else content.encode())
    found = take(path, animals, cache)
    assert lists(found) == {"q1": ["dog", "cat"], "q2": ["fox"], "q3": []}


@pytest.mark.parametrize("names", [("qid", "docid", "score"), ("query_id", "doc_id", "score")])
def test_parquet(tmp_path: Path, animals: Path, cache: Path, names: tuple[str, ...]) -> None:
    rows = [(q, d, s) for q, docs in SCORES.items() for d, s in docs.items()]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    pq.write_table(pa.table(columns), tmp_path / "run.parquet")
    assert lists(take(tmp_path / "run.parquet", animals, cache))["q1"] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "q1\tdog\t1\nq1\tdog\t2\n", r"a.tsv:2|appears twice"),
        ("a.tsv", "q1\tdog\t1\nq1\tcat\n", "not `qid docid rank`"),
        ("a.run", "q1 Q0 dog 1 3 t\nq1 Q0 dog 2 2 t\n", "appears twice"),
        ("a.parquet", "no parquet", "not Parquet"),
        ("a.json", "no json", "not mteb's predictions"),
        ("a.json", json.dumps({"fr": {"dev": {"q1": {"dog": 1}}}}), "no subset 'en'.*have: fr"),
        ("a.json", json.dumps({"de": {"dev": {}}, "fr": {}}), r"no subset 'en'.*have: de, fr"),
        ("a.json", json.dumps({"en": {"train": {}, "x": {}}}), r"no split 'dev' or 'test'"),
        ("a.json", json.dumps({"en": {"dev": {"q1": [1]}}}), "not scores by query and document"),
        ("a.json", json.dumps({"en": {"dev": {"q1": {"dog": "NaN"}}}}), "finite"),
    ],
)
def test_a_bad_file_is_named(
    tmp_path: Path, animals: Path, cache: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        take(path, animals, cache)


def test_parquet_without_the_columns(tmp_path: Path, animals: Path, cache: Path) -> None:
    pq.write_table(pa.table({"qid": ["q1"], "rank": [1]}), tmp_path / "run.parquet")
    with pytest.raises(DataError, match="no column 'docid'"):
        take(tmp_path / "run.parquet", animals, cache)
    twice = {"qid": ["q1", "q1"], "docid": ["cat", "cat"], "score": [1.0, 2.0]}
    pq.write_table(pa.table(twice), tmp_path / "run.parquet")
    with pytest.raises(DataError, match="appears twice for query 'q1'"):
        take(tmp_path / "run.parquet", animals, cache)


@pytest.mark.parametrize(
    "name", ["animals.run.gz", "zoo-animals.trec", "ZooRetrieval_predictions.json"]
)
def test_a_folder_holds_one_file_a_task(
    tmp_path: Path, animals: Path, cache: Path, name: str
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    content = json.dumps(PREDICTIONS) if name.endswith(".json") else TREC
    data = content.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (folder / "other.run").write_text("")
    (folder / "animals.json").write_text("{}")  # a record beside the run, as ours are
    assert lists(take(folder, animals, cache))["q1"] == ["dog", "cat"]


def test_one_file_is_one_tasks(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    """Tasks with the same query ids, as MKQA's languages, are never scored by one run."""
    card = (tasks_dir / "zoo.yaml").read_text()
    second = card.partition("tasks:\n")[2].replace("name: animals", "name: again")
    (tasks_dir / "zoo.yaml").write_text(card + second)
    (tmp_path / "bm25.run").write_text(TREC)
    command = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--first-stage", "run:bm25.run")
    done = cli(*command)
    assert done.code == 2
    assert "One run was given for several tasks: animals, again" in done.err
    assert cli(*command, "--tasks", "again").code == 0


def test_a_byte_order_mark_is_no_part_of_an_id(tmp_path: Path, animals: Path, cache: Path) -> None:
    (tmp_path / "bom.tsv").write_bytes(b"\xef\xbb\xbf" + MSMARCO.encode())
    assert lists(take(tmp_path / "bom.tsv", animals, cache))["q1"] == ["dog", "cat"]


def test_a_zip_that_is_cut_short(tmp_path: Path, animals: Path, cache: Path) -> None:
    packed = gzip.compress(MSMARCO.encode())
    (tmp_path / "cut.tsv.gz").write_bytes(packed[:-9])
    with pytest.raises(DataError, match="cut short"):
        take(tmp_path / "cut.tsv.gz", animals, cache)


def test_a_folder_without_or_with_two_files(tmp_path: Path, animals: Path, cache: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(DataError, match="no file for task 'animals'"):
        take(folder, animals, cache)
    (folder / "animals.run").write_text(TREC)
    (folder / "zoo-animals.tsv").write_text(MSMARCO)
    with pytest.raises(DataError, match="2 files for task 'animals'") as caught:
        take(folder, animals, cache)
    assert "animals.run, " in str(caught.value)


def test_our_own_results_are_a_folder_of_runs(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    first = cli("zoo", "--tasks-dir", tasks_dir, "--model", "oracle", "--json")
    [record] = json.loads(first.out)
    [run] = (tmp_path / "results/runs").rglob("animals.run.gz")
    again = cli(
        "zoo", "--tasks-dir", tasks_dir, "--model", "none", "--first-stage", f"run:{run.parent}",
        "--json",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert json.loads(again.out)[0]["metrics"] == record["metrics"]


def test_a_folder_of_candidate_sets(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    build = ("candidates", "build", "zoo", "--tasks-dir", tasks_dir, "--to", "sets")
    assert cli(*build).code == 0
    command = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json", "--first-stage")
    [record] = json.loads(cli(*command, "candidates:sets").out)
    [direct] = json.loads(cli(*command, "bm25").out)
    assert record["candidates"] == direct["candidates"]
    (tmp_path / "sets/zoo-animals.parquet").rename(tmp_path / "sets/zoo-other.parquet")
    assert "no file for task 'animals'" in cli(*command, "candidates:sets").err
