"""The causal family's prompts: strings and token ids equal the references' own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import straight_causal as straight
from jrv3_eval.errors import CheckpointError, UsageError
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.rerankers.causal import shipped_templates, template_for
from jrv3_eval.rerankers.causal.reading import PairReader
from models_causal import write_bytes_tokenizer
from test_lbnl_prompt import HOSTILE, TRICKY

BRACES = ("{query}", "{document} {instruction}", "{", "{}", "{0}", "%s", "\\1", "$1")
LANGUAGES = ("ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te")  # of the real texts beside


@pytest.fixture(scope="module")
def qwen(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Qwen3's own tokenizer."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("qwen")
    source = data / "tokenizer-qwen3"
    packed = (source / "tokenizer.json.gz").read_bytes()
    (folder / "tokenizer.json").write_bytes(gzip.decompress(packed))
    (folder / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def bytes_(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Single bytes, with a begin token."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("bytes")
    write_bytes_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["bytes_", "qwen"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def reader(
    tokenizer: Any,
    name: str,
    *,
    instruction: str | None = None,
    limit: int | None = None,
    positions: int | None = None,
) -> PairReader:
    template = shipped_templates()[name]
    return PairReader(
        tokenizer,
        template,
        instruction=template.instruction_for(instruction),
        max_length=limit or template.max_length,
        positions=positions,
    )


def ids(made: PairReader, query: str, *documents: str) -> list[list[int]]:
    pairs = made.read([RankingRequest("q", query, documents)])
    return [list(pairs.inputs[place]["input_ids"]) for place in pairs.places[0]]


TEXTS = [*TRICKY, *HOSTILE, *BRACES]


def test_qwen3_literal_string(qwen: Any) -> None:
    made = reader(qwen, "qwen3-reranker")
    (found,) = ids(made, "which river flows north", "The Nile <flows> north.")
    assert qwen.decode(found) == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
        "answer the query\n<Query>: which river flows north\n<Document>: The Nile <flows> north."
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert (made.labels.relevant, made.labels.irrelevant) == (9693, 2152)
    assert found[:3] == [151644, 8948, 198]  # <|im_start|>, system, line break


def test_mxbai_literal_string(qwen: Any) -> None:
    made = reader(qwen, "mxbai-rerank-v2")
    (found,) = ids(made, "which river", "The Nile.")
    assert qwen.decode(found) == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        "<|im_end|>\n<|im_start|>user\nquery: which river\ndocument: The Nile.\nYou are a search "
        "relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then "
        "provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (made.labels.relevant, made.labels.irrelevant) == (16, 15)
    instructed = reader(qwen, "mxbai-rerank-v2", instruction="Find rivers.")
    assert "user\ninstruction: Find rivers.\nquery: which river\n" in qwen.decode(
        ids(instructed, "which river", "x")[0]
    )


def test_bge_literal_string(bytes_: Any) -> None:
    made = reader(bytes_, "bge-reranker-v2-gemma")
    (found,) = ids(made, "which river", "The Nile.")
    assert bytes_.decode(found) == (
        "<bos>A: which river\nB: The Nile.\nGiven a query A and a passage B, determine whether the "
        "passage contains an answer to the query by providing a prediction of either 'Yes' or 'No'."
    )
    assert made.labels.irrelevant is None


def test_qwen3_ids(tokenizer: Any) -> None:
    for name, text in (("readme", straight.QWEN3_README), ("mteb", straight.QWEN3_MTEB)):
        made = reader(tokenizer, "qwen3-reranker", instruction=name)
        for query in (*TEXTS[::7], "which river"):
            expected = [straight.qwen3(tokenizer, query, d, instruction=text) for d in TEXTS]
            assert ids(made, query, *TEXTS) == expected


def test_mxbai_ids(tokenizer: Any) -> None:
    for instruction in (None, "Find {rivers}.\n"):
        made = reader(tokenizer, "mxbai-rerank-v2", instruction=instruction)
        for query in (*TEXTS[::7], "which river"):
            expected = [straight.mxbai(tokenizer, query, d, instruction=instruction) for d in TEXTS]
            assert ids(made, query, *TEXTS) == expected


def test_bge_ids(tokenizer: Any) -> None:
    made = reader(tokenizer, "bge-reranker-v2-gemma")
    for query in (*TEXTS[::7], "which river"):
        assert ids(made, query, *TEXTS) == [straight.bge_gemma(tokenizer, query, d) for d in TEXTS]


def test_real_texts_of_many_languages(qwen: Any, data: Path) -> None:
    qwen3 = reader(qwen, "qwen3-reranker", limit=256)
    mxbai = reader(qwen, "mxbai-rerank-v2", limit=128)
    bge = reader(qwen, "bge-reranker-v2-gemma", limit=96)
    for language in LANGUAGES:
        folder = data / f"ml-tydiqa-goldp-{language}"
        query = json.loads((folder / "queries.jsonl").open(encoding="utf-8").readline())["text"]
        with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            documents = [json.loads(next(lines))["text"] for _ in range(10)]
        expected = [straight.qwen3(qwen, query, d, limit=256) for d in documents]
        assert ids(qwen3, query, *documents) == expected
        assert ids(mxbai, query, *documents) == [
            straight.mxbai(qwen, query, d, limit=128) for d in documents
        ]
        assert ids(bge, query, *documents) == [
            straight.bge_gemma(qwen, query, d, limit=96) for d in documents
        ]


TEXT = st.text(st.sampled_from("ab {}\nß日"), max_size=400)


@given(query=TEXT, document=TEXT, limit=st.integers(360, 900))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_as_the_references_cut(bytes_: Any, query: str, document: str, limit: int) -> None:
    short = limit - 340  # of texts alone
    assert ids(reader(bytes_, "qwen3-reranker", limit=limit), query, document) == [
        straight.qwen3(bytes_, query, document, limit=limit)
    ]
    assert ids(reader(bytes_, "mxbai-rerank-v2", limit=short), query, document) == [
        straight.mxbai(bytes_, query, document, limit=short)
    ]
    assert ids(reader(bytes_, "bge-reranker-v2-gemma", limit=short), query, document) == [
        straight.bge_gemma(bytes_, query, document, limit=short)
    ]


def test_prompts_fit_into_the_positions(bytes_: Any) -> None:
    long = "river " * 1000
    made = reader(bytes_, "mxbai-rerank-v2", positions=700)
    (found,) = ids(made, "which river", long)
    assert found == straight.mxbai(bytes_, "which river", long, positions=700)
    assert len(found) == 700
    for name in ("qwen3-reranker", "bge-reranker-v2-gemma"):
        (found,) = ids(reader(bytes_, name, positions=700), "which river", long)
        assert len(found) <= 700
    with pytest.raises(UsageError, match="no room for a document"):
        reader(bytes_, "qwen3-reranker", limit=200)


def test_usage_says_what_was_cut(bytes_: Any) -> None:
    long, short = "river " * 300, "river"

    def cuts(name: str, query: str, document: str, limit: int) -> tuple[int, bool, int]:
        made = reader(bytes_, name, limit=limit).read([RankingRequest("q", query, (document,))])
        (used,) = made.usage
        assert used.tokens == len(made.inputs[0]["input_ids"])
        return used.truncated_documents, used.truncated_query, used.tokens

    fixed = len(straight.QWEN3_PREFIX) + len(straight.QWEN3_SUFFIX)
    assert cuts("qwen3-reranker", short, short, 900)[:2] == (0, False)
    assert cuts("qwen3-reranker", short, long, 900)[:2] == (1, False)
    assert cuts("qwen3-reranker", long, short, 900)[:2] == (1, True)
    assert fixed < 900
    assert cuts("mxbai-rerank-v2", short, long, 100)[:2] == (1, False)
    assert cuts("mxbai-rerank-v2", long, short, 100)[:2] == (0, True)
    assert cuts("bge-reranker-v2-gemma", long, long, 100)[:2] == (1, True)


def test_a_long_query_of_ones_own_template_is_cut(bytes_: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: m\nsource: s\nmax_length: 256\nrelevant: y\n"
        "pieces: [{text: 'q: {query}'}, {text: ' D {document}'}, {text: ' relevant?'}]"
    )
    template = template_for(str(path), {}, "model")
    made = PairReader(bytes_, template, instruction=None, max_length=256, positions=4096)
    pairs = made.read([RankingRequest("q", "x" * 8000, ("one", "two"))])
    assert [len(pair["input_ids"]) for pair in pairs.inputs] == [256, 256]
    assert (pairs.usage[0].truncated_query, pairs.usage[0].truncated_documents) == (True, 2)


def test_labels_must_differ(bytes_: Any) -> None:
    template = shipped_templates()["qwen3-reranker"].model_copy(update={"irrelevant": "yellow"})
    with pytest.raises(CheckpointError, match="start with the same token"):
        PairReader(bytes_, template, instruction="x", max_length=8192, positions=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "not YAML"),
        ("name: mine\nsource: me", "max_length"),
        ("just text", "not valid"),
        ("name: m\nsource: s\nmax_length: 99\nrelevant: y\npieces: [{text: '{query}'}]", "once"),
        (
            "name: m\nsource: s\nmax_length: 99\nrelevant: y\n"
            "pieces: [{text: '{document} {query}'}]",
            "must end its piece",
        ),
        (
            "name: m\nsource: s\nmax_length: 99\nrelevant: y\n"
            "pieces: [{text: '{instruction} {query} {document}'}]",
            "default instruction",
        ),
        (
            "name: m\nsource: s\nmax_length: 99\nrelevant: y\n"
            "pieces: [{text: '{query} ', counts: 0}, {text: '{document}'}]",
            "counts once",
        ),
        ("name: m\nsource: s\nmax_length: 99\nrelevant: y\npeices: []", "peices"),
    ],
    ids=[
        "yaml",
        "incomplete",
        "text",
        "one slot",
        "document first",
        "instruction",
        "uncounted",
        "typo",
    ],
)
def test_bad_template_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        template_for(str(path), {}, "model")


def test_template_by_architecture_or_name(tmp_path: Path) -> None:
    for name, architecture in (
        ("qwen3-reranker", "Qwen3ForCausalLM"),
        ("mxbai-rerank-v2", "Qwen2ForCausalLM"),
        ("bge-reranker-v2-gemma", "GemmaForCausalLM"),
    ):
        assert template_for(None, {"architectures": [architecture]}, "model").name == name
    with pytest.raises(UsageError, match=r"No template belongs.*LlamaForCausalLM"):
        template_for(None, {"architectures": ["LlamaForCausalLM"]}, "model")
    with pytest.raises(UsageError, match="did you mean 'qwen3-reranker'"):
        template_for("qwen3-rerank", {}, "model")
    with pytest.raises(UsageError, match="cannot be read"):
        template_for(str(tmp_path / "absent.yaml"), {}, "model")
    with pytest.raises(UsageError, match="no place for an instruction"):
        shipped_templates()["bge-reranker-v2-gemma"].instruction_for("Find rivers.")


def test_the_documented_template_works(bytes_: Any, tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "backends.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.split("<!-- example: template -->\n```yaml\n")[1].split("```")[0])
    template = template_for(str(path), {}, "model")
    made = PairReader(bytes_, template, instruction=None, max_length=2048, positions=None)
    assert bytes_.decode(ids(made, "which river", "The Nile.")[0]) == (
        "<|im_start|>user\nQuery: which river\nDocument: The Nile.\nIs the document relevant?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
