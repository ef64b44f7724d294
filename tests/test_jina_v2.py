"""Family jina-v2: the fused checkpoint, and long documents in pieces as `rerank()` reads them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from jrv3_eval.checkpoint import open_checkpoint
from jrv3_eval.errors import CheckpointError, UsageError
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.cross_encoder import family as cross_encoder
from jrv3_eval.rerankers.jina_v2 import JinaV2, family
from jrv3_eval.rerankers.jina_v2.reading import Limits, read_pieces, spans
from jrv3_eval.rerankers.settings import parse_settings
from models import write_json
from models_encoders import POSITIONS, WORDS, write_jina_v2, write_xlmr

QUERY = "longest river"
LONG = "the longest river in africa is the nile which flows north " * 14
DOCUMENTS = ("the river nile flows north", "a banana", "", LONG, "河は北へ流れる " * 60, "x" * 90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jina_v2(tmp_path_factory.mktemp("jina-v2") / "released")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.fixture(scope="module")
def raw(folder: Path) -> Any:
    """The tokenizer.json by itself, in the tokenizers library."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    from jrv3_eval.rerankers._loading import load_tokenizer

    return load_tokenizer(open_checkpoint(str(folder), allow_auto_map=True))


def opened(folder: Path, **settings: str) -> JinaV2:
    reranker = family.open(str(folder), parse_settings(family, settings))
    assert isinstance(reranker, JinaV2)
    return reranker


def scores_of(folder: Path, **settings: str) -> NDArray[np.float32]:
    [scores] = opened(folder, **settings).score([RankingRequest("q", QUERY, DOCUMENTS)])
    return scores


def test_half_precision_ties_nothing(folder: Path) -> None:
    """The head stays in float32: one in bfloat16 has 38 values for such a list."""
    documents = tuple(f"the river {a} {b}" for a in WORDS[:10] for b in WORDS[:10])
    [scores] = opened(folder, dtype="bfloat16").score([RankingRequest("q", QUERY, documents)])
    assert len(np.unique(scores)) > 0.95 * len(set(documents))


@pytest.mark.parametrize("mode", ["chunk", "truncate"])
def test_contract(mode: str, folder: Path) -> None:
    def reranker(**more: str) -> JinaV2:
        return opened(folder, long_documents=mode, **more)

    check_reranker(
        reranker,
        pointwise=True,
        variants=[lambda: reranker(tokens_per_batch="1"), lambda: reranker(tokens_per_batch="500")],
    )


# --- the model


def straight_logit(folder: Path, ids: list[int]) -> float:
    """The released forward pass on the fused tensors, for one sequence without padding.

    Post-norm blocks, exact GELU, softmax attention scaled by the root of the head's width,
    positions counted from padding index + 1.
    """
    import torch
    from safetensors.torch import load_file
    from torch.nn.functional import gelu, layer_norm

    t = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    width, heads = config["hidden_size"], config["num_attention_heads"]

    def linear(name: str, x: Any) -> Any:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        return layer_norm(x, (width,), t[f"{name}.weight"], t[f"{name}.bias"], 1e-5)

    positions = torch.arange(len(ids)) + config["pad_token_id"] + 1
    x = t["roberta.embeddings.word_embeddings.weight"][torch.tensor(ids)]
    x = x + t["roberta.embeddings.position_embeddings.weight"][positions]
    if config["type_vocab_size"]:
        x = x + t["roberta.embeddings.token_type_embeddings.weight"][0]
    x = norm("roberta.emb_ln", x)
    for i in range(config["num_hidden_layers"]):
        layer = f"roberta.encoder.layers.{i}"
        fused = linear(f"{layer}.mixer.Wqkv", x).view(len(ids), 3, heads, width // heads)
        q, k, v = fused.permute(1, 2, 0, 3)  # each [heads, tokens, width of a head]
        weights = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5).softmax(-1)
        mixed = (weights @ v).transpose(0, 1).reshape(len(ids), width)
        x = norm(f"{layer}.norm1", x + linear(f"{layer}.mixer.out_proj", mixed))
        inner = linear(f"{layer}.mlp.fc2", gelu(linear(f"{layer}.mlp.fc1", x)))
        x = norm(f"{layer}.norm2", x + inner)
    pooled = torch.tanh(linear("classifier.dense", x[0]))
    return float(linear("classifier.out_proj", pooled))


@pytest.mark.parametrize("token_types", [1, 0])
def test_truncate_is_compute_score(token_types: int, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = write_jina_v2(tmp_path, type_vocab_size=token_types)
    if not token_types:
        edit_tensors(folder, **{"roberta.embeddings.token_type_embeddings.weight": None})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=POSITIONS, strategy="longest_first")
    pairs = [tokenizer.encode(QUERY, document).ids for document in DOCUMENTS]
    assert max(map(len, pairs)) == POSITIONS
    ours = scores_of(folder, long_documents="truncate")
    straight = [straight_logit(folder, ids) for ids in pairs]
    np.testing.assert_allclose(ours, straight, rtol=1e-5, atol=1e-5)
    assert len(np.unique(ours)) == len(DOCUMENTS)


# --- the pieces


