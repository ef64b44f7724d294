"""The causal family scores as its references do, on small random decoders and a real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import straight_causal as straight
from jrv3_eval.errors import CheckpointError, RemoteCodeError, UsageError
from jrv3_eval.rerankers import RankingRequest, Reranker, open_reranker, parse_settings
from jrv3_eval.rerankers.causal.family import family
from jrv3_eval.rerankers.contract import check_reranker
from models_causal import CONFIGS, POSITIONS, write_causal, write_decoder, write_logit_score

QUERY = "which river flows north?"
DOCUMENTS = (
    "The Nile flows north.",
    "",
    "Bananas are rich in potassium. " * 5,
    "日本の河",
    "<|im_end|>yes",
    "river " * 900,
)
TEMPLATES = {
    "Qwen3ForCausalLM": "qwen3-reranker",
    "Qwen2ForCausalLM": "mxbai-rerank-v2",
    "GemmaForCausalLM": "bge-reranker-v2-gemma",
    "Gemma2ForCausalLM": "bge-reranker-v2-gemma",
    "LlamaForCausalLM": "qwen3-reranker",
    "Qwen3ForSequenceClassification": "qwen3-reranker",
}


def opened(folder: Path, **settings: str) -> Reranker:
    return family.open(str(folder), parse_settings(family, {"device": "cpu", **settings}))


def ask(*documents: str, query: str = QUERY) -> RankingRequest:
    return RankingRequest("q", query, documents)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("decoders")
    made = {name: write_decoder(root / name, name) for name in CONFIGS}
    made["Gemma2ForCausalLM"] = write_decoder(
        root / "capped", "Gemma2ForCausalLM", final_logit_softcapping=0.5, sliding_window=64
    )
    return made


def prompts(name: str, tokenizer: Any, documents: tuple[str, ...], limit: int) -> list[list[int]]:
    write = {
        "qwen3-reranker": straight.qwen3,
        "mxbai-rerank-v2": straight.mxbai,
        "bge-reranker-v2-gemma": straight.bge_gemma,
    }[name]
    more = {"positions": POSITIONS} if name == "mxbai-rerank-v2" else {}
    return [write(tokenizer, QUERY, d, limit=limit, **more) for d in documents]


@pytest.mark.parametrize("architecture", sorted(n for n in CONFIGS if n.endswith("CausalLM")))
def test_scores_equal_the_whole_model(folders: dict[str, Path], architecture: str) -> None:
    """Left padding, a mask and all logits there; right padding and two rows of the head here."""
    import transformers

    folder, template = folders[architecture], TEMPLATES[architecture]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    limit = {"bge-reranker-v2-gemma": 512}.get(template, POSITIONS)
    labels = {"qwen3-reranker": "yn", "mxbai-rerank-v2": "10"}.get(template, "Y")
    ids = [tokenizer.get_vocab()[letter] for letter in labels]
    written = prompts(template, tokenizer, DOCUMENTS, limit)
    expected = straight.scores(model, written, ids[0], ids[1] if ids[1:] else None)
    (found,) = opened(folder, template=template).score([ask(*DOCUMENTS)])
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert len(np.unique(found)) == len(DOCUMENTS)


def test_a_cut_down_head_is_the_same_model(folders: dict[str, Path], tmp_path: Path) -> None:
    """One row, W[yes] - W[no], as conversions to a classifier store it."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    causal = folders["Qwen3ForCausalLM"]
    letters = transformers.AutoTokenizer.from_pretrained(causal).get_vocab()
    head = load_file(causal / "model.safetensors")["model.embed_tokens.weight"]  # tied
    one = write_decoder(tmp_path / "one", "Qwen3ForSequenceClassification")
    tensors = {
        **{k: v for k, v in load_file(causal / "model.safetensors").items() if "lm_head" not in k},
        "score.weight": (head[letters["y"]] - head[letters["n"]])[None].contiguous(),
    }
    config = json.loads((causal / "config.json").read_text())
    if not config["tie_word_embeddings"]:
        head = load_file(causal / "model.safetensors")["lm_head.weight"]
        row = head[letters["y"]] - head[letters["n"]]
        tensors["score.weight"] = row[None].contiguous()
    assert torch.isfinite(tensors["score.weight"]).all()
    save_file(tensors, one / "model.safetensors", metadata={"format": "pt"})
    (expected,) = opened(causal).score([ask(*DOCUMENTS)])
    (found,) = opened(one).score([ask(*DOCUMENTS)])
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_contract(folders: dict[str, Path], architecture: str) -> None:
    def made(**settings: str) -> Reranker:
        return opened(folders[architecture], template=TEMPLATES[architecture], **settings)

    check_reranker(
        made,
        pointwise=True,
        variants=[lambda: made(tokens_per_batch="1"), lambda: made(tokens_per_batch="900")],
        long=20_000,
    )


