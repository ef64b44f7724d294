"""The documentation is true: commands exist, the tutorial runs, tables have these columns."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from conftest import Cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(marker: str) -> list[str]:
    """Contents of the fenced blocks that follow `<!-- marker -->`."""
    return re.findall(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", README, re.S)


def commands() -> list[list[str]]:
    """Every `jrv3-eval ...` line of the fenced blocks of README and docs, as arguments."""
    found = []
    documents = [
        README,
        *(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md"))),
    ]
    for block in re.findall(r"```\w*\n(.*?)```", "\n".join(documents), re.S):
        for line in block.splitlines():
            if line.startswith("jrv3-eval "):
                found.append(shlex.split(line)[1:])
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_option_of_a_command_exists(cli: Cli, arguments: list[str]) -> None:
    words = [word for word in arguments if not word.startswith("-")]
    group = words[:2] if words[0] in ("candidates", "models") else words[:1]
    shown = cli(*group, "--help")
    assert shown.code == 0
    for option in (word for word in arguments if word.startswith("--")):
        assert option in shown.out


def test_the_tutorial_runs_as_it_stands(cli: Cli, tmp_path: Path) -> None:
    [files] = blocks("tutorial: files")
    for part in files.strip().split("\n\n"):
        name, _, content = part.partition("\n")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
    [command] = blocks("tutorial: command")
    done = cli(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    assert "rivers" in done.out
    assert (tmp_path / "results/runs").is_dir()


STEP = re.compile(r"<!-- (file: (?P<name>\S+)|run|prints) -->\n```\w*\n(?P<body>.*?)```", re.S)


def test_adding_a_task_runs_as_it_stands(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (ROOT / "docs/adding-a-task.md").read_text(encoding="utf-8")
    steps = list(STEP.finditer(document))
    assert len(steps) > 10
    printed = ""
    for step in steps:
        if step["name"]:
            path = tmp_path / step["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["body"], encoding="utf-8")
        elif step[1] == "prints":
            for line in step["body"].splitlines():
                assert line in printed
        else:
            printed = ""
            for line in step["body"].splitlines():
                program, *arguments = shlex.split(line)
                if program == "python":
                    monkeypatch.chdir(tmp_path)
                    exec(Path(arguments[0]).read_text(encoding="utf-8"), {})
                    continue
                done = cli(*arguments)
                assert done.code == 0, f"{line}\n{done.err}"
                printed += done.out


def test_the_python_example_runs_on_the_random_checkpoint(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("models", "init-lbnl", "./random").code == 0
    [example] = blocks("tutorial: rerank")
    exec(example, {})
    index, score, *document = capsys.readouterr().out.split()
    assert (["The", "Amazon"], ["The", "Nile"])[int(index)] == document
    assert -1 <= float(score) <= 1


def test_the_demo_table_has_todays_columns(cli: Cli, tasks_dir: Path) -> None:
    [printed] = blocks("output: jrv3-eval demo")
    header = next(line for line in printed.splitlines() if "task" in line)
    now = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none").out
    today = next(line for line in now.splitlines() if "task" in line)

    def columns(line: str) -> list[str]:
        return [cell.strip() for cell in line.split("┃")]

    assert columns(header) == columns(today)


def test_links_point_to_files() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_counts_the_tasks(cli: Cli) -> None:
    count = len(json.loads(cli("tasks", "--json").out))
    assert f"lists all {count} tasks" in README


def test_shipped_suites_are_named_in_the_readme() -> None:
    for card in (ROOT / "tasks").glob("*.yaml"):
        assert f"jrv3-eval {card.stem}" in README
