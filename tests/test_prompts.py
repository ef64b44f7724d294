"""Dense models get the prompts and adapters that they were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jrv3_eval.cards import Suite, TaskCard, load_suite
from jrv3_eval.embedding.prompts import prompt_sets, prompts_for
from jrv3_eval.errors import CheckpointError, RemoteCodeError, UsageError
from jrv3_eval.first_stage import PerTask, open_first_stage
from jrv3_eval.first_stage.dense import Dense
from models import write_bi_encoder, write_tokenizer

CARD = TaskCard(name="animals")
SUITE = Suite(suite="zoo", title="t", tasks=(CARD,))


def settings_of(spec: str, cache: Path, card: TaskCard = CARD) -> dict[str, Any]:
    stage = open_first_stage(spec, cache=cache)
    assert isinstance(stage, PerTask)
    return stage.for_task(SUITE, card).settings(card)


def prompts_of(spec: str, cache: Path, card: TaskCard = CARD) -> tuple[str, str]:
    settings = settings_of(spec, cache, card)
    return settings["query_prompt"], settings["document_prompt"]


# --- the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hub_id", "query", "document"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        (
            "BAAI/bge-base-en-v1.5",
            "Represent this sentence for searching relevant passages: ",
            "",
        ),
        ("BAAI/bge-m3", "", ""),
        (
            "Qwen/Qwen3-Embedding-0.6B",
            "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
            "Query:",
            "",
        ),
        (
            "jinaai/jina-embeddings-v3-hf",
            "Represent the query for retrieving evidence documents: ",
            "Represent the document for retrieval: ",
        ),
        (
            "jinaai/jina-code-embeddings-0.5b",
            "Find the most relevant code snippet given the following query:\n",
            "Candidate code snippet:\n",
        ),
    ],
)
def test_known_models_by_their_hub_id(hub_id: str, query: str, document: str) -> None:
    found = prompts_for(hub_id)
    assert found is not None
    _, task = found.task(None)
    assert (task.query, task.document) == (query, document)


def test_prompts_are_those_of_mteb() -> None:
    from mteb.models.model_implementations import bge_models, e5_models, jina_models

    e5 = prompt_sets()["e5"].task(None)[1]
    assert {"query": e5.query, "document": e5.document} == e5_models.model_prompts
    assert prompt_sets()["bge-en"].task(None)[1].query == bge_models.model_prompts["query"]
    assert prompt_sets()["bge-zh"].task(None)[1].query == bge_models.model_prompts_zh["query"]
    jina = prompt_sets()["jina-v3"].task(None)[1]
    assert jina_models.JinaWrapper.jina_task_to_prompt == {
        "retrieval.query": jina.query,
        "retrieval.passage": jina.document,
    }


def test_no_two_sets_claim_a_model_and_each_has_a_source() -> None:
    ids = [hub_id for one in prompt_sets().values() for hub_id in one.ids]
    assert len(ids) == len(set(ids))
    assert all(one.source for one in prompt_sets().values())


def test_every_task_that_a_shipped_card_names_is_known() -> None:
    known = {task for one in prompt_sets().values() for task in one.tasks}
    cards = [card for name in ("beir", "code", "miracl") for card in load_suite(name).tasks]
    named = {card.dense_task for card in cards} - {None}
    assert named == {"text-matching", "nl2code", "qa", "code2code", "code2nl", "code2completion"}
    assert named <= known


# --- a SPEC -------------------------------------------------------------------------------------


def test_a_local_copy_takes_the_set_that_the_spec_names(tmp_path: Path, cache: Path) -> None:
    folder = write_bi_encoder(tmp_path / "multilingual-e5-small")
    assert prompts_of(f"dense:{folder}", cache) == ("", "")  # a folder's name tells nothing
    assert prompts_of(f"dense:{folder}#prompts=e5", cache) == ("query: ", "passage: ")


def test_the_checkpoints_own_prompts_are_used_unasked(tmp_path: Path, cache: Path) -> None:
    folder = write_bi_encoder(tmp_path / "own", prompts={"query": "Q: ", "document": "D: "})
    assert prompts_of(f"dense:{folder}", cache) == ("Q: ", "D: ")
    assert prompts_of(f"dense:{folder}#prompts=none", cache) == ("", "")


def test_the_card_chooses_the_task_and_the_spec_wins(tmp_path: Path, cache: Path) -> None:
    folder = write_bi_encoder(tmp_path / "code")
    qa = CARD.model_copy(update={"dense_task": "qa"})
    spec = f"dense:{folder}#prompts=jina-code"
    assert prompts_of(spec, cache, qa)[1] == "Candidate answer:\n"
    assert settings_of(spec, cache, qa)["task"] == "qa"
    assert prompts_of(f"{spec},task=code2nl", cache, qa)[1] == "Candidate comment:\n"
    unknown = CARD.model_copy(update={"dense_task": "text-matching"})
    assert settings_of(spec, cache, unknown)["task"] == "nl2code"  # its first, and recorded


def test_other_options_reach_the_record(tmp_path: Path, cache: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    found = settings_of(f"dense:{folder}#max_length=16,similarity=dot,batch_size=3", cache)
    assert (found["max_length"], found["similarity"], found["batch_size"]) == (16, "dot", 3)
    assert found["normalize"] is False
    dot = CARD.model_copy(update={"similarity": "dot"})
    assert settings_of(f"dense:{folder}", cache, dot)["similarity"] == "dot"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("prompts=e6", "Unknown set of prompts 'e6'"),
        ("prompt=e5", "did you mean 'prompts'"),
        ("task=qa", "no set of prompts is known"),
        ("prompts=e5,task=qa", "Unknown task of the prompts 'e5'"),
        ("max_length=x", "max_length"),
        ("max_length", "not key=value"),
        ("similarity=l2", "Unknown similarity"),
        ("dtype=int8", "dtype|int8"),
    ],
)
def test_a_bad_option_is_named(tmp_path: Path, cache: Path, options: str, message: str) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    with pytest.raises(UsageError, match=message):
        open_first_stage(f"dense:{folder}#{options}", cache=cache)


# --- jina-embeddings-v3 -------------------------------------------------------------------------


@pytest.fixture
def jina_v3(tmp_path: Path) -> Path:
    """A small random model of the real architecture, with an adapter for each of three tasks."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    folder = tmp_path / "v3"
    folder.mkdir()
    write_tokenizer(folder)
    vocabulary = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    torch.manual_seed(0)
    config = JinaEmbeddingsV3Config(
        vocab_size=vocabulary + 8, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    JinaEmbeddingsV3Model(config, add_pooling_layer=False).save_pretrained(folder)
    for name in ("retrieval_query", "retrieval_passage", "text_matching"):
        model = JinaEmbeddingsV3Model.from_pretrained(folder, add_pooling_layer=False)
        lora = LoraConfig(
            r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False
        )
        get_peft_model(model, lora).save_pretrained(folder / name)
    return folder


def straight(folder: Path, adapter: str, text: str) -> Any:
    """One text: adapter merged by peft, mean over its tokens, unit length."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    base = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    model = PeftModel.from_pretrained(base, folder / adapter).merge_and_unload().eval()
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        mean = model(**inputs).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_each_side_runs_with_its_own_adapter(jina_v3: Path, cache: Path) -> None:
    stage = open_first_stage(f"dense:{jina_v3}#prompts=jina-v3", cache=cache)
    assert isinstance(stage, PerTask)
    dense = stage.for_task(SUITE, CARD)
    assert isinstance(dense, Dense)
    encoder = dense.encoder
    texts = ["the cat sat", "a dog", "the quick brown fox jumps over the lazy dog"]
    sets = prompt_sets()["jina-v3"].task("retrieval")[1]
    for kind, adapter, prompt in (
        ("query", "retrieval_query", sets.query),
        ("document", "retrieval_passage", sets.document),
    ):
        found = encoder.encode(texts, kind)
        expected = [straight(jina_v3, adapter, prompt + text) for text in texts]
        assert np.abs(found.vectors - np.stack(expected)).max() < 1e-5
        assert found.tokens.min() > 3
    matching = CARD.model_copy(update={"dense_task": "text-matching"})
    other = stage.for_task(SUITE, matching)
    assert isinstance(other, Dense)
    assert other.settings(matching)["task"] == "text-matching"
    vectors = other.encoder.encode(texts, "query").vectors
    assert np.abs(vectors[0] - straight(jina_v3, "text_matching", texts[0])).max() < 1e-5


def test_another_adapter_is_another_first_stage(jina_v3: Path, cache: Path) -> None:
    before = settings_of(f"dense:{jina_v3}#prompts=jina-v3", cache)
    assert before["similarity"] == "cosine"
    config = jina_v3 / "retrieval_query/adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 9'))
    after = settings_of(f"dense:{jina_v3}#prompts=jina-v3", cache)
    assert before["adapter_files"] != after["adapter_files"]


def test_it_must_know_its_task_and_have_its_adapters(jina_v3: Path, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="needs the adapter of a task"):
        open_first_stage(f"dense:{jina_v3}", cache=cache)
    (jina_v3 / "retrieval_passage/adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"retrieval_passage/adapter_model\.safetensors"):
        open_first_stage(f"dense:{jina_v3}#prompts=jina-v3", cache=cache)


def test_the_released_jina_v3_points_to_the_same_weights_without_code(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from jrv3_eval.checkpoint import open_checkpoint
    from jrv3_eval.first_stage import dense_spec

    folder = write_bi_encoder(tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": code}))

    def released(_: str, **options: bool) -> Any:
        return replace(open_checkpoint(str(folder), **options), name="jinaai/jina-embeddings-v3")

    monkeypatch.setattr(dense_spec, "open_checkpoint", released)
    with pytest.raises(RemoteCodeError, match="dense:jinaai/jina-embeddings-v3-hf, the same"):
        open_first_stage("dense:jinaai/jina-embeddings-v3", cache=cache)


def test_modules_of_the_checkpoints_own_are_never_run(tmp_path: Path, cache: Path) -> None:
    """As jina-embeddings-v5 has them."""
    folder = write_bi_encoder(tmp_path / "v5")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(RemoteCodeError, match=r"custom_st\.Transformer.*never run") as caught:
        open_first_stage(f"dense:{folder}#prompts=jina-v5", cache=cache)
    assert "jrv3-eval candidates import" in str(caught.value)


def test_a_checkpoint_with_code_points_to_candidate_sets(tmp_path: Path, cache: Path) -> None:
    folder = write_bi_encoder(tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoModel": "modeling.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": code}))
    with pytest.raises(RemoteCodeError, match="never run here") as caught:
        open_first_stage(f"dense:{folder}", cache=cache)
    assert "jrv3-eval candidates import" in str(caught.value)
