"""The hub source: mteb's and datasets' own code against a replica of the hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import DOCUMENTS, QUERIES
from jrv3_eval.cards import HubSource, load_suite
from jrv3_eval.sources.hub import open_hub
from replicas import HubReplica, card, mteb_layout, parquet, read_beir

COMMIT = "c0ffee" * 6 + "c0de"
NFCORPUS = "ec0fa4fe99da2ff19ca1214b7966684033a58814"
ANIMALS = [(docid, "", text) for docid, text in DOCUMENTS.items()]
JUDGED = [("q1", "cat", 1), ("q1", "dog", 2), ("q2", "fox", 1), ("q3", "sun", 1)]

PROGRAM = """
import json, sys
from pathlib import Path
from jrv3_eval.cards import load_suite
from jrv3_eval.errors import Jrv3EvalError
from jrv3_eval.paths import cache_root
from jrv3_eval.sources import load_collection

suite = load_suite(sys.argv[1], Path(sys.argv[2]))
found = {}
for card in suite.tasks:
    try:
        c = load_collection(suite, card, cache=cache_root())
        found[card.name] = {
            "fingerprint": c.fingerprint, "revision": c.revision, "queries": dict(c.queries),
            "pools": {k: list(v) for k, v in c.pools.items()}, "documents": c.documents,
            "texts": [text for texts in c.iter_texts() for text in texts],
            "qrels": {q: dict(v) for q, v in c.qrels.items()},
        }
    except Jrv3EvalError as error:
        found[card.name] = {"error": str(error)}
