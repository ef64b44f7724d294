"""The cross-encoder family on the architectures of released encoder rerankers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from jrv3_eval.checkpoint import open_checkpoint
from jrv3_eval.errors import UsageError
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.rerankers._loading import load_tokenizer
from jrv3_eval.rerankers._pairs import read_pairs
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.cross_encoder import CrossEncoder, family
from jrv3_eval.rerankers.settings import parse_settings
from models_encoders import ENCODERS, POSITIONS, WORDS

QUERY = "longest river"
DOCUMENTS = (
    "the river nile flows north",
    "a banana is a fruit",
    "",
    "def max ( key ) : return key",
    "the longest river in africa is the nile " * 9,
    "河は北へ流れる",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {name: write(root / name) for name, write in ENCODERS.items()}


def opened(folder: Path, **settings: str) -> CrossEncoder:
    reranker = family.open(str(folder), parse_settings(family, settings))
    assert isinstance(reranker, CrossEncoder)
    return reranker


def scores_of(folder: Path, query: str = QUERY, **settings: str) -> NDArray[np.float32]:
    [scores] = opened(folder, **settings).score([RankingRequest("q", query, DOCUMENTS)])
    return scores


def their_scores(folder: Path, query: str, length: int) -> NDArray[np.float32]:
    import torch
    from sentence_transformers import CrossEncoder as Theirs

    model = Theirs(str(folder), max_length=length, activation_fn=torch.nn.Identity(), device="cpu")
    return np.asarray(model.predict([(query, d) for d in DOCUMENTS], show_progress_bar=False))


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_contract(name: str, folders: Mapping[str, Path]) -> None:
    check_reranker(
        lambda: opened(folders[name]),
        pointwise=True,
        variants=[
            lambda: opened(folders[name], tokens_per_batch="1"),
            lambda: opened(folders[name], tokens_per_batch="300"),
        ],
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("query", [QUERY, "the longest river of africa " * 30, ""])
def test_scores_are_those_of_sentence_transformers(
    name: str, query: str, folders: Mapping[str, Path]
) -> None:
    for length in (POSITIONS, 40):
        ours = scores_of(folders[name], query, max_length=str(length))
        theirs = their_scores(folders[name], query, length)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        assert len(np.unique(ours)) > 2  # the documents are told apart


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_the_default_length_is_what_the_model_reads(name: str, folders: Mapping[str, Path]) -> None:
    assert opened(folders[name]).info.settings["max_length"] == POSITIONS
    long = RankingRequest("q", QUERY, (" ".join(WORDS * 30),))
    reranker = opened(folders[name])
    assert np.isfinite(reranker.score([long])[0]).all()
    assert reranker.usage([long])[0].tokens == POSITIONS


def test_a_length_beyond_the_positions_is_refused(folders: Mapping[str, Path]) -> None:
    for name in ("bge-reranker", "gte-reranker-modernbert"):  # XLM-R has 130 rows for 128 tokens
        with pytest.raises(UsageError, match=f"max_length=129 is more than the {POSITIONS}"):
            opened(folders[name], max_length="129")


def test_relative_positions_have_no_end(folders: Mapping[str, Path]) -> None:
    folder = folders["mxbai-rerank-v1"]
    query = "the longest river of africa " * 30
    ours = scores_of(folder, query, max_length="200")
    np.testing.assert_allclose(ours, their_scores(folder, query, 200), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layout", "types"),
    [
        ("bge-reranker", "<s> ▁the </s> </s> ▁nile </s>", None),
        ("gte-reranker-modernbert", "[CLS] Ġthe [SEP] Ġnile [SEP]", None),
        ("mxbai-rerank-v1", "[CLS] ▁the [SEP] ▁nile [SEP]", [0, 0, 0, 1, 1]),
    ],
)
def test_pair_layouts(
    name: str, layout: str, types: list[int] | None, folders: Mapping[str, Path]
) -> None:
    tokenizer = load_tokenizer(open_checkpoint(str(folders[name])))
    query, document = (" the", " nile") if "Ġ" in layout else ("the", "nile")
    request = RankingRequest("q", query, (document,))
    [pair] = read_pairs(tokenizer, [request], 64, "only_second").inputs
    tokens = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    assert " ".join(tokens) == layout
    assert pair.get("token_type_ids") == types


# --- bge: FlagEmbedding's truncation


def flag_embedding(raw: Any, query: str, passage: str, length: int) -> list[int]:
    """FlagEmbedding's encoder_only/base.py with the tokenizers library alone.

    The query has at most 3/4 of the length and the passage all of it, both without special
    tokens; of the pair only the passage is cut.
    """
    raw.no_padding()
    raw.enable_truncation(max_length=length * 3 // 4)
    first = raw.encode(query, add_special_tokens=False).ids
    raw.enable_truncation(max_length=length)
    second = raw.encode(passage, add_special_tokens=False).ids
    raw.no_truncation()
    surplus = len(first) + len(second) + 4 - length
    second = second[: len(second) - max(surplus, 0)]
    return [0, *first, 2, 2, *second, 2]


@pytest.fixture(scope="module")
def tokenizers(folders: Mapping[str, Path]) -> tuple[Any, Any]:
    """bge's tokenizer as it is loaded here, and the tokenizer.json by itself."""
    from tokenizers import Tokenizer

    folder = folders["bge-reranker"]
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return load_tokenizer(open_checkpoint(str(folder))), raw


