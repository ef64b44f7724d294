"""Family `overlap`: the cosine between the counts of what query and document are made of."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from jrv3_eval.device import computing_versions
from jrv3_eval.errors import unknown
from jrv3_eval.hashing import digest_json
from jrv3_eval.rerankers import Family, RankingRequest, RerankerInfo, RerankerSettings

KINDS = ("words", "trigrams")


class OverlapSettings(RerankerSettings):
    """What `--set key=value` can change, beside what every family has."""

    once: bool = Field(False, description="count once what a text repeats")


class Overlap:
    """Scores by cosine, from 0 to 1; higher is better."""

    def __init__(self, kind: str, settings: OverlapSettings, info: RerankerInfo) -> None:
        self.info = info
        self._kind = kind
        self._once = settings.once

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """One float32 array a request, aligned with its documents."""
        return [self._of_list(request) for request in requests]

    def _of_list(self, request: RankingRequest) -> NDArray[np.float32]:
        query = self._counts(request.query)
        scores = [_cosine(query, self._counts(document)) for document in request.documents]
        return np.array(scores, dtype=np.float32)

    def _counts(self, text: str) -> Counter[str]:
        text = text.casefold()
        parts = re.findall(r"\w+", text)
        if self._kind == "trigrams":
            parts = [text[i : i + 3] for i in range(len(text) - 2)]
        return Counter(set(parts) if self._once else parts)


def _cosine(left: Counter[str], right: Counter[str]) -> float:
    product = sum(count * right[part] for part, count in left.items())
    norms = [math.sqrt(sum(c * c for c in counts.values())) for counts in (left, right)]
    return product / (norms[0] * norms[1]) if product else 0.0


class OverlapFamily:
    """What the registry finds under the entry point."""

    name = "overlap"
    models = "no model: the words or letters that query and document share"
    needs = "words or trigrams"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = OverlapSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """No checkpoint is of this family; it is asked for by name."""
        return False

    def open(self, target: str, settings: RerankerSettings) -> Overlap:
        """The reranker `overlap:TARGET`. Raises UsageError for another target."""
        if target not in KINDS:
            raise unknown("kind of overlap", target, KINDS)
        chosen = OverlapSettings.model_validate(settings.model_dump())
        info = RerankerInfo(
            name=f"overlap-{target}",
            family=self.name,
            listwise=self.listwise,
            revision=None,
            weights=digest_json({"overlap": target}),
            settings=chosen.model_dump(exclude={"device"}),
            versions=computing_versions("overlap-reranker", device="cpu"),
        )
        return Overlap(target, chosen, info)


family: Family = OverlapFamily()
