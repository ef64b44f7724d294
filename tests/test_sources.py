"""Sources: every layout of the same data gives the same collection; bad data gives an error."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from conftest import DOCUMENTS, QRELS, QUERIES, write_beir
from jrv3_eval.cards import Suite, TaskCard, load_suite
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import DataError, UsageError
from jrv3_eval.sources import load_collection
from jrv3_eval.sources.folder import open_folder


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


def test_a_folder_is_read_as_it_stands(animals: Path, cache: Path) -> None:
    collection = load(animals, cache)
    assert collection.documents == 6
    assert collection.queries == QUERIES
    assert collection.qrels == QRELS
    rows = collection.rows(["fox", "unknown", "cat"])
    assert rows[1] == -1
    assert collection.texts(rows[[0, 2]]) == [DOCUMENTS["fox"], DOCUMENTS["cat"]]
    assert collection.missing_judged == 1  # `gone` is judged, and counted, not dropped
    assert collection.corpus.empty_documents == 1


def test_gz_and_row_order_do_not_change_the_fingerprint(animals: Path, cache: Path) -> None:
    plain = load(animals, cache)
    other = animals.parent / "other"
    shutil.copytree(animals, other)
    lines = (other / "corpus.jsonl").read_text().splitlines(keepends=True)
    (other / "corpus.jsonl").unlink()
    with gzip.open(other / "corpus.jsonl.gz", "wt") as out:
        out.writelines(reversed(lines))
    packed = load(other, cache)
    assert packed.folder != plain.folder
    assert packed.fingerprint == plain.fingerprint


def test_any_change_of_a_text_changes_the_fingerprint(tmp_path: Path, cache: Path) -> None:
    one = write_beir(tmp_path / "one", DOCUMENTS, QUERIES, QRELS)
    two = write_beir(tmp_path / "two", {**DOCUMENTS, "cat": "The cat"}, QUERIES, QRELS)
    assert load(one, cache).fingerprint != load(two, cache).fingerprint


def test_an_edited_file_is_read_again(animals: Path, cache: Path) -> None:
    before = load(animals, cache)
    write_beir(animals, {**DOCUMENTS, "new": "a new document"}, QUERIES, QRELS)
    assert load(animals, cache).documents == before.documents + 1


def test_an_edit_that_keeps_size_and_time_is_seen(animals: Path, cache: Path) -> None:
    before = load(animals, cache)
    path = animals / "corpus.jsonl"
    status = path.stat()
    path.write_text(path.read_text().replace("quick brown", "quack brown"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert load(animals, cache).fingerprint != before.fingerprint


def test_title_and_text_are_joined_by_one_space(tmp_path: Path, cache: Path) -> None:
    folder = write_beir(tmp_path / "d", {"a": "x"}, {"q": "x"}, {"q": {"a": 1}})
    (folder / "corpus.jsonl").write_text('{"_id": "a", "title": "Title.", "text": "Text."}\n')
    raw = open_folder(folder, "test")
    both = ingest(raw, join="title text", split="test", cache=cache)
    alone = ingest(raw, join="text", split="test", cache=cache)
    rows = both.rows(["a"])
    assert both.texts(rows) == ["Title. Text."]
    assert alone.texts(rows) == ["Text."]


@pytest.mark.parametrize("name", ["nfcorpus", "scifact"])
def test_equals_beirs_own_loader(data: Path, tmp_path: Path, cache: Path, name: str) -> None:
    from beir.datasets.data_loader import GenericDataLoader

    source = data / f"beir-{name}"
    plain = tmp_path / name
    shutil.copytree(source, plain, ignore=shutil.ignore_patterns("*.gz", "*.zip"))
    plain.chmod(0o755)
    packed = (source / "corpus.jsonl.gz").read_bytes()
    (plain / "corpus.jsonl").write_bytes(gzip.decompress(packed))
    corpus, queries, qrels = GenericDataLoader(str(plain)).load(split="test")
    collection = load(source, cache)
    assert collection.queries == queries
    assert collection.qrels == qrels
    rows = collection.rows(list(corpus))
    expected = [f"{d['title']} {d['text']}".strip() for d in corpus.values()]
    assert collection.texts(rows) == expected
    assert collection.documents == len(corpus)


BAD_LINES = [
    ("corpus.jsonl", '{"_id": "a", "text": }', "not valid JSON", 7),
    ("corpus.jsonl", '{"_id": "a", "n": ' + "1" * 5000 + "}", "not valid JSON", 7),
    ("corpus.jsonl", "[" * 200_000, "not valid JSON", 7),
    ("corpus.jsonl", '["a", "b"]', "a JSON list, not an object", 7),
    ("corpus.jsonl", '{"text": "no id"}', "'_id' is missing", 7),
    ("corpus.jsonl", '{"_id": "x"}', "'text' is missing", 7),
    ("corpus.jsonl", '{"_id": "x", "text": 3}', "'text' is not a text", 7),
    ("queries.jsonl", '{"_id": "q9", "text": }', "not valid JSON", 4),
    ("qrels/test.tsv", "q1\tcat", "columns", 8),
    ("qrels/test.tsv", "q1\tfox\tyes", "relevance", 8),
]


@pytest.mark.parametrize(("file", "line", "message", "number"), BAD_LINES)
def test_a_malformed_line_names_file_and_line(
    animals: Path, cache: Path, file: str, line: str, message: str, number: int
) -> None:
    with (animals / file).open("a") as out:
        out.write(line + "\n")
    with pytest.raises(DataError) as caught:
        load(animals, cache)
    assert message in str(caught.value)
    assert f"{animals / file}:{number}" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "line", "message", "places"),
    [
        ("corpus.jsonl", '{"_id": "cat", "text": "x"}', "Document id 'cat' stands twice", (1, 7)),
        ("queries.jsonl", '{"_id": "q1", "text": "x"}', "Query id 'q1' stands twice", (1, 4)),
        ("qrels/test.tsv", "q9\tcat\t1", "judged but not among the queries", (8,)),
        ("qrels/test.tsv", "q1\tcat\t0", "two different judgements", (8,)),
    ],
)
def test_contradictions_name_their_lines(
    animals: Path, cache: Path, file: str, line: str, message: str, places: tuple[int, ...]
) -> None:
    with (animals / file).open("a") as out:
        out.write(line + "\n")
    with pytest.raises(DataError) as caught:
        load(animals, cache)
    assert message in str(caught.value)
    for place in places:
        assert f"{file}:{place}" in str(caught.value)


@pytest.mark.parametrize("docid", ["a\tb", "a\nb", " a", "a "])
def test_an_id_that_no_run_could_hold_is_refused_before_any_work(
    tmp_path: Path, cache: Path, docid: str
) -> None:
    folder = write_beir(tmp_path / "d", {"ok": "x", docid: "y"}, QUERIES, QRELS)
    with pytest.raises(DataError, match="could not stand in a TREC run") as caught:
        load(folder, cache)
    assert "corpus.jsonl:2" in str(caught.value)


def test_an_empty_corpus_is_an_error(animals: Path, cache: Path) -> None:
    (animals / "corpus.jsonl").write_text("\n")
    with pytest.raises(DataError, match="The corpus is empty"):
        load(animals, cache)


def test_an_empty_judged_query_is_an_error(tmp_path: Path, cache: Path) -> None:
    folder = write_beir(tmp_path / "d", DOCUMENTS, {**QUERIES, "q2": "  "}, QRELS)
    with pytest.raises(DataError, match=r"Query 'q2' is judged, but its text is empty"):
        load(folder, cache)


def test_no_judgements_is_an_error(tmp_path: Path, cache: Path) -> None:
    folder = write_beir(tmp_path / "d", DOCUMENTS, QUERIES, {})
    with pytest.raises(DataError, match="no judgements"):
        load(folder, cache)


def test_a_missing_file_or_split_says_what_is_there(animals: Path) -> None:
    with pytest.raises(DataError, match="splits that are there: test"):
        open_folder(animals, "dev")
    (animals / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"no corpus\.jsonl \(nor corpus\.jsonl\.gz\)"):
        open_folder(animals, "test")


def test_a_lone_surrogate_becomes_a_question_mark(animals: Path, cache: Path) -> None:
    with (animals / "corpus.jsonl").open("a") as out:
        out.write('{"_id": "x", "text": "broken \\ud83d emoji"}\n')
    collection = load(animals, cache)
    assert collection.texts(collection.rows(["x"])) == ["broken ? emoji"]


def test_a_truncated_gz_is_an_error(animals: Path, cache: Path) -> None:
    packed = gzip.compress((animals / "corpus.jsonl").read_bytes())
    (animals / "corpus.jsonl").unlink()
    (animals / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        load(animals, cache)


def test_counts_that_differ_from_the_card_name_both_numbers(tasks_dir: Path, cache: Path) -> None:
    card_file = tasks_dir / "zoo.yaml"
    card_file.write_text(card_file.read_text().replace("documents: 6", "documents: 7"))
    suite = load_suite("zoo", tasks_dir)
    with pytest.raises(DataError, match="should have 7 documents, but 6 were read"):
        load_collection(suite, suite.tasks[0], cache=cache)


def test_data_dir_may_hold_task_or_suite_task(animals: Path, cache: Path) -> None:
    card = TaskCard(name="animals")
    suite = Suite(suite="zoo", title="t", tasks=(card,))
    assert load_collection(suite, card, cache=cache, data_dir=animals.parent).documents == 6
    animals.rename(animals.with_name("zoo-animals"))
    assert load_collection(suite, card, cache=cache, data_dir=animals.parent).documents == 6
    with pytest.raises(UsageError, match="--data-dir does not exist"):
        load_collection(suite, card, cache=cache, data_dir=animals / "nowhere")
    with pytest.raises(DataError, match="a folder animals or zoo-animals"):
        load_collection(suite, card, cache=cache, data_dir=cache)


FILES = ["meta.json", "queries.arrow", "corpus.json", "corpus.arrow", "rank.npy", "ids.offsets"]


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_cache_is_built_again(animals: Path, cache: Path, file: str) -> None:
    whole = load(animals, cache)
    [path] = [p for folder in (whole.folder, whole.corpus.folder) for p in folder.glob(file)]
    path.write_bytes(path.read_bytes()[:20])
    again = load(animals, cache)
    assert again.fingerprint == whole.fingerprint
    assert again.texts(again.rows(["cat"])) == [DOCUMENTS["cat"]]
    path.unlink()
    assert load(animals, cache).fingerprint == whole.fingerprint


def test_meta_is_json(animals: Path, cache: Path) -> None:
    collection = load(animals, cache)
    assert json.loads((collection.folder / "meta.json").read_text())["split"] == "test"
    assert json.loads((collection.corpus.folder / "corpus.json").read_text())["documents"] == 6


def test_splits_of_a_dataset_share_its_corpus(animals: Path, cache: Path) -> None:
    (animals / "qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tsun\t1\n")
    test = load(animals, cache)
    raw = open_folder(animals, "dev")
    dev = ingest(raw, join="title text", split="dev", cache=cache)
    assert dev.fingerprint != test.fingerprint
    assert dev.corpus.folder == test.corpus.folder
    joined_otherwise = ingest(raw, join="text", split="dev", cache=cache)
    assert joined_otherwise.corpus.folder != dev.corpus.folder
