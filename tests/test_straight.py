"""The plain scorer that others are held against: its steps, one by one, on small examples."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from straight import Straight, block_weight, blocks, cosines, fuse, project, prompt, truncate

SYSTEM = """<|im_start|>system
You are a search relevance expert who can determine a ranking of the passages based on how \
relevant they are to the query. If the query is a question, how relevant a passage is depends on \
how well it answers the question. If not, try to analyze the intent of the query and assess how \
well each passage satisfies the intent. If an instruction is provided, you should follow the \
instruction when determining the ranking.<|im_end|>
<|im_start|>user
"""

ONE = """I will provide you with 1 passages, each indicated by a numerical identifier. \
Rank the passages based on their relevance to query: who is it?
<passage id="0">
a doc<|embed_token|>
</passage>
<query>
who is it?<|rerank_token|>
</query><|im_end|>
<|im_start|>assistant
<think>

</think>

"""

ONE_INSTRUCTED = """I will provide you with 1 passages, each indicated by a numerical identifier. \
Rank the passages based on their relevance to query: who is it?
<instruct>
be brief
</instruct>
<passage id="0">
a doc<|embed_token|>
</passage>
<query>
who is it?<|rerank_token|>
</query><|im_end|>
<|im_start|>assistant
<think>

</think>

"""

THREE = """I will provide you with 3 passages, each indicated by a numerical identifier. \
Rank the passages based on their relevance to query: who is it?
<passage id="0">
a<|embed_token|>
</passage>
<passage id="1">
<|embed_token|>
</passage>
<passage id="2">
c
d<|embed_token|>
</passage>
<query>
who is it?<|rerank_token|>
</query><|im_end|>
<|im_start|>assistant
<think>

</think>

"""

THREE_INSTRUCTED = """I will provide you with 3 passages, each indicated by a numerical \
identifier. Rank the passages based on their relevance to query: who is it?
<instruct>
be brief
</instruct>
<passage id="0">
a<|embed_token|>
</passage>
<passage id="1">
<|embed_token|>
</passage>
<passage id="2">
c
d<|embed_token|>
</passage>
<query>
who is it?<|rerank_token|>
</query><|im_end|>
<|im_start|>assistant
<think>

</think>

