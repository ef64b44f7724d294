"""The shipped suites: their lists against the paper and mteb, their counts against judgements."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import cache
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from jrv3_eval.cards import HubSource, MkqaSource, Suite, TaskCard, load_suite, suite_files

SUITES = (
    "beir", "code", "demo", "miracl", "miracl-hard-negatives", "miracl-reranking", "mkqa",
    "mkqa-mteb", "nano-beir",
)  # fmt: skip
CARDS = [(suite, card) for suite in map(load_suite, SUITES) for card in suite.tasks]


def published(data: Path, name: str) -> dict[str, Any]:
    """A published table, which lies beside the real data."""
    path = data.parent / "published" / f"{name}.json"
    if not path.is_file():
        pytest.skip("the published tables are not beside the real data")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def members(suite: Suite, name: str) -> list[str]:
    return list(next(one.members for one in suite.averages if one.name == name))


def test_these_suites_are_shipped() -> None:
    assert sorted(suite_files()) == sorted(SUITES)


def test_beir_is_the_papers_thirteen(data: Path) -> None:
    row = published(data, "jina-reranker-v3-beir")["scores"]["jina-embeddings-v3"]
    suite = load_suite("beir")
    names = {"touche2020": "webis-touche2020", "dbpedia": "dbpedia-entity"}
    paper = {names.get(name, name) for name in row if name != "average"}
    assert len(paper) == 13
    assert set(suite.default) == set(members(suite, "beir-13")) == paper
    assert len(suite.tasks) == 13 + 1 + 12
    assert len(members(suite, "cqadupstack")) == 12


def test_miracl_is_the_papers_eighteen(data: Path) -> None:
    row = published(data, "jina-reranker-v3-miracl")["scores"]["jina-embeddings-v3"]
    paper = {language for language in row if language != "average"}
    assert len(paper) == 18
    for name in ("miracl", "miracl-hard-negatives", "miracl-reranking"):
        suite = load_suite(name)
        assert {card.language for card in suite.tasks} == paper
        assert members(suite, f"{name}-18") == [f"{name}-{card.language}" for card in suite.tasks]


def test_mkqa_is_in_the_papers_26_languages(data: Path) -> None:
    notes = published(data, "jina-reranker-v3-mkqa")["notes"]
    [listed] = [note for note in notes if note.startswith("26 languages")]
    paper = {name.strip() for name in listed.partition(":")[2].split(",")}
    assert len(paper) == 26
    for suite in map(load_suite, ("mkqa", "mkqa-mteb")):
        assert {card.language.replace("-", "_") for card in suite.tasks} == paper
        assert {card.query_group for card in suite.tasks} == {"mkqa"}
    mkqa = load_suite("mkqa")
    assert (mkqa.metric, mkqa.published_as) == ("success@10", "Recall@10")
    for card in mkqa.tasks:
        assert (card.relevance, card.text_language, card.counts.queries) == (
            "answer-match", "en", 6619,
        )  # fmt: skip


@cache
def mteb_task(name: str) -> Any:
    import mteb

    return mteb.get_task(name)


def hub_sources(card: TaskCard) -> list[HubSource]:
    inner = [s.corpus if isinstance(s, MkqaSource) else s for s in card.sources]
    return [source for source in inner if isinstance(source, HubSource)]


def test_code_is_mtebs_coir() -> None:
    import mteb

    suite = load_suite("code")
    listed = {task.metadata.name for task in mteb.get_benchmark("CoIR").tasks}
    assert len(listed) == len(members(suite, "coir")) == 10
    default = [card for card in suite.tasks if card.name in suite.default]
    assert {source.task for card in default for source in hub_sources(card)} == listed
    languages = Counter(source.task for card in default for source in hub_sources(card))
    for task, count in languages.items():
        assert count == len(mteb_task(str(task)).hf_subsets)
    assert len(members(suite, "codesearchnet")) == 6


def test_nano_beir_is_mtebs() -> None:
    import mteb

    listed = {task.metadata.name for task in mteb.get_benchmark("NanoBEIR").tasks}
    found = {s.task for card in load_suite("nano-beir").tasks for s in hub_sources(card)}
    assert len(listed) == 13
    assert found == listed


def test_hub_sources_are_what_mteb_pins() -> None:
    """Path, revision, subset and split, and the counts of mteb's descriptive statistics."""
    for _, card in CARDS:
        for source in hub_sources(card):
            task = mteb_task(str(source.task))
            assert task.metadata.dataset["path"] == source.path, card.name
            assert task.metadata.dataset["revision"] == source.revision, card.name
            assert source.subset == "default" or source.subset in task.hf_subsets
            split = source.split or card.split
            assert split in task.metadata.eval_splits
            if card.relevance == "answer-match":  # its queries are not the hub's
                continue
            found = task.metadata.descriptive_stats[split]
            if source.subset != "default":
                found = found["hf_subset_descriptive_stats"][source.subset]
            if "num_documents" in found:
                assert found["num_documents"] == card.counts.documents, card.name
                assert found["num_queries"] == card.counts.queries, card.name


