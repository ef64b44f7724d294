"""Task cards: validated, with errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Cli
from jrv3_eval.cards import load_suite, read_suite, select_tasks, suite_files
from jrv3_eval.errors import CardError, UsageError

GOOD = "suite: mine\ntitle: t\ntasks: [{name: a}]\n"
TASK = "suite: mine\ntitle: t\ntasks:\n  - name: a\n"
SOURCE = TASK + "    sources:\n      - "


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_every_shipped_card_is_valid() -> None:
    names = suite_files()
    assert {"beir", "demo"} <= set(names)
    for name in names:
        assert load_suite(name).suite == name


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
        (GOOD + "depth: yes\n", r"yaml:4: depth: .*valid integer"),
        (GOOD + "metric: ndgc@10\n", r"yaml:4: metric: .*did you mean 'ndcg@10'"),
        (GOOD + "about: 2020-13-45\n", r"'2020-13-45' is no timestamp[\s\S]*yaml:4"),
        (GOOD + "about: !!int x\n", r"'x' is no int[\s\S]*yaml:4"),
        (GOOD + "about: !!bool x\n", r"'x' is no bool[\s\S]*yaml:4"),
        (GOOD + "about: &a [*a]\n", r"yaml:4: about"),
        (GOOD + "about: &a {b: *a}\n", r"yaml:4: about"),
        (GOOD + "about: " + "[" * 100_000 + "\n", "nested too deeply"),
        (TASK + "    language: no\n", r"yaml:5: tasks.0.language: .*quote it: 'no'"),
        (TASK + "    revision: x\n", r"yaml:5: tasks.0.revision: Extra inputs"),
        (TASK + "    counts: {documents: true}\n", r"counts.documents: .*valid integer"),
        (SOURCE + '{kind: folder, path: "a\\0b"}\n', r"sources.0.path: .*NUL"),
        (SOURCE + "{kind: pysource, package: a, queries: yes}\n", r"queries: .*valid integer"),
        (SOURCE + "{kind: pysource, package: a, min_words: yes}\n", r"min_words: .*integer"),
        (SOURCE + "{kind: pysource, package: a, min_lines: yes}\n", r"min_lines: .*integer"),
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


def test_a_list_of_notes_stays_a_list(tmp_path: Path) -> None:
    card = read_suite(write(tmp_path, TASK + "    notes: [one, two]\n")).tasks[0]
    assert card.notes == ("one", "two")


def test_a_folder_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").mkdir()
    with pytest.raises(CardError, match=r"Cannot read the card[\s\S]*mine\.yaml"):
        load_suite("mine", tmp_path)


def test_yml_is_a_card_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(GOOD)
    assert load_suite("mine", tmp_path).title == "t"
    (tmp_path / "mine.yaml").write_text(GOOD)
    with pytest.raises(UsageError, match="has two cards"):
        load_suite("mine", tmp_path)


def test_help_survives_shipped_cards_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder = tmp_path / "shipped"
    (folder / "broken.yaml").mkdir(parents=True)
    (folder / "bytes.yaml").write_bytes(b"title: \xff\n")
    (folder / "short.yml").write_text("title: A short name\n")
    monkeypatch.setattr("jrv3_eval.paths.shipped", lambda room: folder)
    shown = cli("--help")
    assert shown.code == 0
    for name in ("broken", "bytes", "short", "A short name"):
        assert name in shown.out
