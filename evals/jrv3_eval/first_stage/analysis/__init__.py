"""From text to BM25 terms, by the language of the corpus; identifiers split for code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...cards import TaskCard
from .bigrams import BIGRAM_SCRIPTS, bigram_terms
from .identifiers import split_identifiers
from .words import word_terms

__all__ = ["VERSION", "Analysis", "analysis_for", "split_identifiers"]

VERSION = 2  # raised when an analysis of the same name would give other terms


@dataclass(frozen=True)
class Analysis:
    """How text becomes terms. `name` goes into the record of the candidates."""

    name: str
    terms: Callable[[str], list[str]]


def analysis_for(card: TaskCard) -> Analysis:
    """Code: identifiers split at underscores and capitals. Text: by the corpus's language.

    Chinese, Japanese, Korean, Thai, Khmer, Lao and Burmese text, in which no spaces part the
    words (or do not part what is searched for), becomes overlapping pairs of characters; any
    other words, without stop words where a list is known, stemmed by Snowball where it can.
    benchmarks/languages.py measures each language with and without its analysis.
    """
    if card.analysis == "code":
        return Analysis("identifiers", split_identifiers)
    language = card.text_language.lower().replace("_", "-").partition("-")[0]
    if language in BIGRAM_SCRIPTS:
        return Analysis(*bigram_terms(language))
    return Analysis(*word_terms(language))
