import pytest

from jrv3_eval.errors import UsageError
from jrv3_eval.rerankers import RankingRequest, open_reranker
from jrv3_eval.rerankers.contract import check_reranker


@pytest.mark.parametrize("spec", ["overlap:words", "overlap:trigrams"])
def test_contract(spec: str) -> None:
    check_reranker(lambda: open_reranker(spec), pointwise=True)


def test_score() -> None:
    request = RankingRequest("q1", "river north", ("north river", "The river flows.", "banana"))
    (scores,) = open_reranker("overlap:words").score([request])
    assert scores.tolist() == pytest.approx([1, 1 / 6**0.5, 0])


def test_a_setting_is_part_of_the_identity() -> None:
    plain, once = (open_reranker("overlap:words", s) for s in ({}, {"once": "true"}))
    assert plain.info.fingerprint != once.info.fingerprint


def test_another_target_is_refused() -> None:
    with pytest.raises(UsageError, match="Unknown kind of overlap 'vowels'"):
        open_reranker("overlap:vowels")
