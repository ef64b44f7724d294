"""Task cards: validated, with errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from jrv3_eval.cards import load_suite, read_suite, select_tasks, suite_files
from jrv3_eval.errors import CardError, UsageError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_every_shipped_card_is_valid() -> None:
    names = suite_files()
    assert {"beir", "demo"} <= set(names)
    for name in names:
        assert load_suite(name).suite == name


def test_beir_counts_are_those_of_the_judgement_files(data: Path) -> None:
    import gzip

    for card in load_suite("beir").tasks:
        path = data / f"topics-qrels/beir/qrels.beir-v1.0.0-{card.name}.test.txt.gz"
        with gzip.open(path, "rt") as stream:
            lines = [line.split() for line in stream]
        assert card.counts.queries == len({line[0] for line in lines})
        # anserini's judgement files leave zeros out, which none of these sets has
        assert card.counts.judgements == len(lines)


def test_a_wrong_value_names_its_line_and_field(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "suite: mine\ntitle: Mine\ntasks:\n  - name: one\n    join: text title\n  - name: Two\n",
    )
    with pytest.raises(CardError) as caught:
        read_suite(path)
    assert f"{path}:5: tasks.0.join" in str(caught.value)
    assert f"{path}:6: tasks.1.name" in str(caught.value)


def test_an_unknown_key_in_a_source_names_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "suite: mine\ntitle: Mine\ntasks:\n  - name: one\n    sources:\n"
        "      - kind: folder\n        path: x\n        paht: y\n",
    )
    with pytest.raises(CardError, match=r"mine\.yaml:8: tasks\.0\.sources\.0\.paht"):
        read_suite(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: [\n", "not valid YAML"),
        ("- a list\n", "must be a YAML mapping"),
        ("suite: mine\nsuite: other\n", "stands twice"),
        ("suite: mine\ntitle: t\ntasks: []\n", "at least one task"),
        ("suite: mine\ntitle: t\ntasks: [{name: a}, {name: a}]\n", "named twice: a"),
    ],
)
def test_bad_cards_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CardError, match=message):
        read_suite(write(tmp_path, text))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'beir'"):
        load_suite("bier")
    with pytest.raises(UsageError, match="did you mean 'scifact'"):
        select_tasks(load_suite("beir"), ("scifac",))
    with pytest.raises(UsageError, match="language of suite 'beir'"):
        select_tasks(load_suite("beir"), (), ("zz",))


def test_a_users_card_wins_over_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "beir.yaml").write_text("suite: beir\ntitle: my own\ntasks: [{name: a}]\n")
    assert load_suite("beir", tmp_path).title == "my own"


def test_a_card_under_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("suite: b\ntitle: t\ntasks: [{name: a}]\n")
    with pytest.raises(CardError, match="give the file the suite's name"):
        load_suite("a", tmp_path)


def test_a_missing_tasks_dir_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tasks-dir"):
        load_suite("beir", tmp_path / "nowhere")