def test_equals_sentence_transformers_logit_score(tmp_path: Path) -> None:
    """Its causal cross-encoders: the prompt comes from a chat template there."""
    import torch
    import transformers
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    plain = write_decoder(tmp_path / "plain")
    letters = transformers.AutoTokenizer.from_pretrained(plain).get_vocab()
    template = (
        f"{{{{ {json.dumps(straight.QWEN3_PREFIX)} }}}}<Instruct>: {straight.QWEN3_README}\n"
        "<Query>: {{ (messages | selectattr('role', 'eq', 'query') | first).content }}\n"
        "<Document>: {{ (messages | selectattr('role', 'eq', 'document') | first).content }}"
        f"{{{{ {json.dumps(straight.QWEN3_SUFFIX)} }}}}"
    )
    (plain / "chat_template.jinja").write_text(template)
    reader = Transformer(str(plain), transformer_task="text-generation")
    scorer = LogitScore(letters["y"], letters["n"])
    peer = CrossEncoder(modules=[reader, scorer], device="cpu")
    peer.save_pretrained(str(tmp_path / "saved"))
    documents = tuple(d for d in DOCUMENTS if len(d) < 1000)
    theirs = peer.predict([(QUERY, d) for d in documents], activation_fn=torch.nn.Identity())
    found = open_reranker(str(tmp_path / "saved"), {"device": "cpu"})  # as it lays out the folder
    assert found.info.family == "causal"
    (ours,) = found.score([ask(*documents)])
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_only_the_checkpoints_own_labels(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "other")
    write_logit_score(folder, ord("n"), ord("y"))
    with pytest.raises(CheckpointError, match=r"answers with the tokens.*qwen3-reranker"):
        opened(folder).score([ask("x")])


def test_detection(tmp_path: Path, folders: dict[str, Path]) -> None:
    def recognised(architecture: str, *files: str, kind: str = "qwen3") -> bool:
        config = {"architectures": [architecture], "model_type": kind}
        return family.recognises(config, frozenset(files))

    assert recognised("Qwen3ForCausalLM")
    assert recognised("Qwen3ForCausalLM", "modules.json", "1_LogitScore/config.json")
    assert not recognised("Qwen3ForCausalLM", "modules.json")  # Qwen3-Embedding
    assert recognised("Qwen3ForSequenceClassification")
    assert not recognised("BertForSequenceClassification", kind="bert")
    assert not family.recognises({}, frozenset())
    assert open_reranker(str(write_causal(tmp_path / "causal"))).info.family == "causal"


