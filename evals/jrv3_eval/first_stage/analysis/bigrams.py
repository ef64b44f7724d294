"""Overlapping pairs of characters, for scripts that do not part words by spaces.

The classical choice without a dictionary (Lucene's CJKAnalyzer does the same): `東京都` becomes
東京, 京都. Text is folded to NFKC, so that full-width letters and digits are the plain ones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

from .folding import ascii_digits

# Language -> the scripts whose runs are cut into pairs; other words stay whole.
BIGRAM_SCRIPTS = {
    "zh": r"\p{Han}",
    "ja": r"\p{Han}\p{Hiragana}\p{Katakana}ー々〆ヶ",
    "ko": r"\p{Hangul}\p{Han}",
    "th": r"\p{Thai}",
    "km": r"\p{Khmer}",
    "lo": r"\p{Lao}",
    "my": r"\p{Myanmar}",
}


def bigram_terms(language: str) -> tuple[str, Callable[[str], list[str]]]:
    """A name for the record, and the analysis of one language of `BIGRAM_SCRIPTS`."""
    runs, script = _patterns(language)
    digits = ascii_digits()

    def terms(text: str) -> list[str]:
        folded = unicodedata.normalize("NFKC", text).lower()
        # Again: lower-casing may leave a sequence that has a composed form.
        folded = unicodedata.normalize("NFKC", folded).translate(digits)
        found: list[str] = []
        for run in runs.findall(folded):
            if script.search(run) and len(run) > 1:
                found += [run[i : i + 2] for i in range(len(run) - 1)]
            else:
                found.append(run)
        return found

    return f"bigrams-{language}", terms


@cache
def _patterns(language: str) -> tuple[Any, Any]:
    """Runs of text, and what makes a run one of the script's.

    A Korean word keeps the digits and Latin letters that it holds (`1988년`); elsewhere they
    are words of their own.
    """
    import regex

    script = BIGRAM_SCRIPTS[language]
    if language == "ko":
        return regex.compile(r"[\w\p{M}]+"), regex.compile(f"[{script}]")
    pattern = rf"[{script}\p{{M}}]+|[[\w\p{{M}}]--[{script}\p{{M}}]]+"
    return regex.compile(pattern, regex.V1), regex.compile(f"[{script}]")
