"""Docstring to function: what becomes a query, what a document, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from jrv3_eval.cards import PySource
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import Jrv3EvalError, UsageError
from jrv3_eval.sources.pysource import open_pysource

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
