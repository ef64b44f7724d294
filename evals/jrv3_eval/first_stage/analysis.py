"""From text to BM25 terms: words, stop words, stems; identifiers split for code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..cards import TaskCard

WORD = re.compile(r"(?u)\b\w\w+\b")  # the token pattern of bm25s and scikit-learn
CODE_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")

SNOWBALL = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
STOP_WORDS = {
    "de": "GERMAN",
    "en": "EN",
    "es": "SPANISH",
    "fr": "FRENCH",
    "it": "ITALIAN",
    "nl": "DUTCH",
    "no": "NORWEGIAN",
    "pt": "PORTUGUESE",
    "ru": "RUSSIAN",
    "sv": "SWEDISH",
}


@dataclass(frozen=True)
class Analysis:
    """How text becomes terms. `name` goes into the record of the candidates."""

    name: str
    terms: Callable[[str], list[str]]


def analysis_for(card: TaskCard) -> Analysis:
    """Code: identifiers split at underscores and capitals. Text: words, stop words, Snowball."""
    if card.analysis == "code":
        return Analysis("identifiers", split_identifiers)
    language = card.language.lower().partition("-")[0]
    stop = _stop_words(language)
    stem = _stemmer(SNOWBALL.get(language))

    def terms(text: str) -> list[str]:
        words = WORD.findall(text.lower())
        return stem([word for word in words if word not in stop])

    parts = ["words"]
    parts += [f"stop-{language}"] if stop else []
    parts += [f"snowball-{SNOWBALL[language]}"] if language in SNOWBALL else []
    return Analysis("+".join(parts), terms)


def split_identifiers(text: str) -> list[str]:
    """`parseHTTPHeader_v2` -> parse, http, header, v, 2; one-letter words are kept."""
    return [word.lower() for word in CODE_WORD.findall(text)]


def _stop_words(language: str) -> frozenset[str]:
    if language not in STOP_WORDS:
        return frozenset()
    from bm25s import tokenization

    words: tuple[str, ...] = getattr(tokenization, f"STOPWORDS_{STOP_WORDS[language]}")
    return frozenset(words)


def _stemmer(algorithm: str | None) -> Callable[[list[str]], list[str]]:
    if algorithm is None:
        return lambda words: words
    import Stemmer

    stem_words: Callable[[list[str]], list[str]] = Stemmer.Stemmer(algorithm).stemWords
    return stem_words