def test_irds_sources_are_registered_with_these_counts() -> None:
    import ir_datasets

    checked = 0
    for _, card in CARDS:
        for source in card.sources:
            if source.kind == "irds":
                about = ir_datasets.load(source.dataset).metadata()
                assert about["docs"]["count"] == card.counts.documents, card.name
                assert about["queries"]["count"] == card.counts.queries, card.name
                assert about["qrels"]["count"] == card.counts.judgements, card.name
                checked += 1
    assert checked == 26 + 18 + 13


def test_checksums_are_those_of_beirs_own_table() -> None:
    table = str(metadata("beir"))
    urls = {}
    for _, card in CARDS:
        for source in (s.corpus if isinstance(s, MkqaSource) else s for s in card.sources):
            if source.kind == "beir":
                urls[source.url] = source.md5
    assert len(urls) == 15
    for url, md5 in urls.items():
        [row] = [line for line in table.splitlines() if f"({url})" in line and md5 in line]
        assert row.startswith("|")


# Anserini's copies leave these lines out; the zip, the hub and ir_datasets have them.
LEFT_OUT = {"webis-touche2020": 1282, "trec-covid": 2}


def count_lines(path: Path) -> tuple[int, int]:
    """Judged queries, and distinct judgements."""
    pairs = set()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            qid, _, docid, _ = line.split()
            pairs.add((qid, docid))
    return len({qid for qid, _ in pairs}), len(pairs)


def test_counts_are_those_of_the_judgement_files(data: Path) -> None:
    folder = data / "topics-qrels"
    checked = 0
    for card in load_suite("beir").tasks:
        file = folder / f"beir/qrels.beir-v1.0.0-{card.name}.test.txt.gz"
        if card.name == "msmarco":
            file = folder / "trec/qrels.msmarco-passage.dev-subset.txt.gz"
        queries, judgements = count_lines(file)
        judgements += LEFT_OUT.get(card.name, 0)
        assert (card.counts.queries, card.counts.judgements) == (queries, judgements), card.name
        checked += 1
    for card in load_suite("miracl").tasks:
        file = folder / f"miracl/qrels.miracl-v1.0-{card.language}-dev.tsv.gz"
        assert (card.counts.queries, card.counts.judgements) == count_lines(file), card.name
        checked += 1
    assert checked == 26 + 18


@pytest.mark.parametrize(("suite", "card"), CARDS, ids=[card.name for _, card in CARDS])
def test_a_card_states_its_protocol(suite: Suite, card: TaskCard) -> None:
    assert card.sources
    if suite.suite != "demo":
        assert card.counts.documents
        assert card.counts.queries
        assert card.counts.judgements
    if suite.suite == "beir":
        assert [source.kind for source in card.sources] == ["beir", "hub", "irds"]
    if suite.published_for(card):
        assert suite.first_stage_of_paper(card)
    assert (card.self_retrieval == "remove") == (card.name in ("arguana", "quora"))


def test_tasks_json_lists_every_task_with_its_protocol(cli: Cli) -> None:
    rows = json.loads(cli("tasks", "--json").out)
    assert len(rows) == len(CARDS)
    for row in rows:
        assert {
            "suite", "task", "language", "metric", "published_as", "published", "depth",
            "first_stage", "paper_first_stage", "default", "averages", "split", "sources",
            "counts", "join", "self_retrieval", "relevance", "query_group", "corpus_language",
            "analysis", "licence", "notes",
        } <= set(row)  # fmt: skip
    named = {(row["suite"], row["task"]): row for row in rows}
    assert named["beir", "scifact"]["averages"] == ["beir-13", "beir-15"]
    assert named["beir", "cqadupstack-tex"]["averages"] == ["cqadupstack", "beir-15"]
    assert named["beir", "cqadupstack-tex"]["default"] is False
    assert named["beir", "cqadupstack-tex"]["published"] is None  # it is not in the table
    assert named["beir", "scifact"]["published"] == "arXiv 2509.25085v4, Table 3"
    assert named["mkqa", "mkqa-ja"]["corpus_language"] == "en"
    assert named["miracl", "miracl-te"]["paper_first_stage"] == "dense:jinaai/jina-embeddings-v3-hf"
