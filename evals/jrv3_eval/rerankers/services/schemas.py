"""What each rerank service takes and answers, one description a service.

Sources: the services' own API references (Jina /v1/rerank, Cohere /v2/rerank, Voyage
/v1/rerank), text-embeddings-inference router/src/http/types.rs, vLLM
entrypoints/pooling/score/protocol.py, infinity fastapi_schemas/pymodels.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ScoreError, UsageError
from .client import Answer
from .settings import ServiceSettings

LARGEST_COUNT = 2**53  # no service counts so far, and no file holds more exactly
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Service:
    """How one service is asked.

    endpoint: of the hosted service, None for one that runs elsewhere. keys: environment
    variables of its key. documents: the field of the texts. everything: the field that asks for
    all documents, None where there is none. constant: fields that are always sent. truncation:
    the field and its values for `truncation` true and false; None leaves the field out. takes:
    settings that it takes besides. limit: documents a call, None if its server decides. pairwise:
    it only serves models that read one pair at a time, `batch` of them a call unless told
    otherwise. empty: what an empty text is sent as. substitutes: it answers with the model that
    it has, whatever it is asked for, so its answer's `model` is checked.
    """

    name: str
    title: str
    endpoint: str | None = None
    keys: tuple[str, ...] = ()
    documents: str = "documents"
    everything: str | None = "top_n"
    constant: Mapping[str, Any] = field(default_factory=dict)
    truncation: tuple[str, Any, Any] | None = None
    takes: frozenset[str] = frozenset()
    model_required: bool = False
    sends_model: bool = True
    limit: int | None = None
    pairwise: bool = False
    batch: int = 1000
    empty: str = ""
    substitutes: bool = False

    def payload(
        self, model: str | None, query: str, documents: Sequence[str], settings: ServiceSettings
    ) -> dict[str, Any]:
        """The JSON of one call that asks for the scores of all documents."""
        body: dict[str, Any] = {"query": query or self.empty}
        body[self.documents] = [document or self.empty for document in documents]
        if model and self.sends_model:
            body["model"] = model
        if self.everything:
            body[self.everything] = len(documents)
        body |= self.constant
        if self.truncation:
            name, cut, refuse = self.truncation
            value = cut if settings.truncation else refuse
            if value is not None:
                body[name] = value
        for name in sorted(self.takes):
            if (value := getattr(settings, name)) is not None:
                body[name] = value
        return body | (json.loads(settings.options) if settings.options else {})


SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service(
            "jina",
            "Jina",
            endpoint="https://api.jina.ai/v1",
            keys=("JINA_API_KEY",),
            constant={"return_documents": False},
            model_required=True,
            limit=2048,
            empty=" ",
        ),
        Service(
            "cohere",
            "Cohere",
            endpoint="https://api.cohere.com/v2",
            keys=("CO_API_KEY", "COHERE_API_KEY"),
            takes=frozenset({"max_tokens_per_doc"}),
            model_required=True,
            limit=10_000,
            empty=" ",
        ),
        Service(
            "voyage",
            "Voyage",
            endpoint="https://api.voyageai.com/v1",
            keys=("VOYAGE_API_KEY",),
            everything="top_k",
            constant={"return_documents": False},
            truncation=("truncation", True, False),
            model_required=True,
            limit=1000,
            empty=" ",
        ),
        Service(
            "tei",
            "text-embeddings-inference",
            documents="texts",
            everything=None,
            constant={"raw_scores": True, "return_text": False, "truncation_direction": "right"},
            truncation=("truncate", True, False),
            sends_model=False,
            pairwise=True,
            batch=32,
        ),
        Service(
            "vllm",
            "vLLM",
            constant={"use_activation": False},
            truncation=("truncate_prompt_tokens", -1, None),
            takes=frozenset({"instruction", "max_tokens_per_doc"}),
        ),
        Service(
            "infinity",
            "infinity",
            constant={"raw_scores": True, "return_documents": False},
            limit=2048,
            pairwise=True,
            batch=100,
            substitutes=True,
        ),
    )
}


def read_scores(answer: Any, count: int, where: str) -> NDArray[np.float32]:
    """Scores in the order of the documents, whatever the order of the answer. float32 [count].

    answer: parsed JSON: a list of results, or an object with it under `results` or `data`; each
    has `index` and `relevance_score` or `score`. Raises ScoreError unless every document has
    exactly one finite number as its score.
    """
    results = _results(answer, where)
    scores: dict[int, float] = {}
    repeated = set()
    for result in results:
        index, score = _entry(result, count, where)
        if index in scores:
            repeated.add(index)
        scores[index] = score
    missing = [i for i in range(count) if i not in scores]
    if missing or repeated:
        problems = [
            f"{word} {_few(sorted(found))}"
            for word, found in (("no score for", missing), ("several scores for", repeated))
            if found
        ]
        raise _wrong(
            f"The service answered {len(results)} results for {count} documents, with "
            f"{' and '.join(problems)}.",
            where,
        )
    return np.asarray([scores[i] for i in range(count)], dtype=np.float32)


def check_model(service: Service, model: str | None, answer: Any, where: str) -> None:
    """Raise UsageError if a service that substitutes models did not answer with this one."""
    served = answer.get("model") if isinstance(answer, dict) else None
    if service.substitutes and model is not None and served != model:
        raise UsageError(
            f"{service.title} was asked for the model {model!r} and answered with "
            f"{str(served)[:100]!r}.",
            where=where,
            next_step=f"give the model's name as it is served: http:{service.name}/{served}",
        )


def read_tokens(answer: Answer) -> int | None:
    """Tokens that the service says it read: usage.total_tokens, or TEI's header."""
    usage = answer.value.get("usage") if isinstance(answer.value, dict) else None
    value = usage.get("total_tokens") if isinstance(usage, dict) else None
    if value is None:
        text = answer.headers.get("x-compute-tokens", "")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    return read_count(value)


