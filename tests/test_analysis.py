"""BM25's terms by language: literal examples a script, and bounds on real text in 18 languages."""

from __future__ import annotations

import importlib.util
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrv3_eval.cards import TaskCard, load_suite, suite_files
from jrv3_eval.first_stage.analysis import analysis_for

LANGUAGES = [
    *("ar", "bn", "da", "de", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("km", "ko", "ms", "nl", "no", "pl", "pt", "ru", "sv", "sw", "te", "th", "tr", "vi", "yo"),
    *("zh", "zh-cn", "zh_hk", "zh-tw", "xx"),
]


def terms(language: str, text: str) -> list[str]:
    return analysis_for(TaskCard(name="t", language=language)).terms(text)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "The Rivers of Egypt", ["river", "egypt"]),
        ("de", "Die Häuser", ["haus"]),
        ("zh", "東京都に", ["東京", "京都", "に"]),
        ("zh", "我有iPhone１５手机", ["我有", "iphone15", "手机"]),
        (
            "ja",
            "データベースのSQL入門",
            ["デー", "ータ", "タベ", "ベー", "ース", "スの", "sql", "入門"],
        ),
        ("ko", "1988년 서울", ["19", "98", "88", "8년", "서울"]),
        ("th", "สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),
        ("km", "ខ្មែរ 12", ["ខ្", "្ម", "មែ", "ែរ", "12"]),
        ("hi", "हिन्दी", ["हिन्द"]),  # the vowel signs stay inside the word
        ("te", "భారతదేశంలో", ["భారతద"[:5]]),
        ("fa", "كتاب\u200cهاي ايران", ["کتاب", "های", "ایران"]),
        ("tr", "IŞIK İstanbul", ["ışık", "istanbul"]),
        ("yo", "Ẹ̀kọ́ èdè", ["eko", "ede"]),
        ("ar", "٢٠٢٣", ["2023"]),
        ("hi", "२०२३", ["2023"]),
        ("vi", "Việt Nam", ["việt", "nam"]),
        ("xx", "हिन्दी text", ["हिन्दी", "text"]),
    ],
)
def test_examples(language: str, text: str, expected: list[str]) -> None:
    assert terms(language, text) == expected


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("ar", "إسلام", "اسلام"),  # alef with and without hamza
        ("ar", "مُحَمَّد", "محمد"),  # vowel signs
        ("ar", "كتـــاب", "كتاب"),  # tatweel
        ("fa", "علي", "علی"),  # Arabic and Persian yeh
        ("bn", "য়াত্রা", "য\u09bcাত্রা"),  # one code point and two
        ("hi", "हाँ", "हां"),  # candrabindu and anusvara
        ("ja", "ﾃﾞｰﾀ", "データ"),  # half width
        ("yo", "Ọ̀yọ́", "oyo"),
        ("de", "Mu\u0308ller", "Müller"),
    ],
)
def test_one_word_written_in_two_ways(language: str, one: str, other: str) -> None:
    assert terms(language, one) == terms(language, other) != []


@given(st.sampled_from(LANGUAGES), st.text(max_size=40))
def test_any_text_has_terms_that_are_not_empty(language: str, text: str) -> None:
    assert all(terms(language, text))


@given(
    st.sampled_from([language for language in LANGUAGES if language not in ("en", "tr")]),
    st.text(st.characters(codec="utf-8", max_codepoint=0x11FF), max_size=20),
)
def test_composed_and_decomposed_text_have_the_same_terms(language: str, text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert terms(language, composed) == terms(language, unicodedata.normalize("NFD", text))


@given(st.text(max_size=60))
def test_english_terms_are_those_of_bm25s(text: str) -> None:
    import bm25s
    import Stemmer

    tokenized = bm25s.tokenize(
        [text], stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False,
        return_ids=False,
    )  # fmt: skip
    assert terms("en", text) == tokenized[0]


def test_the_name_tells_the_analysis() -> None:
    names = {language: analysis_for(TaskCard(name="t", language=language)).name
             for language in ("en", "zh-cn", "ar", "te")}  # fmt: skip
    assert names == {
        "en": "words+stop-en+snowball-english",
        "zh-cn": "bigrams-zh",
        "ar": "words+arabic+snowball-arabic",
        "te": "words+indic+first-5",
    }


def test_the_corpus_decides_and_not_the_query() -> None:
    japanese_over_english = TaskCard(name="t", language="ja", corpus_language="en")
    assert analysis_for(japanese_over_english).name == "words+stop-en+snowball-english"


def test_every_shipped_language_has_an_analysis_of_its_own() -> None:
    plain = {"sw", "ms", "vi", "he"}  # measured or without a known one: words are all there is
    for suite in map(load_suite, suite_files()):
        for card in suite.tasks:
            name = analysis_for(card).name
            assert name != "words" or card.text_language in plain, (suite.suite, card.name)


@pytest.fixture(scope="module")
def benchmark() -> Any:
    """benchmarks/languages.py as a module."""
    path = Path(__file__).parents[1] / "benchmarks/languages.py"
    spec = importlib.util.spec_from_file_location("languages_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def documented_rows() -> dict[str, list[str]]:
    """The rows of docs/protocols.md's table by language."""
    page = Path(__file__).parents[1] / "docs/protocols.md"
    rows = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and len(cells[0]) == 2:
            rows[cells[0]] = cells
    return rows


BIGRAMS = {"zh": 0.963, "ja": 0.944, "th": 0.916, "ko": 0.900}


def test_the_analysis_helps_on_real_text_in_18_languages(
    data: Path, cache: Path, benchmark: Any
) -> None:
    documented = documented_rows()
    assert len(benchmark.DATASETS) == len(documented) == 18
    for language in benchmark.DATASETS:
        row = benchmark.measure(data, cache, language)
        cells = documented[language]
        assert [float(cells[3]), float(cells[4])] == pytest.approx(
            [row.without, row.with_analysis], abs=5e-4
        )
        assert cells[7].strip("`") == row.analysis
        assert row.with_analysis >= row.without - 0.01, row
        if language in BIGRAMS:
            assert row.with_analysis >= max(BIGRAMS[language], row.bigrams) - 0.01, row
