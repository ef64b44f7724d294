"""BM25 in shards on disk: the scores and lists of bm25s in one piece, bit for bit."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import bm25s
import numpy as np
import pytest
from bm25s.tokenization import Tokenized
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import write_beir
from jrv3_eval.candidates import CandidateSet
from jrv3_eval.cards import TaskCard, load_suite
from jrv3_eval.collection import Collection, Corpus, ingest
from jrv3_eval.first_stage import bm25
from jrv3_eval.first_stage.analysis import analysis_for
from jrv3_eval.first_stage.bm25 import BM25
from jrv3_eval.first_stage.bm25_index import open_index
from jrv3_eval.sources import load_collection
from jrv3_eval.sources.folder import open_folder

CARD = TaskCard(name="t", language="sw")  # words as they stand


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


def retrieve(
    collection: Collection, card: TaskCard, depth: int, shard_tokens: int, stage: BM25 | None = None
) -> CandidateSet:
    """A new index with shards of this size."""
    for built in collection.corpus.folder.glob("bm25-*"):
        shutil.rmtree(built)
    small = partial(open_index, shard_tokens=shard_tokens)
    with mock.patch.object(bm25, "open_index", small):
        return (stage or BM25()).retrieve(collection, card, depth)


def in_one_piece(
    collection: Collection, card: TaskCard, stage: BM25 | None = None
) -> list[NDArray[np.float32]]:
    """bm25s' own scores of every document, by query."""
    stage = stage or BM25()
    terms = analysis_for(card).terms
    vocabulary: dict[str, int] = {}
    ids = [
        [vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)]
        for texts in collection.iter_texts()
        for text in texts
    ]
    index = bm25s.BM25(method="lucene", k1=stage.k1, b=stage.b)
    if vocabulary:
        index.index(Tokenized(ids=ids, vocab=dict(vocabulary)), show_progress=False)
    scores = []
    for text in collection.queries.values():
        wanted = [vocabulary[term] for term in terms(text) if term in vocabulary]
        none = np.zeros(collection.documents, np.float32)
        scores.append(index.get_scores_from_ids(wanted).astype(np.float32) if wanted else none)
    return scores


def expected(collection: Collection, scores: NDArray[np.float32], depth: int) -> Any:
    pairs = zip(scores.tolist(), collection.docids.to_pylist(), strict=True)
    return sorted(((s, d) for s, d in pairs if s > 0), reverse=True)[:depth]


WORDS = st.lists(st.sampled_from(["ndege", "paka", "mbwa", "samaki", "nyoka", "--"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(WORDS, min_size=1, max_size=12),
    query=WORDS.filter(any),
    shard_tokens=st.sampled_from([1, 3, 7, 1000]),
    depth=st.integers(1, 6),
    options=st.sampled_from([BM25(), BM25(0.9, 0.4), BM25(0.0, 1.0)]),
)
def test_any_shards_give_the_lists_of_bm25s_in_one_piece(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[str]],
    query: list[str],
    shard_tokens: int,
    depth: int,
    options: BM25,
) -> None:
    home = tmp_path_factory.mktemp("shards")
    corpus = {f"d{i}": " ".join(words) for i, words in enumerate(documents)}
    write_beir(home / "data", corpus, {"q": " ".join(query)}, {"q": {"d0": 1}})
    collection = load(home / "data", home / "cache")
    docids, scores = retrieve(collection, CARD, depth, shard_tokens, options).of(0)
    [whole] = in_one_piece(collection, CARD, options)
    assert list(zip(scores.tolist(), docids, strict=True)) == expected(collection, whole, depth)


def test_a_corpus_without_a_word(tmp_path: Path, cache: Path) -> None:
    write_beir(tmp_path / "d", {"a": "", "b": "."}, {"q": "ndege"}, {"q": {"a": 1}})
    assert retrieve(load(tmp_path / "d", cache), CARD, 5, 10).of(0)[0] == []


def test_nfcorpus_in_many_shards_is_bm25s_in_one_piece(data: Path, cache: Path) -> None:
    suite = load_suite("beir")
    [card] = [card for card in suite.tasks if card.name == "nfcorpus"]
    collection = load_collection(suite, card, cache=cache, data_dir=data)
    candidates = retrieve(collection, card, 100, shard_tokens=40_000)
    [index] = collection.corpus.folder.glob("bm25-*")
    assert len(list(index.glob("*.scores.npy"))) > 10
    whole = in_one_piece(collection, card)
    for number, scores in enumerate(whole):
        docids, found = candidates.of(number)
        assert list(zip(found.tolist(), docids, strict=True)) == expected(collection, scores, 100)


def test_an_index_is_built_once_and_can_be_deleted(
    animals: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = load(animals, cache)
    card = TaskCard(name="animals")
    first = BM25().retrieve(collection, card, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "iter_texts", lambda self: pytest.fail("read again"))
        assert BM25().retrieve(collection, card, 5).cut(3).hash == first.hash
    [index] = collection.corpus.folder.glob("bm25-*")
    shutil.rmtree(index)
    assert BM25().retrieve(collection, card, 3).hash == first.hash


@pytest.mark.parametrize("damage", ["shards.json", "0.scores.npy", "vocabulary.arrow"])
@pytest.mark.parametrize("deleted", [False, True])
def test_an_index_that_is_not_whole_is_built_again(
    animals: Path, cache: Path, damage: str, deleted: bool
) -> None:
    collection = load(animals, cache)
    card = TaskCard(name="animals")
    first = BM25().retrieve(collection, card, 3)
    [index] = collection.corpus.folder.glob("bm25-*")
    file = index / damage
    content = file.read_bytes()
    file.unlink()
    if not deleted:
        file.write_bytes(content[: len(content) // 2])
    assert BM25().retrieve(collection, card, 3).hash == first.hash
    assert file.read_bytes() == content


def test_other_versions_are_another_index(
    animals: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = load(animals, cache)
    BM25().retrieve(collection, TaskCard(name="animals"), 3)
    monkeypatch.setattr(bm25, "version", lambda name: f"another {name}")
    BM25().retrieve(collection, TaskCard(name="animals"), 3)
    assert len(list(collection.corpus.folder.glob("bm25-*"))) == 2


def test_an_interrupted_build_leaves_nothing(
    animals: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = load(animals, cache)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "iter_texts", interrupt)
        with pytest.raises(KeyboardInterrupt):
            BM25().retrieve(collection, TaskCard(name="animals"), 3)
    assert not [path for path in collection.corpus.folder.iterdir() if ".building" in path.name]
    assert not list(collection.corpus.folder.glob("bm25-*"))
