"""The record of one evaluation: a JSON a (model, task), its run and per-query values beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .hashing import digest_json
from .metrics import Run
from .paths import atomic_path

SCHEMA: Literal[1] = 1
JsonMapping = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetPart(_Part):
    """Which data. missing_judged: distinct judged documents that the corpus has not."""

    fingerprint: str
    revision: str | None
    split: str
    documents: int
    queries: int
    judgements: int
    missing_judged: int
    duplicate_documents: int
    empty_documents: int


class ProtocolPart(_Part):
    """The card's rules that no other part names, and what the source published by them.

    depth: the suite's. not_comparable: why no run can be compared with the published numbers.
    published_as: the source's own name of the metric. paper_first_stage: SPEC of the first
    stage behind the published numbers. query_group: tasks of one group hold the same questions.
    """

    depth: int
    relevance: str
    join: str
    self_retrieval: str
    corpus_language: str
    query_group: str | None
    published: str | None
    published_as: str | None
    paper_first_stage: str | None
    not_comparable: str | None


class CandidatesPart(_Part):
    """Which candidates, and how good the best order of them could be.

    empty: queries without a candidate; they score 0. documents: over all lists.
    """

    first_stage: str
    settings: JsonMapping
    depth: int
    hash: str
    documents: int
    empty: int
    metrics: dict[str, float]
    oracle: dict[str, float]


class RerankerPart(_Part):
    """Which reranker. weights is None for a baseline.

    unpinned: a service whose model can change unseen, so the number may not be repeatable.
    """

    name: str
    family: str
    listwise: bool
    revision: str | None
    weights: str | None
    settings: JsonMapping
    unpinned: bool = False


class Difference(_Part):
    """A paired difference of means with its 95 % interval."""

    value: float
    low: float
    high: float


class TiesPart(_Part):
    """queries: share with a tie across rank 10. lowest, highest: nDCG@10 that ties allow.

    None where nDCG has no ideal to compare with (relevance by answer match).
    """

    queries: float
    lowest: float | None
    highest: float | None


class TruncatedPart(_Part):
    """Shares of documents and queries that were cut to fit the model; None where unknown."""

    documents: float | None
    queries: float | None


class BlocksPart(_Part):
    """How a listwise model read the lists: its contexts are blocks of documents.

    several: share of lists that took more than one block. most: blocks of a list.
    """

    several: float
    most: int


class LatencyPart(_Part):
    """Milliseconds a query: its share, by documents, of the batch that it was scored in."""

    p50: float | None
    p95: float | None


class CostPart(_Part):
    """What scoring took, as measured when it was scored; model_calls and cached are this run's."""

    seconds: float
    documents_per_s: float | None
    tokens_per_s: float | None
    latency_ms: LatencyPart
    peak_memory_bytes: int
    model_calls: int
    cached: int


class AnswersPart(_Part):
    """What a generating model or a service was asked, over all lists.

    calls: prompts answered, or requests to the service. malformed: answers that had to be
    repaired. tokens: as the service or the tokenizer counts. billed: units that it charges.
    """

    calls: int | None
    malformed: int | None
    tokens: int | None
    billed: float | None


class EnvironmentPart(_Part):
    """Where and how the command ran."""

    versions: dict[str, str]
    hardware: JsonMapping
    command: str
    seed: int
    started: str


