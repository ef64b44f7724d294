"""Sources: every layout of the same data gives the same collection; bad data gives an error."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import DOCUMENTS, QRELS, QUERIES, write_beir
from jrv3_eval.cards import BeirSource, PySource, Suite, TaskCard, load_suite
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import DataError, Jrv3EvalError, UsageError
from jrv3_eval.sources import load_collection
from jrv3_eval.sources.beir import open_beir
from jrv3_eval.sources.folder import open_folder
from jrv3_eval.sources.pysource import open_pysource


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
    assert collection.empty_documents == 1


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


# --- official zips, served over loopback ------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    root = tmp_path / "served"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield root, f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def zip_of(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(folder.rglob("*")):
            out.write(file, file.relative_to(folder.parent))
    return path


def test_a_zip_equals_its_folder(animals: Path, cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    archive = zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5=md5(archive))
    raw = open_beir(source, "test", cache)
    zipped = ingest(raw, join="title text", split="test", cache=cache)
    assert zipped.fingerprint == load(animals, cache).fingerprint
    archive.unlink()  # a second load does not ask the network
    assert open_beir(source, "test", cache).revision == f"md5:{source.md5}"


def test_the_real_nfcorpus_zip_equals_the_folder(
    data: Path, cache: Path, server: tuple[Path, str]
) -> None:
    root, address = server
    shutil.copy(data / "beir-nfcorpus/nfcorpus.zip", root)
    suite = load_suite("beir")
    card = next(card for card in suite.tasks if card.name == "nfcorpus")
    published = card.sources[0]
    assert isinstance(published, BeirSource)
    local = published.model_copy(update={"url": f"{address}/nfcorpus.zip"})
    loopback = card.model_copy(update={"sources": (local,)})
    downloaded = load_collection(suite, loopback, cache=cache)
    assert downloaded.fingerprint == load(data / "beir-nfcorpus", cache).fingerprint


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(
    animals: Path, cache: Path, server: tuple[Path, str]
) -> None:
    root, address = server
    zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5="0" * 32)
    with pytest.raises(DataError, match=r"has md5 .* but the card says 0000"):
        open_beir(source, "test", cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt"])
def test_a_zip_that_would_escape_is_refused(
    cache: Path, server: tuple[Path, str], name: str
) -> None:
    root, address = server
    with zipfile.ZipFile(root / "evil.zip", "w") as out:
        out.writestr(name, "x")
    source = BeirSource(kind="beir", url=f"{address}/evil.zip", md5=md5(root / "evil.zip"))
    with pytest.raises(DataError, match="would write outside its folder"):
        open_beir(source, "test", cache)
    assert not list(cache.rglob("evil.txt"))


def test_a_zip_with_a_link_is_refused(cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    link = zipfile.ZipInfo("corpus.jsonl")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(root / "link.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
    source = BeirSource(kind="beir", url=f"{address}/link.zip", md5=md5(root / "link.zip"))
    with pytest.raises(DataError, match="would write outside"):
        open_beir(source, "test", cache)


def test_a_file_that_is_no_zip(cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    (root / "no.zip").write_text("not a zip")
    source = BeirSource(kind="beir", url=f"{address}/no.zip", md5=md5(root / "no.zip"))
    with pytest.raises(DataError, match="not a zip"):
        open_beir(source, "test", cache)


def test_a_failed_download_names_the_address(
    cache: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BeirSource(kind="beir", url=f"{server[1]}/absent.zip", md5="0" * 32)
    with pytest.raises(DataError, match=r"absent\.zip"):
        open_beir(source, "test", cache)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids the download"):
        open_beir(source, "test", cache)


def test_a_failed_source_names_the_local_copies(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = BeirSource(kind="beir", url="http://127.0.0.1/absent.zip", md5="0" * 32)
    card = TaskCard(name="animals", sources=(source,))
    suite = Suite(suite="zoo", title="t", tasks=(card,))
    with pytest.raises(DataError, match="HF_HUB_OFFLINE") as caught:
        load_collection(suite, card, cache=cache, data_dir=tmp_path)
    message = str(caught.value)
    assert "absent.zip" in message
    assert str(tmp_path / "animals") in message
    assert str(tmp_path / "zoo-animals") in message
    assert "--data-dir" not in message


def test_two_runs_may_extract_at_once(
    animals: Path, cache: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, address = server
    archive = zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5=md5(archive))
    extract, runs = zipfile.ZipFile.extractall, []

    def while_another_runs(self: zipfile.ZipFile, path: Path) -> None:
        runs.append(path)
        if len(runs) == 1:  # the other run begins and ends in the middle of this one
            (path / "half").write_text("")
            open_beir(source, "test", cache)
            assert (path / "half").exists()
        extract(self, path)

    monkeypatch.setattr(zipfile.ZipFile, "extractall", while_another_runs)
    open_beir(source, "test", cache)
    assert len(runs) == 2
    home = cache / "downloads" / source.md5
    assert sorted(path.name for path in home.iterdir()) == ["animals.zip", "extracted"]
    assert not list(home.rglob("half"))
    umask = os.umask(0)
    os.umask(umask)
    assert (home / "extracted").stat().st_mode & 0o777 == 0o777 & ~umask


# --- docstring to function --------------------------------------------------------------------

SOURCE = '''
def documented(path):
    """Read a file and return its lines.

    A second paragraph, which is no part of the query.
    """
    with open(path) as stream:
        return stream.readlines()


class Thing:
    """A class docstring is no query."""

    @property
    def value(self):
        """Say the value of this thing."""
        if self._value is None:
            self._value = 1
        return self._value

    @value.setter
    def value(self, new):
        self._value = new
        self._changed = True

    def twin_one(self):
        """The same words in two places."""
        a = 1
        return a

    def twin_two(self):
        """The same words in two places."""
        b = 2
        return b

    def short(self):
        """Too few words."""
        x = 1
        return x


def outer():
    def inner():
        """A docstring inside is not in the document either."""
        return 1
    return inner


def tiny(): return 1


def one_line(x): "Docstring on the same line."; return [
    x,
    x]
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "site" / "little_package"
    (folder / "tests").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "code.py").write_text(SOURCE)
    (folder / "broken.py").write_text("def (:\n")
    (folder / "tests" / "test_code.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(folder.parent))
    return "little_package"


def pysource(package: str, cache: Path) -> Collection:
    raw = open_pysource(PySource(kind="pysource", package=package, queries=10))
    return ingest(raw, join="text", split="test", cache=cache)


def test_functions_become_documents_and_docstrings_queries(package: str, cache: Path) -> None:
    collection = pysource(package, cache)
    assert set(collection.docids.to_pylist()) == {
        "code:documented",
        "code:Thing.value",
        "code:Thing.value#2",
        "code:Thing.twin_one",
        "code:Thing.twin_two",
        "code:Thing.short",
        "code:outer",
        "code:one_line",
    }
    assert collection.queries == {
        "q:code:documented": "Read a file and return its lines.",
        "q:code:Thing.value": "Say the value of this thing.",
        "q:code:one_line": "Docstring on the same line.",
    }
    assert collection.qrels["q:code:documented"] == {"code:documented": 1}


def test_no_document_holds_a_docstring(package: str, cache: Path) -> None:
    collection = pysource(package, cache)
    docids = collection.docids.to_pylist()
    texts = dict(zip(docids, collection.texts(collection.rows(docids)), strict=True))
    assert texts["code:documented"] == (
        "def documented(path):\n    with open(path) as stream:\n        return stream.readlines()"
    )
    assert texts["code:Thing.value"].startswith("@property\ndef value(self):\n    if")
    assert "docstring" not in texts["code:outer"]
    assert texts["code:one_line"].startswith("def one_line(x): return [")


def test_a_form_feed_ends_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (tmp_path / "feeds.py").write_text(
        'A = "\x0b \x85 \u2028"\n\x0c\n'
        'def f(a):\n    """Say what this function does."""\n    b = "\x0c"\n    return b\n'
        '\n\ndef two(a):\n    return "\x0c"\n',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    collection = pysource("feeds", cache)
    assert collection.docids.to_pylist() == ["feeds:f"]
    [text] = collection.texts(collection.rows(["feeds:f"]))
    assert text == 'def f(a):\n    b = "\x0c"\n    return b'


@pytest.mark.parametrize("name", ["__main__", "", "a\0b"])
def test_a_name_that_cannot_be_a_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("__main__.__spec__", None)  # as under the console script
    with pytest.raises(UsageError, match="No Python package"):
        open_pysource(PySource(kind="pysource", package=name))


def test_a_part_of_a_package_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'email\.mime' is not a top-level[\s\S]*package: email"):
        open_pysource(PySource(kind="pysource", package="email.mime"))


def test_an_absent_package_is_an_error() -> None:
    with pytest.raises(UsageError, match="No Python package 'no_such_package'"):
        open_pysource(PySource(kind="pysource", package="no_such_package"))


def test_a_package_without_docstrings_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (tmp_path / "bare_module.py").write_text("def f(a):\n    b = a\n    return b\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Jrv3EvalError, match="no function with a docstring"):
        pysource("bare_module", cache)


def test_an_installed_package_serves(cache: Path) -> None:
    collection = pysource("yaml", cache)
    assert collection.documents > 100
    assert collection.revision is not None
    assert collection.revision.lower().startswith("pyyaml")


@pytest.mark.parametrize("file", ["meta.json", "corpus.arrow", "queries.arrow", "rank.npy"])
def test_a_damaged_cache_is_built_again(animals: Path, cache: Path, file: str) -> None:
    whole = load(animals, cache)
    path = whole.folder / file
    path.write_bytes(path.read_bytes()[:20])
    again = load(animals, cache)
    assert again.fingerprint == whole.fingerprint
    assert again.texts(again.rows(["cat"])) == [DOCUMENTS["cat"]]
    path.unlink()
    assert load(animals, cache).fingerprint == whole.fingerprint


def test_meta_is_json(animals: Path, cache: Path) -> None:
    collection = load(animals, cache)
    assert json.loads((collection.folder / "meta.json").read_text())["documents"] == 6
