"""Relevance by answer match: DPR's normalisation, against a straight implementation of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr import has_answer, plain, words
from jrv3_eval.metrics import Qrels, Run, evaluate
from jrv3_eval.relevance import AnswerMatcher
from jrv3_eval.relevance.passages import with_plain_signs


@pytest.mark.parametrize(
    ("answer", "passage", "hit"),
    [
        ("Dave Edmunds", "It was sung by dave edmunds, in 1970.", True),
        ("Dave Edmunds", "Dave (born Edmunds)", False),
        ("art", "the party of artists", False),
        ("café", "at the cafe\u0301 noir", True),  # composed and decomposed
        ("cafe", "at the café", False),
        ("1,000", "some 1,000 people", True),
        ("1000", "some 1,000 people", False),
        ("1, 000", "some 1,000 people", True),  # a comma is a token of its own
        ("U.S.", "in the U.S. Senate", True),
        ("U.S.", "in the US Senate", False),
        ("co-op", "the co - op", True),
        ("co-op", "the coop", False),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
        ("Москва", "МОСКВА — столица", True),
        ("東京", "東京", True),
        ("東京", "東京都", False),  # no sign between them: one token
        ("\u00ad", "any text", False),  # no token: never a hit
        ("", "any text", False),
    ],
)
def test_examples(answer: str, passage: str, hit: bool) -> None:
    assert AnswerMatcher([answer]).matches(passage) is hit
    if words(answer):
        assert has_answer([answer], passage) is hit


def test_an_alias_is_enough() -> None:
    matcher = AnswerMatcher(["the United States", "USA", ""])
    assert matcher.matches("Made in usa.")
    assert not matcher.matches("Made in us a.")


TEXTS = st.text(max_size=60) | st.text("aAß .-'İΣσς1,²é\u0301\u200d\u00ad\0東", max_size=40)


@given(st.lists(TEXTS, max_size=3), TEXTS)
def test_any_text_as_the_reference(answers: list[str], passage: str) -> None:
    with_tokens = [answer for answer in answers if words(answer)]
    assert AnswerMatcher(answers).matches(passage) == has_answer(with_tokens, passage)


@given(TEXTS, TEXTS, TEXTS)
def test_an_answer_between_spaces_is_found(before: str, answer: str, after: str) -> None:
    assert AnswerMatcher([answer]).matches(f"{before} {answer} {after}") == bool(words(answer))


def near_misses(answer: str) -> list[str]:
    """Passages that hold something like the answer."""
    tokens = words(answer)
    return [
        f"x{answer}x",
        " and ".join(tokens),
        " ".join(tokens[:-1]),
        answer.replace(",", ""),
        answer.replace("-", " "),
        answer.replace(" ", ""),
        answer.upper(),
        answer[::-1],
    ]


def test_real_answers_in_passages_and_near_misses(data: Path) -> None:
    """All 12 languages' answers: embedded, and changed a little."""
    checked = hits = 0
    for file in sorted((data / "mkqa-dev").glob("mkqa-*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            questions = [json.loads(line) for line in lines]
        for question in questions[::3]:
            answers = [answer for answer in question["answers"] if words(answer)]
            matcher = AnswerMatcher(answers)
            for answer in answers:
                embedded = f"As the source says, {answer} (see also note 3)."
                assert matcher.matches(embedded)
                for passage in near_misses(answer):
                    expected = has_answer(answers, passage)
                    assert matcher.matches(passage) is expected, (answers, passage)
                    hits += expected
                    checked += 1
    assert checked > 40_000
    assert 0.1 < hits / checked < 0.9


@pytest.mark.parametrize(
    ("answer", "passage"),
    [
        ("1998-99", "the season of 1998–99"),
        ("Hawai'i", "born in Hawai’i"),
        ("football", "a foot\u00adball game"),
        ("24/7", "open 24⁄7"),
        ("Jay-Z", "a song by Jay‑Z"),
    ],
)
def test_passages_are_written_with_plain_signs_first(answer: str, passage: str) -> None:
    assert not AnswerMatcher([answer]).matches(passage)
    assert AnswerMatcher([answer]).matches(with_plain_signs(passage))
    assert has_answer([answer], plain(passage))


@given(st.text(max_size=60) | st.text("aA‐–—’‘“″‴⁗…⁄\u00ad\x0b\x01´`", max_size=40))
def test_plain_signs_as_the_reference_writes_them(passage: str) -> None:
    assert with_plain_signs(passage) == plain(passage)


def test_a_question_counts_without_any_candidate() -> None:
    """6,619 questions are the denominator, also those for which nothing was found."""
    judgements = {"q1": {"a": 0, "b": 1}, "q2": {"a": 0}, "q3": {}}
    run = Run.from_ranked(
        ["q1", "q2", "q3"],
        [(["a", "b"], np.float32([2, 1])), (["a"], np.float32([1])), ([], np.float32([]))],
    )
    everyone = evaluate(Qrels.from_dict(judgements, all_count=True), run, ["success@10"])
    assert everyone.means["success@10"] == pytest.approx(1 / 3)
    assert everyone.judged_queries == 3
    judged = evaluate(Qrels.from_dict(judgements), run, ["success@10"])
    assert judged.judged_queries == 2