class TaskResult(_Part):
    """All that is needed to repeat and to judge one number. Scores are fractions.

    Byte-identical for the same work, but for `cost` and `environment`.
    """

    schema_: Literal[1] = SCHEMA
    suite: str
    task: str
    language: str
    dataset: DatasetPart
    protocol: ProtocolPart | None = None
    primary_metric: str
    limit: int | None
    order: str
    candidates: CandidatesPart
    reranker: RerankerPart
    metrics: dict[str, float]
    interval: dict[str, tuple[float, float]]
    difference: dict[str, Difference]
    headroom: float | None
    ties: TiesPart
    truncated: TruncatedPart
    blocks: BlocksPart | None = None
    answers: AnswersPart | None = None
    cost: CostPart
    environment: EnvironmentPart

    def to_json(self) -> JsonMapping:
        """The record as other tools read it; the key is `schema`."""
        content = self.model_dump(mode="json")
        return {"schema": content.pop("schema_"), **content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TaskResult:
        """Read a record back. Raises pydantic.ValidationError where it is not one."""
        rest = {key: value for key, value in content.items() if key != "schema"}
        return cls.model_validate({"schema_": content.get("schema"), **rest})

    def folder(self) -> Path:
        """Where it lands under the results folder: nothing overwrites other settings' results."""
        weights = (self.reranker.weights or "baseline")[:8]
        order = "" if self.order == "first-stage" else f"-{path_segment(self.order)}"
        limit = "" if self.limit is None else f"-limit{self.limit}"
        settings = digest_json(
            [
                self.dataset.fingerprint,
                self.candidates.settings,
                self.reranker.family,
                self.reranker.settings,
            ]
        )[:8]
        return Path(
            f"{path_segment(self.reranker.name)}@{weights}",
            f"{path_segment(self.candidates.first_stage)}-{self.candidates.hash[:8]}"
            f"-d{self.candidates.depth}{order}{limit}-{settings}",
            self.suite,
        )


@dataclass(frozen=True)
class PerQuery:
    """Values a judged query: reranked, first stage and oracle; arrays aligned with qids."""

    qids: tuple[str, ...]
    candidates: NDArray[np.int64]
    reranked: Mapping[str, NDArray[np.float64]]
    first_stage: NDArray[np.float64]
    oracle: NDArray[np.float64]


def write_result(results: Path, result: TaskResult, run: Run, per_query: PerQuery) -> Path:
    """Write the record, `.run.gz` and `.queries.parquet`; returns the record's path.

    The record comes last: where it stands, the other two are complete.
    """
    folder = results / result.folder()
    _write_run(folder / f"{result.task}.run.gz", result, run)
    _write_per_query(folder / f"{result.task}.queries.parquet", per_query, result.primary_metric)
    record = folder / f"{result.task}.json"
    with atomic_path(record) as temporary:
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return record


def run_metadata(result: TaskResult) -> JsonMapping:
    """What a run is, by ir_metadata 0.1 (Breuer et al. 2022; https://www.ir-metadata.org).

    It holds what is the same for the same work; when and where that was done is in the record.
    """
    candidates, reranker = (
        part.model_dump(mode="json") for part in (result.candidates, result.reranker)
    )
    chosen = ("settings", "depth", "hash", "documents", "empty")
    stages = [
        {"name": candidates["first_stage"], "params": {key: candidates[key] for key in chosen}}
    ]
    if (reranker["family"], reranker["name"]) != ("baseline", "none"):
        name, family = reranker.pop("name"), reranker.pop("family")
        params = {**reranker, "order": result.order}
        reranks = candidates["first_stage"]
        stages.append({"name": name, "method": family, "params": params, "reranks": reranks})
    return {
        "schema-version": 0.1,
        "run-version": 1.0,
        "tag": path_segment(result.reranker.name),
        "platform": {"software": {"retrieval toolkit": ["jrv3-eval"]}},
        "research goal": {
            "evaluation": {
                "reported measures": [_trec_eval_name(name) for name in result.metrics],
                "baseline": [candidates["first_stage"]],
            }
        },
        "implementation": {},
        "method": {
            "automatic": True,
            "score ties": "float32 score, then document id, both descending",
            "retrieval": stages,
        },
        "actor": {},
        "data": {
            "test collection": {
                "name": f"{result.suite}/{result.task}",
                "source": result.dataset.revision or "a local copy",
                "split": result.dataset.split,
                "fingerprint": result.dataset.fingerprint,
                "queries": result.dataset.queries if result.limit is None else result.limit,
                "limited": result.limit is not None,
            }
        },
    }


def metadata_lines(metadata: Mapping[str, Any]) -> list[str]:
    """The header's lines, between the markers by which ir_metadata's tools find it."""
    text = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=4096)
    return ["ir_metadata.start", *text.rstrip("\n").split("\n"), "ir_metadata.end"]


def _trec_eval_name(metric: str) -> str:
    """The name in trec_eval, as ir_metadata wants it; ours where trec_eval has no such cut."""
    family, _, depth = metric.partition("@")
    names = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P",
             "success": "success"}  # fmt: skip
    return f"{names[family]}_{depth}" if family in names else metric


def _write_run(path: Path, result: TaskResult, run: Run) -> None:
    from .trec import write_run

    header = metadata_lines(run_metadata(result))
    write_run(path, run, tag=path_segment(result.reranker.name), header=header)


def _write_per_query(path: Path, per_query: PerQuery, primary: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "qid": pa.array(per_query.qids, pa.string()),
        "candidates": per_query.candidates,
        **per_query.reranked,
        f"first_stage_{primary}": per_query.first_stage,
        f"oracle_{primary}": per_query.oracle,
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def path_segment(name: str) -> str:
    """A name as one path segment."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