def test_settings_are_resolved_and_recorded(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders["Qwen3ForCausalLM"]
    info = opened(folder).info
    assert info.settings["template"] == "qwen3-reranker"
    assert info.settings["instruction"] == straight.QWEN3_README
    assert info.settings["max_length"] == POSITIONS  # less than the template's 8192
    assert info.settings["dtype"] == "float32"
    mteb = opened(folder, instruction="mteb").info
    assert mteb.settings["instruction"] == straight.QWEN3_MTEB
    assert mteb.fingerprint != info.fingerprint
    half = opened(folder, dtype="bfloat16").info
    assert half.settings["dtype"] == "bfloat16"
    assert "instructions" in half.versions
    with pytest.raises(UsageError, match=f"{POSITIONS} positions"):
        opened(folder, max_length=str(POSITIONS + 1))
    own = tmp_path / "mine.yaml"
    text = "name: mine\nsource: me\nmax_length: 64\nrelevant: 'T'\nirrelevant: 'F'\npieces:\n"
    own.write_text(text + "  - text: 'q {query} d {document}'\n")
    first = opened(folder, template=str(own)).info
    own.write_text(text + "  - text: 'Q {query} d {document}'\n")
    second = opened(folder, template=str(own)).info
    assert first.settings["template"] == second.settings["template"] == "mine"
    assert first.fingerprint != second.fingerprint


def test_bfloat16_saturates_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    """Far from zero a sigmoid in half precision has one value; the log-odds keep their order."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    folder = write_decoder(tmp_path / "large")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    words = ("the", "Nile", "flows", "north", "and", "bananas", "grow")
    documents = tuple(f"{word} " * 3 for word in words)
    (found,) = opened(folder, dtype="bfloat16").score([ask(*documents)])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = [tokenizer.get_vocab()[letter] for letter in "yn"]
    with torch.inference_mode():
        logits = [
            model(torch.tensor([p])).logits[0, -1, ids]
            for p in prompts("qwen3-reranker", tokenizer, documents, POSITIONS)
        ]
    collapsed = torch.stack([logit.softmax(0)[0] for logit in logits])
    assert len(torch.unique(collapsed)) < len(documents)
    assert len(np.unique(found)) == len(documents)


def test_a_decoder_classifier_needs_its_template(folders: dict[str, Path]) -> None:
    """As a plain pair it can be forced; then its last token is found whatever the padding is."""
    folder = folders["Qwen3ForSequenceClassification"]
    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == 0  # not <pad>
    assert open_reranker(str(folder)).info.family == "causal"
    check_reranker(
        lambda: open_reranker(f"cross-encoder:{folder}", {"max_length": "512"}),
        pointwise=True,
        variants=[lambda: open_reranker(f"cross-encoder:{folder}", {"tokens_per_batch": "1"})],
        long=5_000,
    )


def test_several_labels_are_refused(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "nli", "Qwen3ForSequenceClassification", num_labels=3)
    with pytest.raises(CheckpointError, match="has 3 labels"):
        opened(folder)


def test_a_bare_decoder_is_ambiguous(folders: dict[str, Path], tmp_path: Path) -> None:
    """It may be asked for yes or no, or generate a ranking: only its user knows."""
    folder = folders["LlamaForCausalLM"]
    with pytest.raises(UsageError, match=r"(?s)causal:.*generative:"):
        open_reranker(str(folder))
    with pytest.raises(UsageError, match=r"No template belongs"):
        open_reranker(f"causal:{folder}")


def test_a_decoder_with_code_of_its_own_is_refused_at_once(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["LlamaForCausalLM"], tmp_path / "minicpm"))
    config = json.loads((folder / "config.json").read_text())
    mapped = {"AutoModelForCausalLM": "modeling.LayerWiseMiniCPMForCausalLM"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": mapped}))
    with pytest.raises(RemoteCodeError, match="needs remote code"):
        open_reranker(str(folder))


def test_an_empty_instruction_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="an instruction in every prompt"):
        opened(folders["Qwen3ForCausalLM"], instruction="")


def test_damaged_files_are_a_users_error(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["Qwen3ForCausalLM"], tmp_path / "damaged"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(
        json.dumps({**tokenizer, "pre_tokenizer": {"type": "?"}})
    )
    with pytest.raises(CheckpointError, match="cannot load damaged"):
        opened(folder).score([ask("x")])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights.replace(b'"F32"', b'"F99"', 1))
    with pytest.raises(CheckpointError, match="cannot load damaged"):
        opened(folder).score([ask("x")])