def released_pieces(document: list[int], room: int, overlap: int) -> list[list[int]]:
    """reranker_tokenize_preproc's walk over one document, as its description tells it."""
    if len(document) <= room:
        return [document]
    shared = min(overlap, room // 4)
    found = []
    start = 0
    while start < len(document):
        end = start + room
        if end >= len(document):  # the last piece is as long as the others
            found.append(document[-room:])
            start = end
        else:
            found.append(document[start:end])
            start = end - shared
    return found


@given(length=st.integers(0, 3000), room=st.integers(1, 700), overlap=st.integers(0, 200))
def test_pieces_are_the_released_ones(length: int, room: int, overlap: int) -> None:
    document = list(range(length))
    found = [document[start:end] for start, end in spans(length, room, overlap)]
    assert found == released_pieces(document, room, overlap)
    assert {token for piece in found for token in piece} == {*document}  # none is lost
    assert max(map(len, found)) <= room


def released_inputs(raw: Any, query: str, document: str, limits: Limits) -> list[list[int]]:
    raw.enable_truncation(max_length=limits.query)
    head = raw.encode(query).ids  # <s> query </s>
    raw.no_truncation()
    tokens = raw.encode(document, add_special_tokens=False).ids
    room = limits.piece - len(head) - 2
    return [[*head, 2, *piece, 2] for piece in released_pieces(tokens, room, limits.overlap)]


texts = st.lists(st.sampled_from([*WORDS, "xyzzy", "北"]), max_size=150).map(" ".join)


@given(query=texts, document=texts, half=st.integers(4, 64), overlap=st.integers(0, 90))
def test_a_piece_reads_like_a_pair(
    raw: Any, loaded: Any, query: str, document: str, half: int, overlap: int
) -> None:
    limits = Limits(piece=2 * half, query=half, overlap=overlap)
    pieces = read_pieces(loaded, [RankingRequest("q", query, (document,))], limits)
    assert [p["input_ids"] for p in pieces.inputs] == released_inputs(raw, query, document, limits)
    if len(pieces.inputs) == 1:  # the layout of an ordinary pair, unless the query was cut
        raw.no_truncation()
        whole = raw.encode(query, document).ids
        assert pieces.usage[0].truncated_query or pieces.inputs[0]["input_ids"] == whole
    assert pieces.usage[0].tokens == sum(len(p["input_ids"]) for p in pieces.inputs)


def test_a_document_scores_as_its_best_piece(folder: Path, raw: Any) -> None:
    limits = Limits(piece=POSITIONS, query=POSITIONS // 2, overlap=80)
    expected = []
    for document in DOCUMENTS:
        pieces = released_inputs(raw, QUERY, document, limits)
        best = 0.0  # of sigmoids, as released
        for ids in pieces:
            best = max(best, float(1 / (1 + np.exp(-straight_logit(folder, ids)))))
        expected.append(best)
    assert len(released_inputs(raw, QUERY, LONG, limits)) > 1
    ours = scores_of(folder)
    np.testing.assert_allclose(1 / (1 + np.exp(-ours)), expected, rtol=1e-5, atol=1e-6)


def test_the_first_piece_is_the_truncated_pair(folder: Path) -> None:
    late = ("a banana is a fruit " * 30 + "potassium " * 40, "max key " * 90 + "nile river " * 60)
    request = RankingRequest("q", QUERY, (*DOCUMENTS, *late))
    [chunk] = opened(folder).score([request])
    [truncate] = opened(folder, long_documents="truncate").score([request])
    short = [i for i, d in enumerate(request.documents) if len(d) < 50]
    np.testing.assert_allclose(chunk[short], truncate[short], rtol=1e-5, atol=1e-5)
    assert (chunk > truncate - 1e-5).all()
    assert (chunk > truncate + 1e-2).any()  # a later piece was better


def test_repeated_documents_and_lists_share_pieces(folder: Path) -> None:
    work = [
        RankingRequest("1", QUERY, (LONG, "a banana", LONG, "")),
        RankingRequest("2", QUERY, ()),
        RankingRequest("3", "fruit", ("a banana", LONG)),
    ]
    reranker = opened(folder)
    first, empty, last = reranker.score(work)
    assert first[0] == first[2]
    assert empty.shape == (0,)
    assert last.shape == (2,)
    usage = reranker.usage(work)
    assert [u.truncated_documents for u in usage] == [0, 0, 0]  # chunking reads all of it
    [cut] = opened(folder, long_documents="truncate").usage(work[:1])
    assert cut.truncated_documents == 2
    [long_query] = opened(folder).usage([RankingRequest("q", LONG, ("a banana",))])
    assert long_query.truncated_query
    assert long_query.tokens == POSITIONS // 2 + 2 + 2  # the cut query, `a banana`, two </s>


# --- which checkpoints, which settings


FLASH: Mapping[str, Any] = {
    "architectures": ["XLMRobertaForSequenceClassification"],
    "auto_map": {
        "AutoModelForSequenceClassification": "jinaai/jina-reranker-v2-base-multilingual--"
        "modeling_xlm_roberta.XLMRobertaForSequenceClassification"
    },
}


@pytest.mark.parametrize(
    ("config", "ours"),
    [
        (FLASH, True),
        ({**FLASH, "auto_map": None, "use_flash_attn": False}, True),  # auto_map was removed
        ({**FLASH, "auto_map": {}}, False),  # bge-reranker-v2-m3
        ({**FLASH, "auto_map": {"AutoModel": "modeling.X"}}, False),
        ({**FLASH, "architectures": ["XLMRobertaModel"]}, False),  # jina-embeddings-v3
        ({}, False),
    ],
)
def test_the_flash_implementation_is_told_apart(config: Mapping[str, Any], ours: bool) -> None:
    assert family.recognises(config, frozenset()) is ours
    plain = config.get("architectures") == ["XLMRobertaForSequenceClassification"] and not ours
    assert cross_encoder.recognises(config, frozenset()) is plain


def test_code_in_the_checkpoint_is_not_run(copied: Path) -> None:
    before = scores_of(copied)
    for name in ("modeling_xlm_roberta.py", "configuration_xlm_roberta.py"):
        (copied / name).write_text("raise SystemExit('remote code was run')")
    np.testing.assert_array_equal(scores_of(copied), before)


def test_opening_imports_no_model_library(folder: Path) -> None:
    code = (
        "import sys; from jrv3_eval.rerankers.jina_v2 import family\n"
        f"family.open({str(folder)!r}, family.settings(device='cpu'))\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings(folder: Path, tmp_path: Path) -> None:
    released = write_jina_v2(tmp_path / "full", positions=1024)
    settings = opened(released).info.settings
    expected = {"long_documents": "chunk", "max_length": 1024, "max_query_length": 512}
    assert {**settings, **expected, "overlap_tokens": 80} == settings
    small = opened(folder).info.settings
    assert (small["max_length"], small["max_query_length"]) == (POSITIONS, POSITIONS // 2)
    changes = ({"long_documents": "truncate"}, {"max_length": "64"}, {"overlap_tokens": "8"})
    changed = {opened(folder, **change).info.fingerprint for change in changes}
    assert len(changed | {opened(folder).info.fingerprint}) == 4
    with pytest.raises(UsageError, match=f"max_length=129 is more than the {POSITIONS} positions"):
        opened(folder, max_length="129")
    with pytest.raises(UsageError, match="max_query_length=65 is more than half of max_length"):
        opened(folder, max_query_length="65")
    opened(folder, max_query_length="65", long_documents="truncate")  # has no such limit
    with pytest.raises(UsageError, match="long_documents"):
        opened(folder, long_documents="sum")


def edit_tensors(folder: Path, **changes: Any) -> None:
    """Replace tensors of a checkpoint; None removes one."""
    from safetensors.torch import load_file, save_file

    tensors = {**load_file(folder / "model.safetensors"), **changes}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("classifier.out_proj.bias", None, "lacks classifier.out_proj.bias"),
        ("roberta.encoder.layers.1.mixer.Wqkv.weight", None, "lacks roberta.encoder.layers.1.mix"),
        ("roberta.encoder.layers.2.norm1.weight", (32,), "unexpected roberta.encoder.layers.2"),
        ("lora_A", (4, 4), "unexpected lora_A"),
        ("roberta.emb_ln.bias", (31,), r"wrongly shaped roberta.emb_ln.bias \(31,\), not \(32,\)"),
        ("roberta.encoder.layers.0.mixer.Wqkv.weight", (32, 32), r"\(32, 32\), not \(96, 32\)"),
    ],
)
def test_every_tensor_is_accounted_for(
    copied: Path, name: str, shape: tuple[int, ...] | None, message: str
) -> None:
    import torch

    edit_tensors(copied, **{name: torch.zeros(shape) if shape else None})
    with pytest.raises(CheckpointError, match=message):
        opened(copied).load()


def test_tensors_that_nobody_reads_are_ignored(copied: Path) -> None:
    import torch

    before = scores_of(copied)
    edit_tensors(
        copied,
        **{
            "roberta.embeddings.position_ids": torch.arange(130)[None],
            "roberta.pooler.dense.weight": torch.ones(32, 32),
            "roberta.pooler.dense.bias": torch.ones(32),
        },
    )
    np.testing.assert_array_equal(scores_of(copied), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "2 labels; a reranker has one"),
        ({"lora_adaptations": ["retrieval"]}, "lora_adaptations"),
        ({"position_embedding_type": "rotary"}, "positions that are not absolute"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"vocab_size": None}, "should state vocab_size"),
        ({"hidden_size": True}, "should state hidden_size"),
        ({"layer_norm_eps": None}, "should state layer_norm_eps"),
    ],
)
def test_configs_that_mean_something_else(
    copied: Path, change: Mapping[str, Any], message: str
) -> None:
    config = json.loads((copied / "config.json").read_text())
    write_json(copied / "config.json", {**config, **change})
    with pytest.raises(CheckpointError, match=message):
        opened(copied)


def test_a_plain_xlmr_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no jina-reranker-v2") as caught:
        opened(write_xlmr(tmp_path))
    assert "cross-encoder:TARGET" in str(caught.value.next_step)