def read_count(value: Any) -> int | None:
    """A count as a whole number from 0 to 2**53 - 1, None for all else."""
    counts = isinstance(value, int) and not isinstance(value, bool)
    return value if counts and 0 <= value < LARGEST_COUNT else None


def read_billed(answer: Answer) -> float | None:
    """Units that the service charges: Cohere's meta.billed_units.search_units."""
    value = answer.value
    for name in ("meta", "billed_units", "search_units"):
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LARGEST_COUNT else None


def _results(answer: Any, where: str) -> list[Any]:
    found = answer
    if isinstance(answer, dict):
        found = answer.get("results", answer.get("data"))
    if not isinstance(found, list):
        kind = f"the fields {_few(sorted(answer))}" if isinstance(answer, dict) else _kind(answer)
        raise _wrong(f"The service answered no list of results but {kind}.", where)
    return found


def _entry(result: Any, count: int, where: str) -> tuple[int, float]:
    """Index and score of one result."""
    if not isinstance(result, dict):
        raise _wrong(f"A result of the service is {_kind(result)}, not an object.", where)
    index = result.get("index")
    if isinstance(index, bool) or not isinstance(index, int):
        raise _wrong(f"A result's index is {_kind(index)}, not an integer.", where)
    if not 0 <= index < count:
        raise _wrong(f"A result has the index {index}, but there are {count} documents.", where)
    score = result.get("relevance_score", result.get("score"))
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _wrong(f"The score of document {index} is {_kind(score)}, not a number.", where)
    if not abs(score) <= _LARGEST:
        raise _wrong(f"The score of document {index} is not a finite float32.", where)
    return index, float(score)


def _few(items: Sequence[Any]) -> str:
    shown = ", ".join(str(item)[:40] for item in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown or "(none)"


def _kind(value: Any) -> str:
    names = {str: "a string", list: "a list", dict: "an object", bool: "a boolean"}
    return "null or absent" if value is None else names.get(type(value), "a number")


def _wrong(what: str, where: str) -> ScoreError:
    return ScoreError(
        what,
        where=where,
        next_step="this is a fault of the service, or another service answers at this endpoint; "
        "nothing of this batch was stored",
    )
