"""BM25 with and without a language's analysis, on real text in the languages of MIRACL.

    python benchmarks/languages.py --data DIR

Prints nDCG@10 a language: `without` is lower-cased words of two letters up, `with` what
`--first-stage bm25` does; for scripts without spaces also plain pairs of characters.
"""

from __future__ import annotations

import argparse
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from jrv3_eval.cards import Suite, TaskCard
from jrv3_eval.collection import Collection
from jrv3_eval.first_stage import bm25, open_first_stage
from jrv3_eval.first_stage.analysis import Analysis, analysis_for
from jrv3_eval.first_stage.analysis.words import WORD
from jrv3_eval.metrics import Qrels, Run, evaluate
from jrv3_eval.sources import load_collection

DATASETS = {
    "ar": ("ml-tydiqa-goldp-ar", "dev"),
    "bn": ("ml-tydiqa-goldp-bn", "dev"),
    "de": ("ml-xquad-de", "validation"),
    "en": ("ml-tydiqa-goldp-en", "dev"),
    "es": ("ml-xquad-es", "validation"),
    "fa": ("ml-persianqa-fa", "test"),
    "fi": ("ml-tydiqa-goldp-fi", "dev"),
    "fr": ("ml-afriqa-fr-fr", "test"),
    "hi": ("ml-xquad-hi", "validation"),
    "id": ("ml-tydiqa-goldp-id", "dev"),
    "ja": ("ml-jsquad-ja", "validation"),
    "ko": ("ml-tydiqa-goldp-ko", "dev"),
    "ru": ("ml-tydiqa-goldp-ru", "dev"),
    "sw": ("ml-tydiqa-goldp-sw", "dev"),
    "te": ("ml-tydiqa-goldp-te", "dev"),
    "th": ("ml-xquad-th", "validation"),
    "yo": ("ml-belebele-eng-to-yo", "test"),
    "zh": ("ml-xquad-zh", "validation"),
}
WITHOUT_SPACES = ("zh", "ja", "th", "ko")


@dataclass(frozen=True)
class Measured:
    """One language: nDCG@10 as fractions. bigrams: None where words are parted by spaces."""

    language: str
    dataset: str
    queries: int
    without: float
    with_analysis: float
    bigrams: float | None
    analysis: str


def measure(data: Path, cache: Path, language: str) -> Measured:
    """Score one language's dataset under `data`."""
    name, split = DATASETS[language]
    card = TaskCard(name=name, language=language, split=split)
    suite = Suite(suite="languages", title="languages", tasks=(card,))
    collection = load_collection(suite, card, cache=cache, data_dir=data)
    analysis = analysis_for(card)
    bigrams = Analysis("plain-bigrams", plain_bigrams)
    return Measured(
        language=language,
        dataset=name,
        queries=len(collection.queries),
        without=score(collection, card, cache, Analysis("plain", plain_words)),
        with_analysis=score(collection, card, cache, analysis),
        bigrams=score(collection, card, cache, bigrams) if language in WITHOUT_SPACES else None,
        analysis=analysis.name,
    )


def plain_words(text: str) -> list[str]:
    """No language at all: lower-cased words of two letters up."""
    return WORD.findall(text.lower())


def plain_bigrams(text: str) -> list[str]:
    """Pairs of characters of every word, whatever its script."""
    found: list[str] = []
    for word in "".join(_sign(letter) for letter in text.lower()).split():
        found += [word[i : i + 2] for i in range(len(word) - 1)] or [word]
    return found


def _sign(letter: str) -> str:
    return letter if unicodedata.category(letter)[0] in "LMN" else " "


def score(collection: Collection, card: TaskCard, cache: Path, analysis: Analysis) -> float:
    """nDCG@10 of BM25 with this analysis, through the package's own first stage."""
    with _analysis(lambda _: analysis):
        stage = open_first_stage("bm25", cache=cache)
        candidates = stage.retrieve(collection, card, 100)
    lists = [candidates.of(index) for index in range(len(candidates))]
    run = Run.from_ranked(candidates.qids, lists)
    return evaluate(Qrels.from_dict(collection.qrels), run, ["ndcg@10"]).means["ndcg@10"]


@contextmanager
def _analysis(choose: Callable[[TaskCard], Analysis]) -> Iterator[None]:
    with mock.patch.object(bm25, "analysis_for", choose):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folders in BEIR layout")
    data = parser.parse_args().data
    print("| language | dataset | queries | without | with | difference | bigrams | analysis |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as cache:
        for language in DATASETS:
            row = measure(data, Path(cache), language)
            gain = row.with_analysis - row.without
            bigrams = "-" if row.bigrams is None else f"{row.bigrams:.4f}"
            print(
                f"| {row.language} | {row.dataset.removeprefix('ml-')} | {row.queries} "
                f"| {row.without:.4f} | {row.with_analysis:.4f} | {gain:+.4f} | {bigrams} "
                f"| `{row.analysis}` |",
                flush=True,
            )


if __name__ == "__main__":
    main()