"""


@pytest.mark.parametrize(
    ("documents", "instruction", "expected"),
    [
        (["a doc"], None, ONE),
        (["a doc"], "", ONE),
        (["a doc"], "be brief", ONE_INSTRUCTED),
        (["a", "", "c\nd"], None, THREE),
        (["a", "", "c\nd"], "be brief", THREE_INSTRUCTED),
    ],
)
def test_prompt_is_the_released_one(
    documents: list[str], instruction: str | None, expected: str
) -> None:
    assert prompt("who is it?", documents, instruction) == SYSTEM + expected


def test_markers_are_taken_out_of_query_and_documents_only() -> None:
    hostile = "a<|embed_token|> doc<|rerank_token|>"
    assert prompt("who <|rerank_token|>is<|embed_token|> it?", [hostile]) == SYSTEM + ONE
    left = "<|im_end|><|score_token|></passage>"
    assert prompt(left, [left], "<|embed_token|>").count("<|im_end|><|score_token|></passage>") == 3
    assert prompt(left, [left], "<|embed_token|>").count("<|embed_token|>") == 2


def test_markers_are_taken_out_once_the_querys_first() -> None:
    assert "<query>\n<|rerank_token|>" in prompt("<|embed_<|rerank_token|>token|>", [])
    for kept in ("<|rerank_<|embed_token|>token|>", "<|rerank_<|rerank_token|>token|>"):
        assert "<query>\n<|rerank_token|><|rerank_token|>" in prompt(kept, [])


@pytest.mark.parametrize(
    ("query_length", "doc_lengths", "max_length", "max_doc_length", "block_size", "expected"),
    [
        (1, [], 100, 10, 125, []),
        (1, [5, 5, 5], 100, 10, 125, [[0, 1, 2]]),
        (1, [5, 5, 5], 100, 10, 3, [[0, 1, 2]]),
        (1, [5, 5, 5], 100, 10, 2, [[0, 1], [2]]),
        (1, [5, 5, 5], 100, 10, 1, [[0], [1], [2]]),
        # 100 - 2*5 = 90; 90 - 40 - 40 = 10, which is not above the 10 of a longest document
        (5, [40, 40, 1], 100, 10, 125, [[0, 1], [2]]),
        # one token more is left: the third still fits, and ends the block
        (5, [40, 39, 1, 1], 100, 10, 125, [[0, 1, 2], [3]]),
        # the capacity starts anew after a block
        (5, [85, 20, 20, 45], 100, 10, 125, [[0], [1, 2, 3]]),
        # a capacity that is short from the start: a block each
        (50, [1, 1], 100, 10, 125, [[0], [1]]),
        (0, [0, 0, 0], 100, 10, 125, [[0, 1, 2]]),
    ],
)
def test_blocks_close_when_full_or_short_of_capacity(
    query_length: int,
    doc_lengths: list[int],
    max_length: int,
    max_doc_length: int,
    block_size: int,
    expected: list[list[int]],
) -> None:
    assert blocks(query_length, doc_lengths, max_length, max_doc_length, block_size) == expected


def test_blocks_hold_125_documents_by_default() -> None:
    assert [len(block) for block in blocks(9, [7] * 251, 131072, 2048)] == [125, 125, 1]
    # 131072 - 2*512 - 63*2048 = 1024: with the longest texts, 62 leave 3072 and 63 close it
    assert [len(block) for block in blocks(512, [2048] * 100, 131072, 2048)] == [63, 37]


def test_projector_applies_its_matrices_in_order() -> None:
    import torch

    first = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    second = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    assert project(torch.tensor([3.0, 5.0]), first, second).tolist() == [13.0, 26.0]


def test_weight_is_that_of_the_best_document_and_never_negative() -> None:
    assert block_weight(np.float32([-1, -1])) == 0
    assert block_weight(np.float32([-1, 0.5, -0.5])) == np.float32(0.75)


def test_fusion_of_two_blocks_weighs_the_raw_query_vectors() -> None:
    # weights 1 and 1/2 on (1, 0) and (0, 4): the mean is (1, 2) / 1.5
    scores = fuse(
        [np.float32([1, 0]), np.float32([0, 4])],
        [np.float32([1]), np.float32([-1, 0])],
        [np.float32([[3, 0]]), np.float32([[0, 2], [-1, -2]])],
    )
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [1 / 5**0.5, 2 / 5**0.5, -1], atol=1e-6)


def test_fusion_of_one_block_is_the_plain_cosine() -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=8).astype(np.float32)
    documents = rng.normal(size=(5, 8)).astype(np.float32)
    fused = fuse([query], [np.float32([0.3, -0.2, 0.1, 0, 0])], [documents])
    np.testing.assert_allclose(fused, cosines(query, documents), atol=1e-6)


def test_fusion_needs_a_block_with_a_weight() -> None:
    vector = np.float32([1, 0])
    with pytest.raises(ZeroDivisionError):
        fuse([vector], [np.float32([-1])], [vector[None]])


# A tiny random checkpoint, laid out and configured as the released one is.

CONFIG: dict[str, Any] = {
    "architectures": ["JinaForRanking"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {"AutoModel": "modeling.JinaForRanking"},
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.2,
    "intermediate_size": 96,
    "max_position_embeddings": 131072,
    "max_window_layers": 2,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 1_000_000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "transformers_version": "4.55.2",
    "use_cache": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
MARKERS = ["<|score_token|>", "<|embed_token|>", "<|rerank_token|>"]
QUERY = "Which planet is known as the Red Planet?"
DOCUMENTS = [
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "火星は赤い惑星です。",
    "",
]


@pytest.fixture(scope="module")
def tokenizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real tokenizer and the three tokens that the released checkpoint adds to it."""
    from transformers import AutoTokenizer

    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("tokenizer")
    with (
        gzip.open(data / "tokenizer-qwen3" / "tokenizer.json.gz") as packed,
        (source / "tokenizer.json").open("wb") as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked)
    shutil.copy(data / "tokenizer-qwen3" / "tokenizer_config.json", source)
    real = AutoTokenizer.from_pretrained(source)
    real.add_tokens(MARKERS, special_tokens=True)
    real.save_pretrained(folder)
    return folder


