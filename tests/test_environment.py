"""What a record says of the command: nothing secret, and always text that can be written."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrv3_eval import evaluate
from jrv3_eval.environment import command
from jrv3_eval.interchange import trec_runs, write_trec
from jrv3_eval.rerankers.masking import masked, masked_value, masked_words
from jrv3_eval.stored import read_systems

SECRET = "sk-live-4eC39HqLyjW"


def shown(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    monkeypatch.setattr("sys.argv", ["/usr/bin/jrv3-eval", *words])
    return shlex.split(command())[1:]


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--set", f"api_key={SECRET}"],
        [f"--set=api_key={SECRET}"],
        ["--set", f"token={SECRET}"],
        ["--set", f"HF_TOKEN={SECRET}"],
        ["--set", f"password = {SECRET} with spaces"],
        ["--set", f"client_secret={SECRET}=="],
        ["--set", f"key_env={SECRET}"],
        ["--set", "key_env=sk_live_4eC39HqLyjW"],  # a plausible name in Python, not in a shell
        ["--set", 'options={"top": 1, "apiKey": "' + SECRET + '"}'],
        ["--set", "options={'authorization' : 'Bearer " + SECRET + "'}"],
        ["--api-key", SECRET],
        ["--auth-token", SECRET],
        ["--set", f"endpoint=https://me:{SECRET}@host/v1"],
        ["--set", f"endpoint=https://{SECRET}@host/v1"],
        ["--set", f"endpoint=https://me:pa/{SECRET}@host/v1"],
        ["--set", f"endpoint=https://me:p@{SECRET}@host/v1"],
        ["--set", f"endpoint=https://me:p?{SECRET}#x@host/v1"],
        ["--set", f"endpoint=https://host/v1?k={SECRET}"],
        ["--set", f"endpoint=https://host/v1#{SECRET}"],
        ["--model", f"openai:https://me:{SECRET}@host/v1"],
    ],
    ids=str,
)
def test_no_secret_stands_in_the_command(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    found = " ".join(shown(monkeypatch, "beir", *words, "--limit", "5"))
    for part in (SECRET, "live", "4eC39HqLyjW"):
        assert part not in found
    assert "***" in found
    assert found.startswith("beir ")
    assert found.endswith(" --limit 5")


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "key_env=OPENAI_API_KEY"],
        ["--set", "key_env=MY_KEY2"],
        ["--set", "key_env="],
        ["--set", "max_tokens_per_doc=512", "--set", "tokens_per_minute=1e5"],
        ["--set", "reasoning_tokens=100", "--tokenizer", "./qwen"],
        ["--set", "endpoint=https://host:8080/v1"],
        ["--model", "org/model@main", "--first-stage", "dense:a/b#prompts=e5,dtype=float16"],
        ["--first-stage", "bm25:k1=0.9,b=0.4", "--set", "prompt=Rank: {query}? #1 "],
    ],
    ids=str,
)
def test_what_repeats_the_run_is_kept(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    assert shown(monkeypatch, *words) == words


def test_a_variable_that_is_set_is_a_name_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--set", "key_env=rerank"]
    assert shown(monkeypatch, *words) == ["--set", "key_env=***"]
    monkeypatch.setenv("rerank", SECRET)
    assert shown(monkeypatch, *words) == words


@given(st.lists(st.text(st.characters(codec=None), max_size=12), max_size=5))
def test_any_word_can_be_masked(words: list[str]) -> None:
    assert len(masked_words(words)) == len(words)
    for word in words:
        assert masked(masked(word)) == masked(word)
        assert masked_value("token", f"x{word}") == "token=***"


def test_a_long_word_is_read_in_linear_time() -> None:
    """With a pattern that starts again from every place, this test would take minutes."""
    for word in ("a" * 200_000, "https://" + "a:" * 100_000, "key" * 70_000, "key" + " " * 200_000):
        assert masked(word) == word


def test_nothing_that_is_written_holds_a_secret_of_the_calling_program(
    tasks_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "--hf-token", SECRET, "--epochs", "3"])
    [result] = evaluate("zoo", "none", tasks_dir=tasks_dir, results=tmp_path / "runs")
    assert shlex.split(result.environment.command) == [
        "train.py", "--hf-token", "***", "--epochs", "3",
    ]  # fmt: skip
    write_trec(trec_runs(read_systems([tmp_path / "runs"])), tmp_path / "out")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".run", ".gz", ".parquet"}
    for path in files:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert SECRET.encode() not in content


# --- bytes that are no text -----------------------------------------------------------------------


def test_the_command_can_be_written_whatever_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--set", os.fsdecode(b"epoch=caf\xe9"), "--set", "epoch=café"]
    found = shown(monkeypatch, *words)
    assert found == ["--set", r"epoch=caf\udce9", "--set", "epoch=café"]
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([b"--set", b"epoch=caf\xe9"], r"where: epoch=caf\udce9"),
        ([b"--results", b"r\xff"], r"where: r\udcff"),
        ([b"--set", b"api_key=" + SECRET.encode() + b"\xff"], "where: api_key=***"),
    ],
    ids=["set", "results", "secret"],
)
def test_an_argument_that_is_not_utf8_is_refused_before_any_work(
    words: list[bytes], told: str, tasks_dir: Path, tmp_path: Path
) -> None:
    command_line = [sys.executable, "-m", "jrv3_eval", "zoo", "--model", "none", *words]
    done = subprocess.run(
        [*command_line, "--tasks-dir", tasks_dir], cwd=tmp_path, capture_output=True, check=False
    )
    error = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert error.startswith("error: A word of the command line is not UTF-8.\n")
    assert told in error
    assert SECRET not in error
    assert "Traceback" not in error
    assert not (tmp_path / "results").exists()
