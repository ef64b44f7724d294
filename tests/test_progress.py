"""Bars: rate and time left in a terminal, silence elsewhere."""

from __future__ import annotations

import sys

import pytest

from jrv3_eval.progress import document_bar, pace


@pytest.mark.parametrize(
    ("done", "total", "seconds", "expected"),
    [
        (0, 100, 5, ""),
        (50, 100, 5, "10 documents/s, 0:05 left"),
        (100, 100, 5, "20 documents/s, 0:00 left"),
        (10, 50_010, 10, "1 documents/s, 13:53:20 left"),
        (5, None, 10, "0.5 documents/s"),
    ],
)
def test_pace(done: int, total: int | None, seconds: float, expected: str) -> None:
    assert pace(done, total, seconds, "documents") == expected


def test_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with document_bar("task", 10) as bar:
        bar.reused(5)
        bar.advance(5)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_the_rate_without_what_was_reused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with document_bar("task", 10) as bar:
        bar.reused(8)
        bar.advance(1)
    printed = capsys.readouterr().err
    assert "9/10" in printed
    assert "documents/s" in printed