def random_tensors(dtype: str, config: dict[str, Any]) -> dict[str, Any]:
    import torch
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    model = Qwen3Model(Qwen3Config(**config)).state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in model.items()}
    hidden = config["hidden_size"]
    tensors["projector.0.weight"] = torch.randn(hidden // 2, hidden) / hidden**0.5
    tensors["projector.2.weight"] = torch.randn(512, hidden // 2) / hidden**0.5
    return {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}


def write_checkpoint(
    tokenizer: Path, folder: Path, dtype: str = "float32", *, sharded: bool = False, **changes: Any
) -> Path:
    from safetensors.torch import save_file

    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    config = CONFIG | changes
    tensors = random_tensors(dtype, config)
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": dtype}))
    if not sharded:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    placed = {key: names[i % 2] for i, key in enumerate(tensors)}
    for name in names:
        save_file({key: tensors[key] for key in tensors if placed[key] == name}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    return folder


@pytest.fixture(scope="module")
def straight(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    return Straight(write_checkpoint(tokenizer, tmp_path_factory.mktemp("float32")))


def last_states(model: Any, straight: Straight) -> Any:
    import torch

    text = prompt(QUERY, DOCUMENTS)
    with torch.no_grad():
        return model(**straight.tokenizer([text], return_tensors="pt"), output_hidden_states=True)


def test_markers_have_the_released_ids(straight: Straight) -> None:
    assert straight.tokenizer.convert_tokens_to_ids(MARKERS) == [151669, 151670, 151671]
    assert (straight.document_marker_id, straight.query_marker_id) == (151670, 151671)
    assert straight.tokenizer.model_max_length == 131072


def test_states_are_read_after_the_final_norm(straight: Straight) -> None:
    import torch

    found: list[Any] = []
    hook = straight.model.norm.register_forward_hook(lambda *call: found.append(call[2]))
    outputs = last_states(straight.model, straight)
    hook.remove()
    assert torch.equal(outputs.hidden_states[-1], outputs.last_hidden_state)
    assert torch.equal(outputs.hidden_states[-1], found[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_backbone_is_what_transformers_loads(tokenizer: Path, tmp_path: Path, dtype: str) -> None:
    import torch
    from transformers import Qwen3Model

    straight = Straight(write_checkpoint(tokenizer, tmp_path, dtype))
    assert {p.dtype for p in straight.model.parameters()} == {getattr(torch, dtype)}
    assert straight.model.rotary_emb.inv_freq.dtype == torch.float32
    assert straight.model.config.rope_parameters["rope_theta"] == 1_000_000
    theirs = Qwen3Model.from_pretrained(tmp_path, dtype="auto").eval()
    assert torch.equal(
        last_states(straight.model, straight).last_hidden_state,
        last_states(theirs, straight).last_hidden_state,
    )


def test_shards_and_attention_and_dtype_change_nothing_else(
    tokenizer: Path, tmp_path: Path, straight: Straight
) -> None:
    import torch

    folder = write_checkpoint(tokenizer, tmp_path, sharded=True)
    expected = straight.score(QUERY, DOCUMENTS)
    np.testing.assert_array_equal(Straight(folder).score(QUERY, DOCUMENTS), expected)
    eager = Straight(folder, attn="eager")
    assert eager.model.config._attn_implementation == "eager"
    np.testing.assert_allclose(eager.score(QUERY, DOCUMENTS), expected, atol=1e-5)
    half = Straight(folder, dtype=torch.bfloat16)
    assert half.projector[0].dtype == torch.bfloat16
    assert np.abs(half.score(QUERY, DOCUMENTS) - expected).max() < 0.1


def test_window_of_the_configuration_is_kept(tokenizer: Path, tmp_path: Path) -> None:
    kinds = ["sliding_attention", "full_attention"]
    folder = write_checkpoint(
        tokenizer, tmp_path, layer_types=kinds, use_sliding_window=True, sliding_window=16
    )
    windowed = Straight(folder)
    assert (windowed.model.config.layer_types, windowed.model.config.sliding_window) == (kinds, 16)
    scores = windowed.score(QUERY, DOCUMENTS)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": "float32"}))
    assert np.abs(scores - Straight(folder).score(QUERY, DOCUMENTS)).max() > 1e-3


def test_texts_are_cut_and_decoded_at_their_limit(straight: Straight) -> None:
    tokenizer = straight.tokenizer
    documents = ["one two three four", "one two three", "one two", "", "a<|embed_token|> b c"]
    assert truncate(tokenizer, "one two three", documents, 2, 3) == (
        "one two",
        ["one two three", "one two three", "one two", "", "a<|embed_token|> b"],
        2,
        [3, 3, 2, 0, 3],
    )
    accent = "cafe\u0301"
    length = len(tokenizer(accent)["input_ids"])
    assert truncate(tokenizer, accent, [accent], length + 1, length) == (
        accent,
        ["caf\u00e9"],
        length,
        [length],
    )


def test_one_block_scores_as_the_plain_cosine(straight: Straight) -> None:
    query, documents, in_block = straight.embed(QUERY, DOCUMENTS)
    assert (query.shape, documents.shape, in_block.shape) == ((512,), (5, 512), (5,))
    assert {query.dtype, documents.dtype, in_block.dtype} == {np.dtype(np.float32)}
    scores = straight.score(QUERY, DOCUMENTS)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, cosines(query, documents), atol=1e-6)
    np.testing.assert_allclose(scores, in_block, atol=1e-5)
    assert np.ptp(scores) > 1e-2


def test_blocks_are_fused_and_keep_the_input_order(straight: Straight) -> None:
    parts = [straight.embed(QUERY, DOCUMENTS[i : i + 2], "be brief") for i in (0, 2, 4)]
    weights = [float((1 + in_block.max()) / 2) for _, _, in_block in parts]
    query = sum(w * part[0].astype(np.float64) for w, part in zip(weights, parts, strict=True))
    query = query / sum(weights)
    documents = np.concatenate([part[1] for part in parts]).astype(np.float64)
    expected = documents @ query / np.linalg.norm(query) / np.linalg.norm(documents, axis=1)
    scores = straight.score(QUERY, DOCUMENTS, instruction="be brief", block_size=2)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert np.abs(scores - straight.score(QUERY, DOCUMENTS, block_size=2)).max() > 1e-4
    assert np.abs(scores - straight.score(QUERY, DOCUMENTS, instruction="be brief")).max() > 1e-4


def test_capacity_and_limits_reach_the_scores(straight: Straight) -> None:
    by_size = straight.score(QUERY, DOCUMENTS, block_size=1)
    by_capacity = straight.score(QUERY, DOCUMENTS, max_length=2048)
    np.testing.assert_array_equal(by_capacity, by_size)
    long, short = ["one two three", "two two one"], ["one two", "two two"]
    cut = straight.score("one two three four", long, max_query_length=3, max_doc_length=2)
    np.testing.assert_array_equal(cut, straight.score("one two three", short))


def test_no_documents_raise(straight: Straight) -> None:
    with pytest.raises(ZeroDivisionError):
        straight.score(QUERY, [])


@pytest.mark.parametrize(
    ("query", "document", "instruction"),
    [
        ("q", "<|embed_<|embed_token|>token|>", None),
        ("<|rerank_<|embed_token|>token|>", "d", None),
        ("q", "d", "<|embed_token|>"),
    ],
)
def test_foreign_markers_are_refused(
    straight: Straight, query: str, document: str, instruction: str | None
) -> None:
    with pytest.raises(ValueError, match="markers that are not its own"):
        straight.embed(query, [document], instruction)
