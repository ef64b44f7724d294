"""Words, stop words, stems: the analysis of languages that part words by spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from . import folding

WORD = re.compile(r"(?u)\b\w\w+\b")  # the token pattern of bm25s and scikit-learn
TRUNCATED = 5

SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
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
# Inflected, and without a stemmer: words are cut to their first letters, as McNamee and
# Mayfield 2004 (Information Retrieval 7) found to serve such languages.
CUT = ("bn", "te", "kn", "ml", "gu", "mr", "pa")
FOLDED: dict[str, tuple[str, Callable[[], folding.Table]]] = {
    "ar": ("arabic", folding.arabic),
    "fa": ("persian", folding.persian),
    "tr": ("turkish", folding.turkish),
    **dict.fromkeys(("hi", "ne", *CUT), ("indic", folding.indic)),
}
TONES = ("yo",)  # often written without them


def word_terms(language: str) -> tuple[str, Callable[[str], list[str]]]:
    """A name for the record, and the analysis: composed (NFC), folded, words of two letters up.

    English is not composed: its terms are exactly those of bm25s, and so of mteb's baseline.
    """
    name, fold = FOLDED.get(language, ("", dict[int, str | None]))
    table = fold()
    stop = _stop_words(language)
    stem, stem_name = _stemmer(language)
    find = _marked_words() if _has_marks(language) else WORD.findall

    def terms(text: str) -> list[str]:
        if language != "en" and not text.isascii():  # English as bm25s and mteb read it
            text = _normal(text, language)
        if table:
            text = text.translate(table)
        return stem([word for word in find(text.lower()) if word not in stop])

    parts = ["words", *([name] if name else []), *(["no-tones"] if language in TONES else [])]
    parts += [f"stop-{language}"] if stop else []
    parts += [stem_name] if stem_name else []
    return "+".join(parts), terms


def _normal(text: str, language: str) -> str:
    """One form whatever the input's; presentation forms of Arabic letters are the letters."""
    if language in TONES:
        return folding.without_marks(text)
    return unicodedata.normalize("NFKC" if language in ("ar", "fa") else "NFC", text)


def _has_marks(language: str) -> bool:
    """Whether words hold signs that are no letters to Python's `re`, such as vowel signs.

    Not in the languages of Snowball that are written in Latin, Greek or Cyrillic letters, nor
    in Persian, whose vowel signs are gone.
    """
    return language not in {*SNOWBALL, "fa"} or language in ("ar", "hi", "ne", "ta")


@cache
def _marked_words() -> Callable[[str], list[str]]:
    import regex

    find: Callable[[str], list[str]] = regex.compile(r"[\w\p{M}]{2,}").findall
    return find


def _stop_words(language: str) -> frozenset[str]:
    if language not in STOP_WORDS:
        return frozenset()
    from bm25s import tokenization

    words: tuple[str, ...] = getattr(tokenization, f"STOPWORDS_{STOP_WORDS[language]}")
    return frozenset(words)


def _stemmer(language: str) -> tuple[Callable[[list[str]], list[str]], str]:
    if language in CUT:
        return lambda words: [word[:TRUNCATED] for word in words], f"first-{TRUNCATED}"
    if language not in SNOWBALL:
        return lambda words: words, ""
    import Stemmer

    algorithm = SNOWBALL[language]
    stem_words: Callable[[list[str]], list[str]] = Stemmer.Stemmer(algorithm).stemWords
    return stem_words, f"snowball-{algorithm}"
