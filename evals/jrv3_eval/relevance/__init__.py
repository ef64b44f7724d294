"""Which candidates are relevant: by judgements, or because they hold an answer."""

from .answers import AnswerMatcher
from .judgements import judgements_for

__all__ = ["AnswerMatcher", "judgements_for"]