print(json.dumps(found))
"""


def run(replica: str, home: Path, *arguments: str, offline: bool = False) -> Any:
    """A fresh Python whose hub is the replica; huggingface_hub reads HF_ENDPOINT on import."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": replica,
        "HF_HOME": str(home / "hf"),
        "JRV3_EVAL_CACHE": str(home / "cache"),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    environment.pop("HF_DATASETS_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def replica() -> Iterator[HubReplica]:
    server = HubReplica()
    yield server
    server.close()


def source(path: str, rest: str = "") -> str:
    return f"{{kind: hub, path: {path}, revision: {COMMIT}{rest}}}"


CARDS = f"""\
suite: hub
title: Layouts of the hub
tasks:
  - {{name: plain, sources: [{source("zoo/animals")}]}}
  - {{name: pools, split: dev, language: sw, sources:
      [{source("mteb/MIRACLReranking", ", task: MIRACLReranking, subset: sw")}]}}
  - {{name: coir, language: python, analysis: code, sources:
      [{
    source("CoIR-Retrieval/CodeSearchNet", ", task: COIRCodeSearchNetRetrieval, subset: python")
}]}}
  - {{name: absent, sources: [{source("zoo/absent")}]}}
  - {{name: second, sources: [{source("zoo/absent")}, {{kind: folder, path: ../animals}}]}}
"""


@pytest.fixture(scope="module")
def loaded(
    replica: HubReplica, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str, Path]:
    """What a fresh process read from each layout, what it said, and its home."""
    from conftest import QRELS, write_beir

    home = tmp_path_factory.mktemp("hub")
    (home / "cards").mkdir()
    (home / "cards/hub.yaml").write_text(CARDS)
    write_beir(home / "animals", DOCUMENTS, QUERIES, QRELS)
    replica.add("zoo/animals", COMMIT, mteb_layout(ANIMALS, list(QUERIES.items()), JUDGED))
    pools = {"q1": ["dog", "cat"], "q2": ["sea", "fox"], "q3": ["sun"]}
    replica.add(
        "mteb/MIRACLReranking",
        COMMIT,
        mteb_layout(ANIMALS, list(QUERIES.items()), JUDGED, split="dev", subset="sw", pools=pools),
    )
    replica.add("CoIR-Retrieval/CodeSearchNet", COMMIT, coir_layout())
    done = run(replica.address, home, "-c", PROGRAM, "hub", str(home / "cards"))
    return json.loads(done.stdout), done.stderr, home


def coir_layout() -> dict[str, bytes]:
    """CoIR's own: splits named `corpus` and `queries`, the latter with a `partition`."""
    return {
        "corpus.parquet": parquet({"_id": ["c1", "c2"], "title": ["", ""],
                                   "text": ["adds numbers", "opens a file"]}),
        "queries.parquet": parquet({"_id": ["q1", "q2"], "text": ["def add(): ...", "def x(): ..."],
                                    "partition": ["test", "train"]}),
        "qrels.parquet": parquet({"query-id": ["q1"], "corpus-id": ["c1"], "score": [1]}),
        "README.md": card({
            "python-corpus": {"corpus": "corpus.parquet"},
            "python-queries": {"queries": "queries.parquet"},
            "python-qrels": {"test": "qrels.parquet"},
        }),
    }  # fmt: skip


def test_a_dataset_in_mtebs_own_layout(loaded: tuple[dict[str, Any], str, Path]) -> None:
    plain = loaded[0]["plain"]
    assert plain["queries"] == QUERIES
    assert plain["qrels"] == {"q1": {"cat": 1, "dog": 2}, "q2": {"fox": 1}, "q3": {"sun": 1}}
    assert plain["texts"] == [text for _, _, text in ANIMALS]
    assert plain["revision"] == COMMIT
    assert plain["pools"] == {}


def test_a_language_with_its_own_pools(loaded: tuple[dict[str, Any], str, Path]) -> None:
    pools = loaded[0]["pools"]
    assert pools["pools"] == {"q1": ["dog", "cat"], "q2": ["sea", "fox"], "q3": ["sun"]}
    assert pools["fingerprint"] == loaded[0]["plain"]["fingerprint"]


def test_a_task_with_a_loader_of_its_own(loaded: tuple[dict[str, Any], str, Path]) -> None:
    coir = loaded[0]["coir"]
    assert coir["queries"] == {"q1": "def add(): ..."}
    assert coir["texts"] == ["adds numbers", "opens a file"]
    assert coir["qrels"] == {"q1": {"c1": 1}}


def test_a_dataset_that_is_not_there_names_what_was_tried(
    loaded: tuple[dict[str, Any], str, Path],
) -> None:
    message = loaded[0]["absent"]["error"]
    assert "zoo/absent" in message
    assert "jrv3-eval fetch hub --tasks absent" in message


def test_the_next_source_is_read_and_the_change_is_said(
    loaded: tuple[dict[str, Any], str, Path],
) -> None:
    found, said, _ = loaded
    assert found["second"]["documents"] == len(DOCUMENTS)
    assert "hub-second:" in said
    assert "read from the source folder instead" in said


def test_a_cached_dataset_needs_no_hub_and_no_library(
    loaded: tuple[dict[str, Any], str, Path],
) -> None:
    found, _, home = loaded
    program = PROGRAM.replace("suite.tasks:", "suite.tasks[:3]:")
    program += "\nassert not {'mteb', 'datasets'} & set(sys.modules)"
    done = run("http://127.0.0.1:9", home, "-c", program, "hub", str(home / "cards"), offline=True)
    again = json.loads(done.stdout)
    assert {name: again[name]["fingerprint"] for name in ("plain", "pools", "coir")} == {
        name: found[name]["fingerprint"] for name in ("plain", "pools", "coir")
    }


def test_nothing_is_loaded_before_it_is_read() -> None:
    raw = open_hub(HubSource(kind="hub", path="zoo/absent", revision=COMMIT), "test")
    assert raw.identity["revision"] == raw.revision == COMMIT


def test_the_real_nfcorpus_through_the_hub(data: Path, replica: HubReplica, tmp_path: Path) -> None:
    """The shipped card's own hub source, the whole command, and the folder's numbers."""
    documents, queries, qrels = read_beir(data / "beir-nfcorpus", "test")
    replica.add("mteb/nfcorpus", NFCORPUS, mteb_layout(documents, queries, qrels))
    [shipped] = [c for c in load_suite("beir").tasks if c.name == "nfcorpus"]
    [hub] = [s for s in shipped.sources if isinstance(s, HubSource)]
    (tmp_path / "cards").mkdir()
    content = {"suite": "hubbed", "title": "t", "tasks": [
        {"name": "nfcorpus", "counts": shipped.counts.model_dump(),
         "sources": [hub.model_dump(exclude_none=True)]}
    ]}  # fmt: skip
    (tmp_path / "cards/hubbed.yaml").write_text(json.dumps(content))
    command = ("-m", "jrv3_eval", "hubbed", "--tasks-dir", str(tmp_path / "cards"), "--json")
    results = ("--model", "none", "--results", str(tmp_path / "results"))
    [record] = json.loads(run(replica.address, tmp_path, *command, *results).stdout)
    folder = ("-m", "jrv3_eval", "beir", "--tasks", "nfcorpus", "--data-dir", str(data), "--json")
    [local] = json.loads(run("http://127.0.0.1:9", tmp_path, *folder, *results).stdout)
    assert record["dataset"]["fingerprint"] == local["dataset"]["fingerprint"]
    assert record["dataset"]["revision"] == NFCORPUS
    assert record["candidates"]["hash"] == local["candidates"]["hash"]
    assert record["metrics"] == local["metrics"]
    assert record["metrics"]["ndcg@10"] == pytest.approx(0.3210, abs=5e-5)
