"""Letters that are written in several ways, as one."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

Table = dict[int, str | None]

ZERO_WIDTH_JOINERS = "\u200c\u200d"
_NUKTAS = (0x093C, 0x09BC)
_ARABIC_MARKS = (*range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670, 0x0640)


@cache
def ascii_digits() -> Table:
    """Every script's decimal digits as 0 to 9."""
    return {
        code: str(unicodedata.decimal(letter))
        for code in range(0x80, sys.maxunicode)
        if (letter := chr(code)).isdecimal()
    }


def arabic() -> Table:
    """Arabic without vowel signs and tatweel; Snowball's stemmer folds alef and yeh itself."""
    return {**ascii_digits(), **dict.fromkeys(_ARABIC_MARKS)}


def persian() -> Table:
    """Persian: Arabic yeh, kaf and teh marbuta as the Persian ones, no vowel signs.

    The zero-width non-joiner stays: it parts a word from its endings, and is no letter.
    """
    letters = {"ي": "ی", "ى": "ی", "ئ": "ی", "ك": "ک", "ة": "ه", "ۀ": "ه", "ؤ": "و"}
    alefs = dict.fromkeys("أإآٱ", "ا")
    table: Table = {ord(k): v for k, v in (letters | alefs).items()}
    return {**arabic(), **table}


def indic() -> Table:
    """Hindi, Bengali, Telugu and their like: no nukta, no joiners, candrabindu as anusvara."""
    gone: Table = dict.fromkeys([*_NUKTAS, *map(ord, ZERO_WIDTH_JOINERS)])
    return {**ascii_digits(), **gone, 0x0901: "\u0902", 0x0981: "\u0982"}


def turkish() -> Table:
    """Turkish capitals, whose small letters are not English's."""
    return {ord("I"): "ı", ord("İ"): "i"}


def without_marks(text: str) -> str:
    """The text without accents and tone marks: `ẹ̀kọ́` -> `eko`."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
