"""Every registered family keeps the contract; what only the families themselves do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from checkpoints import ELSEWHERE, FAMILIES, FORCED
from jrv3_eval.errors import CheckpointError, UsageError
from jrv3_eval.rerankers import (
    CountsTokens,
    PlansAhead,
    RankingRequest,
    Reranker,
    families,
    open_reranker,
)
from jrv3_eval.rerankers._pairs import shares
from jrv3_eval.rerankers._pointwise import batches
from jrv3_eval.rerankers.contract import check_reranker
from models import write_bert, write_bi_encoder, write_cross_encoder, write_json

QUERY = "longest river"
DOCUMENTS = (
    "the river nile flows north",
    "a banana is a fruit",
    "",
    "def max ( key ) : return key",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write(root / name) for name, (write, _) in FAMILIES.items()}


@pytest.fixture
def cross(folders: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["cross-encoder"], tmp_path / "cross"))


def ask(*documents: str, qid: str = "q", query: str = QUERY) -> RankingRequest:
    return RankingRequest(qid, query, documents)


def test_every_family_has_its_contract_tested() -> None:
    assert set(families()) == set(FAMILIES) | set(ELSEWHERE)
    for file in ELSEWHERE.values():
        assert "check_reranker(" in Path(__file__).with_name(file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_contract(name: str, folders: Mapping[str, Path]) -> None:
    spec = f"{name}:{folders[name]}"
    check_reranker(
        lambda: open_reranker(spec),
        pointwise=not families()[name].listwise,
        variants=[lambda s=s: open_reranker(spec, s) for s in FAMILIES[name][1]],  # type: ignore[misc]
    )


class Broken:
    """Wraps a reranker and spoils its scores, to see that the contract notices."""

    def __init__(self, good: Reranker, spoil: Any) -> None:
        self.good, self.spoil, self.info = good, spoil, good.info

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        return [self.spoil(s, r) for s, r in zip(self.good.score(requests), requests, strict=True)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s, r: np.sort(s)[::-1],  # a sorted list, as jina-reranker-v3's rerank() returns
        lambda s, r: s.astype(np.float64),
        lambda s, r: s[:1],
        lambda s, r: np.where(np.asarray(r.documents) == "", np.nan, s).astype(np.float32),
        lambda s, r: s + np.arange(len(s), dtype=np.float32),
        lambda s, r: np.zeros_like(s),
    ],
)
def test_the_contract_notices(folders: Mapping[str, Path], spoil: Any) -> None:
    good = open_reranker(str(folders["bi-encoder"]))
    with pytest.raises(AssertionError):
        check_reranker(lambda: Broken(good, spoil), pointwise=True, long=100)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_info_is_known_before_loading(name: str, folders: Mapping[str, Path]) -> None:
    family = families()[name]
    spec = f"{name}:{folders[name]}" if name in FORCED else str(folders[name])
    reranker = open_reranker(spec)  # else detected from the checkpoint
    info = reranker.info
    assert (info.family, info.listwise, info.revision) == (name, family.listwise, None)
    assert {"torch", "transformers", "tokenizers", "device"} <= set(info.versions)
    assert "device" not in info.settings
    assert info.settings["dtype"] == "float32"
    lengths = {
        "bi-encoder": 64, "cross-encoder": 128, "lbnl": 131_072, "causal": 4096,
        "jina-m0": 256, "jina-v2": 128, "late-interaction": 100, "generative": 2048,
    }  # fmt: skip
    key = "document_length" if name == "late-interaction" else "max_length"
    assert info.settings[key] == lengths[name]
    changed = {open_reranker(spec, s).info.fingerprint for s in FAMILIES[name][1]}
    changed |= {open_reranker(spec, {"dtype": "bfloat16"}).info.fingerprint}
    assert len(changed | {info.fingerprint}) == 4
    json.dumps([dict(info.settings), dict(info.versions)])


def test_opening_imports_no_model_library(folders: Mapping[str, Path]) -> None:
    specs = [f"{n}:{f}" if n in FORCED else str(f) for n, f in folders.items()]
    code = (
        "import sys; from jrv3_eval.rerankers import open_reranker\n"
        f"for f in {specs!r}: open_reranker(f, {{'device': 'cpu'}})\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- bi-encoder


def test_bi_encoder_encodes_every_document_once(
    folders: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jrv3_eval.embedding import Encoder

    seen: list[str] = []
    original = Encoder.encode

    def counted(self: Encoder, texts: Sequence[str], kind: Any = "document") -> Any:
        seen.extend(f"{kind}:{t}" for t in texts)
        return original(self, texts, kind)

    monkeypatch.setattr(Encoder, "encode", counted)
    work = [ask(*DOCUMENTS, qid="1"), ask(*DOCUMENTS[::-1], "new", qid="2", query="banana")]
    reranker = open_reranker(str(folders["bi-encoder"]), {"group_documents": "2"})
    assert isinstance(reranker, PlansAhead)
    reranker.prepare(work)
    assert seen == []
    reranker.score(work[1:])  # as a resumed run: only what the whole list's groups demand
    assert seen == [
        *(f"query:{q}" for q in (QUERY, "banana")),
        *(f"document:{d}" for d in (*DOCUMENTS, "new")),
    ]
    reranker.score(work)
    assert len(seen) == 7


def test_bi_encoder_resumes_with_the_same_bytes(folders: Mapping[str, Path], cache: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["the", "river", "nile", "flows", "north", "longest", "water", "banana"]
    work = [
        ask(*(" ".join(rng.choice(words, size=n)) for n in rng.integers(1, 40, size=9)), qid=str(i))
        for i in range(4)
    ]

    def run(requests: Sequence[RankingRequest]) -> bytes:
        reranker = open_reranker(str(folders["bi-encoder"]), {"group_documents": "4"})
        assert isinstance(reranker, PlansAhead)
        reranker.prepare(work)
        return b"".join(reranker.score([r])[0].tobytes() for r in requests)

    undisturbed = run(work)
    shutil.rmtree(cache)
    assert run(work[2:]) == undisturbed[-2 * 9 * 4 :]
    assert run(work) == undisturbed


def test_bi_encoder_similarity(folders: Mapping[str, Path], tmp_path: Path) -> None:
    folder = str(folders["bi-encoder"])
    (cosine,) = open_reranker(folder).score([ask(*DOCUMENTS)])
    assert np.abs(cosine).max() <= 1 + 1e-6
    (dot,) = open_reranker(folder, {"similarity": "dot"}).score([ask(*DOCUMENTS)])
    assert not np.allclose(cosine, dot)
    stated = write_bi_encoder(tmp_path / "dot", similarity_fn_name="dot")
    assert open_reranker(str(stated)).info.settings["similarity"] == "dot"
    odd = write_bi_encoder(tmp_path / "odd", similarity_fn_name="manhattan")
    with pytest.raises(UsageError, match="similarity=cosine"):
        open_reranker(str(odd))


def test_usage_counts_tokens_and_cuts(folders: Mapping[str, Path]) -> None:
    requests = [ask("water", "water", "river " * 500), ask(), ask("water", query="river " * 500)]
    for name, expected in (("bi-encoder", 4 + 3 + 64), ("cross-encoder", 6 + 128)):
        reranker = open_reranker(str(folders[name]))
        assert isinstance(reranker, CountsTokens)
        reranker.score(requests)
        usage = reranker.usage(requests)
        assert usage[0].tokens == expected
        assert [u.truncated_documents for u in usage] == [1, 0, 0]
        assert [u.truncated_query for u in usage] == [False, False, True]
        # Read once, but cut at two places of the list.
        [once] = reranker.usage([ask("river " * 500)])
        [twice] = reranker.usage([ask("river " * 500, "river " * 500)])
        assert (twice.tokens, twice.truncated_documents) == (once.tokens, 2)


def test_real_minilm_prefers_what_is_related() -> None:
    reranker = open_reranker("package:all-MiniLM-L6-v2")
    assert (reranker.info.name, reranker.info.family) == ("all-MiniLM-L6-v2", "bi-encoder")
    assert reranker.info.settings["max_length"] == 256
    documents = (
        "Bananas are rich in potassium.",
        "The Nile flows north for 6,650 kilometres.",
        "def merge(left, right): return sorted(left + right)",
    )
    queries = ("Which fruit has potassium?", "longest river in Africa", "merge two sorted lists")
    scores = reranker.score([ask(*documents, qid=q, query=q) for q in queries])
    assert [int(s.argmax()) for s in scores] == [0, 1, 2]
    assert min(s.max() - np.median(s) for s in scores) > 0.2


# --- cross-encoder


def test_cross_encoder_equals_sentence_transformers(folders: Mapping[str, Path]) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = str(folders["cross-encoder"])
    long = "river " * 300
    queries = (QUERY, "", "which banana " * 30, long)
    documents = (*DOCUMENTS, long, "north " * 60, "water " * 61, "日本の河 \U0001f34c")
    theirs = CrossEncoder(folder, device="cpu", local_files_only=True).predict(
        [(q, d) for q in queries for d in documents], activation_fn=torch.nn.Identity()
    )
    ours = open_reranker(folder, {"device": "cpu"}).score(
        [ask(*documents, query=q) for q in queries]
    )
    np.testing.assert_allclose(np.concatenate(ours), theirs, atol=1e-5, rtol=1e-5)


def test_longest_first_is_the_tokenizers_rule() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    for room in range(1, 9):
        tokenizer.enable_truncation(room, strategy="longest_first")
        for n in range(11):
            for m in range(11):
                ids = tokenizer.encode("a " * n, "b " * m).ids
                left, right = shares(n, m, room)
                assert (ids.count(1), ids.count(2)) == (min(n, left), min(m, right)), (n, m, room)


def test_only_second_spares_the_query(folders: Mapping[str, Path]) -> None:
    folder = str(folders["cross-encoder"])
    request = ask("river " * 200, query="water " * 80)
    for truncation, cut in (("longest_first", True), ("only_second", False)):
        reranker = open_reranker(folder, {"truncation": truncation})
        assert isinstance(reranker, CountsTokens)
        assert reranker.info.settings["truncation"] == truncation
        assert reranker.usage([request])[0].truncated_query is cut
    too_long = ask("river " * 200, query="water " * 97)
    reranker = open_reranker(folder, {"truncation": "only_second"})
    assert isinstance(reranker, CountsTokens)
    assert reranker.usage([too_long])[0].truncated_query


def test_batches_keep_to_the_budget() -> None:
    lengths = np.random.default_rng(1).integers(1, 50, size=200).tolist()
    found = batches(lengths, 100)
    assert sorted(i for b in found for i in b) == list(range(200))
    assert all(max(lengths[i] for i in b) * len(b) <= 100 for b in found)
    assert batches([500, 3], 100) == [[0], [1]]
    assert batches([], 100) == []


def test_an_embedding_model_is_no_cross_encoder() -> None:
    with pytest.raises(CheckpointError, match="no classification head") as caught:
        open_reranker("cross-encoder:package:all-MiniLM-L6-v2")
    assert "bi-encoder:" in str(caught.value.next_step)


def test_missing_head_tensors_are_named(cross: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(cross / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "classifier" not in k}, cross / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"classifier\.bias, classifier\.weight"):
        open_reranker(str(cross)).score([ask("water")])


def test_unloadable_checkpoints(cross: Path) -> None:
    config = json.loads((cross / "config.json").read_text())
    write_json(cross / "config.json", {**config, "model_type": "no-such-type"})
    with pytest.raises(CheckpointError, match="transformers cannot load cross"):
        open_reranker(f"cross-encoder:{cross}").score([ask("water")])
    write_json(cross / "config.json", {**config, "hidden_size": 64})
    with pytest.raises(CheckpointError, match="cross"):
        open_reranker(f"cross-encoder:{cross}").score([ask("water")])


def test_several_labels_are_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "nli", "BertForSequenceClassification", num_labels=3)
    with pytest.raises(CheckpointError, match="has 3 labels"):
        open_reranker(str(folder))


def test_cross_encoder_length_is_bounded(cross: Path) -> None:
    with pytest.raises(UsageError, match="128 positions"):
        open_reranker(str(cross), {"max_length": "129"})
    assert open_reranker(str(cross), {"max_length": "32"}).info.settings["max_length"] == 32


# --- from the hub


def test_hub_id_reaches_the_family(
    folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "a" * 40
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / commit
    shutil.copytree(folders["cross-encoder"], snapshot)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for spec in (f"org/tiny@{commit}", f"cross-encoder:org/tiny@{commit}"):
        reranker = open_reranker(spec)
        assert (reranker.info.name, reranker.info.revision) == ("org/tiny", commit)
    (scores,) = reranker.score([ask(*DOCUMENTS)])
    (local,) = open_reranker(str(folders["cross-encoder"])).score([ask(*DOCUMENTS)])
    np.testing.assert_array_equal(scores, local)


def test_write_cross_encoder_is_random_but_fixed(tmp_path: Path) -> None:
    digests = {open_reranker(str(write_cross_encoder(tmp_path / n))).info.weights for n in "ab"}
    assert len(digests) == 1
