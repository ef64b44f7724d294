"""Verdicts on real data: reproduced, differs after a planted fault, and not comparable."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from conftest import Cli


def beside(cli: Cli, *arguments: str | Path) -> dict[str, object]:
    done = cli("compare", *arguments, "--json")
    assert done.code == 0, done.err
    [row] = json.loads(done.out)["published"]
    assert isinstance(row, dict)
    return row


def test_a_bm25_score_is_not_comparable_with_the_papers_table(cli: Cli, data: Path) -> None:
    run = ("beir", "--tasks", "scifact", "--data-dir", data, "--results", "bm25")
    assert cli(*run, "--model", "none").code == 0
    row = beside(cli, "bm25")
    assert (row["verdict"], row["difference"]) == ("not comparable", None)
    assert row["table"] == "jina-reranker-v3-beir"
    shown = cli("compare", "bm25").out
    assert "first stage: bm25 here, jina-embeddings-v3 there" in shown
    forced = cli("compare", "bm25", "--as", "none=jina-embeddings-v3").out
    assert "72.40" in forced  # both values, and no difference
    assert "not comparable" in forced


@pytest.mark.slow
def test_minilm_is_reproduced_and_a_dropped_title_is_seen(
    cli: Cli, data: Path, tmp_path: Path
) -> None:
    published = data / "mteb-results/sentence-transformers__all-MiniLM-L6-v2"
    run = ("beir", "--tasks", "nfcorpus", "--model", "none")
    stage = ("--first-stage", "dense:package:all-MiniLM-L6-v2")
    assert cli(*run, *stage, "--data-dir", data, "--results", "whole").code == 0
    row = beside(cli, "whole", "--published", published)
    assert row["verdict"] == "reproduced"
    assert row["measured"] == pytest.approx(31.594, abs=0.1)

    planted = tmp_path / "planted" / "nfcorpus"
    shutil.copytree(data / "beir-nfcorpus", planted)
    for path in planted.rglob("*"):
        path.chmod(0o755)
    [corpus] = planted.glob("corpus.jsonl*")
    opened = gzip.open if corpus.suffix == ".gz" else open
    with opened(corpus, "rt", encoding="utf-8") as stream:
        documents = [{**json.loads(line), "title": ""} for line in stream]
    with opened(corpus, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(document) + "\n" for document in documents)
    assert cli(*run, *stage, "--data-dir", planted.parent, "--results", "untitled").code == 0
    assert beside(cli, "untitled", "--published", published)["verdict"] == "differs"