texts = st.lists(st.sampled_from([*WORDS, "xyzzy", "北"]), max_size=70).map(" ".join)


@example(query="the " * 16, passage="", length=20)  # the pair fits, the query's share does not
@given(query=texts, passage=texts, length=st.integers(20, POSITIONS))
def test_only_second_is_flag_embeddings_truncation(
    tokenizers: tuple[Any, Any], query: str, passage: str, length: int
) -> None:
    loaded, raw = tokenizers
    request = RankingRequest("q", query, (passage,))
    [pair] = read_pairs(loaded, [request], length, "only_second").inputs
    assert pair["input_ids"] == flag_embedding(raw, query, passage, length)
    assert pair["attention_mask"] == [1] * len(pair["input_ids"])


@given(query=texts, passage=texts, length=st.integers(8, POSITIONS))
def test_longest_first_is_the_tokenizers_librarys(
    tokenizers: tuple[Any, Any], query: str, passage: str, length: int
) -> None:
    loaded, raw = tokenizers
    request = RankingRequest("q", query, (passage,))
    [pair] = read_pairs(loaded, [request], length, "longest_first").inputs
    raw.enable_truncation(max_length=length, strategy="longest_first")
    assert pair["input_ids"] == raw.encode(query, passage).ids
    raw.no_truncation()


# --- no activation


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_saturated_sigmoid_ties_nothing(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = ENCODERS[name](tmp_path / name)
    before = scores_of(folder)
    tensors = load_file(folder / "model.safetensors")
    bias = next(n for n in ("classifier.out_proj.bias", "classifier.bias") if n in tensors)
    tensors[bias] = tensors[bias] + 40  # as sure of every document as a float32 can say
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    logits = scores_of(folder)
    sigmoids = 1 / (1 + np.exp(-logits))
    assert sigmoids.dtype == np.float32
    assert set(sigmoids.tolist()) == {1.0}
    assert len(np.unique(logits)) == len(DOCUMENTS)
    np.testing.assert_array_equal(np.argsort(logits), np.argsort(before))
    half = scores_of(folder, dtype="bfloat16")  # the head stays exact: else three values
    assert half.dtype == np.float32
    assert half.min() > 30
    assert len(np.unique(half)) == len(DOCUMENTS)


@pytest.mark.parametrize("name", ["bge-reranker", "mxbai-rerank-v1"])
def test_the_tokenizer_file_keeps_its_normalizer(
    name: str, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    """transformers 5 drops it for these, and full-width letters become unknown tokens."""
    from tokenizers import Tokenizer
    from tokenizers.normalizers import NFKC
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(folders[name], tmp_path / name))
    written = Tokenizer.from_file(str(folder / "tokenizer.json"))
    written.normalizer = NFKC()
    written.save(str(folder / "tokenizer.json"))
    text = "ｒｉｖｅｒ ①"
    ours = load_tokenizer(open_checkpoint(str(folder)))(text)["input_ids"]
    assert ours == written.encode(text).ids == written.encode("river 1").ids
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != ours
