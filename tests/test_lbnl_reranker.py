"""The lbnl reranker as a user meets it: Python API, packing, order, blocks, precision."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli, write_beir
from jrv3_eval.errors import ScoreError, UsageError
from jrv3_eval.lbnl import LbnlReranker
from jrv3_eval.lbnl.model import LbnlModel
from jrv3_eval.rerankers import RankingRequest, WorksAhead, open_reranker
from models import write_lbnl
from straight import Straight

DOCUMENTS = (
    "The Nile flows north through Africa.",
    "Bananas are rich in potassium.",
    "",
    "\nThe Amazon flows east to the Atlantic.",
    "长江是亚洲最长的河流。" * 9,
    "def longest(rivers):\n    return max(rivers, key=len)",
)
WORK = [
    RankingRequest("a", "longest river", DOCUMENTS),
    RankingRequest("b", "which fruit", DOCUMENTS[1:4]),
    RankingRequest("c", "longest river", DOCUMENTS[::-1]),
    RankingRequest("d", "code", ()),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lbnl(tmp_path_factory.mktemp("lbnl") / "tiny")


@pytest.fixture(scope="module")
def sliding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four layers: three with a window of 100 tokens, the last one full."""
    return write_lbnl(tmp_path_factory.mktemp("lbnl") / "v35", layers=4, sliding_window=100)


def open_(folder: Path, **settings: Any) -> LbnlReranker:
    return LbnlReranker.from_pretrained(str(folder), device="cpu", **settings)


# --- scores -------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["sdpa", "blocked"])
@pytest.mark.parametrize("kind", ["folder", "sliding"])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_doc_length": 20, "max_query_length": 5},
        {"max_length": 600, "max_doc_length": 40, "max_query_length": 9},  # several blocks
        {"block_documents": 1, "instruction": "Prefer rivers."},
    ],
)
def test_scores_are_those_of_the_straight_implementation(
    kind: str, limits: dict[str, Any], attention: str, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue(kind)
    plain = Straight(where)
    options = {k if k != "block_documents" else "block_size": v for k, v in limits.items()}
    found = open_(where, attention=attention, **limits).score(WORK)
    for asked, scores in zip(WORK[:-1], found, strict=False):
        expected = plain.score(asked.query, asked.documents, **options)
        np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=0)


def test_a_window_changes_the_scores(sliding: Path, tmp_path: Path) -> None:
    full = write_lbnl(tmp_path / "full", layers=4)
    (one,), (other,) = (open_(f).score(WORK[:1]) for f in (sliding, full))
    assert np.abs(one - other).max() > 1e-4


def test_a_list_shares_its_context(folder: Path) -> None:
    """Listwise: another order, or another neighbour, gives a document another score."""
    reranker = open_(folder)
    straight, backwards, fewer = reranker.score(
        [WORK[0], WORK[2], RankingRequest("e", "longest river", DOCUMENTS[1:])]
    )
    assert np.abs(straight - backwards[::-1]).max() > 1e-4
    assert np.abs(straight[1:] - fewer).max() > 1e-4


def test_lists_share_passes_up_to_the_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    read = LbnlModel.read

    def counted(self: LbnlModel, prompts: Any) -> Any:
        passes.append(len(prompts))
        return read(self, prompts)

    monkeypatch.setattr(LbnlModel, "read", counted)
    together = open_(folder, tokens_per_pass=100_000).score(WORK)
    assert passes == [3]
    alone = open_(folder, tokens_per_pass=1).score(WORK)
    assert passes == [3, 1, 1, 1]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=0)


def test_bfloat16_is_near_float32(folder: Path) -> None:
    wide = open_(folder).score(WORK[:1])[0]
    for attention in ("sdpa", "blocked"):
        half = open_(folder, dtype="bfloat16", attention=attention).score(WORK[:1])[0]
        assert half.dtype == np.float32
        assert 0 < np.abs(wide - half).max() < 0.05


# --- what is recorded ---------------------------------------------------------------------------


def test_half_precision_on_a_cpu_is_keyed_by_its_instructions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "instructions" not in open_(folder).info.versions
    before = open_(folder, dtype="bfloat16").info
    assert before.versions["instructions"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert open_(folder, dtype="bfloat16").info.fingerprint != before.fingerprint


def test_compilers_and_kernels_are_keyed_by_their_versions(folder: Path) -> None:
    assert "triton" in open_(folder, compile=True).info.versions
    assert "triton" in open_(folder, attention="flex_attention").info.versions
    assert "flash-attn" in open_(folder, attention="flash_attention_2").info.versions


def test_the_released_limits_are_the_defaults(folder: Path, sliding: Path) -> None:
    recorded = open_(folder).info.settings
    assert recorded["max_query_length"] == 512
    assert recorded["max_doc_length"] == 2048
    assert recorded["block_documents"] == 125
    assert recorded["max_length"] == 131_072
    assert (recorded["dtype"], recorded["attention"]) == ("float32", "sdpa")
    recorded = open_(sliding).info.settings
    assert (recorded["max_query_length"], recorded["max_doc_length"]) == (1024, 8192)


def test_auto_takes_the_checkpoints_precision_and_the_quicker_kernel(tmp_path: Path) -> None:
    recorded = open_(write_lbnl(tmp_path / "half", dtype="bfloat16")).info.settings
    assert (recorded["dtype"], recorded["attention"]) == ("bfloat16", "blocked")


def test_usage_counts_what_the_model_reads(folder: Path) -> None:
    reranker = open_(folder, max_doc_length=30, block_documents=4)
    reranker.score(WORK)
    usage = reranker.usage(WORK)
    assert [u.blocks for u in usage] == [2, 1, 2, 0]
    assert usage[0].truncated_documents == 4  # not the empty one, nor one of just 30 tokens
    assert usage[3].tokens == 0
    readings = [
        reranker._reader.read(r.query, r.documents, reranker._settings.limits) for r in WORK
    ]
    assert [u.tokens for u in usage] == [sum(len(p.ids) for p in r.prompts) for r in readings]
    assert usage == open_(folder, max_doc_length=30, block_documents=4).usage(WORK)


# --- tokenising ahead ---------------------------------------------------------------------------


def test_what_comes_next_is_tokenised_in_another_thread(folder: Path) -> None:
    reranker = open_(folder)
    reranker.load()
    threads = set()
    read = reranker._reader.read

    def watched(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.current_thread())
        return read(*arguments, **options)

    reranker._reader.read = watched  # type: ignore[method-assign]
    assert isinstance(reranker, WorksAhead)
    reranker.expect(WORK[:2])
    assert len(reranker._expected) == 2
    plain = open_(folder).score(WORK)
    np.testing.assert_array_equal(reranker.score(WORK)[0], plain[0])
    assert not reranker._expected
    assert threads
    assert threading.main_thread() not in threads


def test_an_expectation_that_does_not_come_is_dropped(folder: Path) -> None:
    reranker = open_(folder)
    reranker.expect(WORK[:2])
    reranker.expect(WORK[2:3])
    assert len(reranker._expected) == 1
    assert len(reranker.score(WORK[:1])) == 1


def test_nobody_waits_for_lists_that_are_not_wanted_any_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = open_(folder, tokens_per_pass=1)
    reranker.load()
    read = reranker._reader.read
    readings: list[str] = []

    def slow(query: str, *rest: Any) -> Any:
        readings.append(query)
        time.sleep(0.05)
        return read(query, *rest)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    reranker._reader.read = slow  # type: ignore[method-assign]
    monkeypatch.setattr(LbnlModel, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        reranker.score([RankingRequest(str(i), str(i), DOCUMENTS[:2]) for i in range(40)])
    reranker._thread.submit(int).result()  # behind whatever is left
    assert len(readings) < 10


# --- the released method ------------------------------------------------------------------------


def test_rerank_has_the_released_fields_as_json(folder: Path) -> None:
    reranker = open_(folder)
    ranked = reranker.rerank("longest river", list(DOCUMENTS))
    assert json.loads(json.dumps(ranked)) == ranked
    assert [list(r) for r in ranked] == [
        ["document", "relevance_score", "index", "embedding"]
    ] * len(DOCUMENTS)
    scores = [r["relevance_score"] for r in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(DOCUMENTS[r["index"]] == r["document"] for r in ranked)  # untruncated
    assert {r["embedding"] for r in ranked} == {None}
    [expected] = reranker.score(WORK[:1])
    assert scores == pytest.approx(sorted(expected.tolist(), reverse=True))
    assert list(inspect.signature(LbnlReranker.rerank).parameters) == [
        "self", "query", "documents", "top_n", "return_embeddings", "max_doc_length",
        "max_query_length", "instruction",
    ]  # fmt: skip


def test_rerank_returns_embeddings_of_which_scores_are_cosines(folder: Path) -> None:
    ranked = open_(folder).rerank("longest river", DOCUMENTS, top_n=2, return_embeddings=True)
    vector, _, _ = Straight(folder).embed("longest river", DOCUMENTS)
    assert len(ranked) == 2
    for entry in ranked:
        own = np.asarray(entry["embedding"])
        assert own.shape == (512,)
        cosine = own @ vector / np.linalg.norm(own) / np.linalg.norm(vector)
        assert entry["relevance_score"] == pytest.approx(cosine, abs=1e-5)


def test_rerank_takes_lengths_and_an_instruction_for_one_call(folder: Path) -> None:
    reranker, plain = open_(folder), Straight(folder)
    options: dict[str, Any] = {
        "max_doc_length": 20, "max_query_length": 6, "instruction": "Prefer rivers.",
    }  # fmt: skip
    ranked = reranker.rerank("longest river", DOCUMENTS, **options)
    expected = plain.score("longest river", DOCUMENTS, **options)
    found = {r["index"]: r["relevance_score"] for r in ranked}
    assert [found[i] for i in range(len(DOCUMENTS))] == pytest.approx(expected.tolist(), abs=1e-5)


def test_rerank_at_the_edges(folder: Path) -> None:
    reranker = open_(folder)
    assert reranker.rerank("q", []) == []
    assert len(reranker.rerank("q", DOCUMENTS, top_n=99)) == len(DOCUMENTS)
    for name in ("top_n", "max_doc_length", "max_query_length"):
        with pytest.raises(UsageError, match=f"{name} must be a whole number of 1"):
            reranker.rerank("q", DOCUMENTS, **{name: 0})


@pytest.mark.parametrize(
    ("query", "documents"), [("q", "one text"), ("q", [{"text": "x"}]), (None, ["x"]), ("q", None)]
)
def test_rerank_takes_texts_only(folder: Path, query: Any, documents: Any) -> None:
    with pytest.raises(UsageError, match="one text as the query and a list of texts"):
        open_(folder).rerank(query, documents)


@pytest.fixture
def overflowing(folder: Path, tmp_path: Path) -> Path:
    """Weights whose MLP leaves float16's range, though not float32's."""
    from safetensors.torch import load_file, save_file

    where = Path(shutil.copytree(folder, tmp_path / "large"))
    weights = load_file(where / "model.safetensors")
    for name in weights:
        if "mlp" in name or "layernorm" in name:
            weights[name] *= 300
    save_file(weights, where / "model.safetensors")
    return where


def test_what_is_no_number_gives_no_score(overflowing: Path, cli: Cli, tasks_dir: Path) -> None:
    assert np.isfinite(open_(overflowing).score(WORK)[0]).all()
    with pytest.raises(ScoreError, match="not finite"):
        open_(overflowing, dtype="float16").rerank("longest river", DOCUMENTS)
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", overflowing, "--dtype", "float16")
    assert done.code == 2
    assert "It returned nan" in done.err
    assert done.out == ""


def test_equal_scores_keep_their_input_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jrv3_eval.lbnl import reranker as module

    monkeypatch.setattr(module, "fuse", lambda _: np.float32([0.5, 0.7, 0.5, 0.7, 0.5, 0.1]))
    assert [r["index"] for r in open_(folder).rerank("q", DOCUMENTS)] == [1, 3, 0, 2, 4, 5]


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "eager"}, "Bad value for the setting 'attention'"),
        ({"dtype": "float8"}, "Unknown dtype 'float8'"),
        ({"max_length": 131_073}, "more than the 131072 positions"),
        ({"max_length": 3072}, "every document would be read alone"),
        ({"max_doc_length": 0}, "Bad value for the setting 'max_doc_length'"),
        ({"block_size": 3}, "Unknown setting of lbnl 'block_size'"),
    ],
)
def test_bad_settings_are_named_before_anything_loads(
    folder: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_(folder, **settings)


def test_flash_attention_without_a_gpu_ends_before_the_first_score(folder: Path) -> None:
    reranker = open_reranker(str(folder), {"attention": "flash_attention_2", "device": "cpu"})
    with pytest.raises(UsageError, match="flash-attn"):
        reranker.score(WORK[:1])


# --- end to end ---------------------------------------------------------------------------------


def test_a_record_says_how_the_lists_were_read(cli: Cli, tasks_dir: Path, folder: Path) -> None:
    done = cli(
        "zoo", "--tasks-dir", tasks_dir, "--model", folder, "--device", "cpu", "--dtype",
        "bfloat16", "--attention", "sdpa", "--order", "reverse", "--set", "max_doc_length=30",
        "--set", "block_documents=1", "--first-stage", "bm25:b=0", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    [record] = json.loads(done.out)
    assert record["order"] == "reverse"
    assert record["reranker"]["listwise"] is True
    wanted = {
        "dtype": "bfloat16", "attention": "sdpa", "compile": False, "max_doc_length": 30,
        "max_query_length": 512, "max_length": 131_072, "block_documents": 1, "instruction": None,
        "device": "cpu",
    }  # fmt: skip
    assert wanted.items() <= record["reranker"]["settings"].items()
    assert record["blocks"] == {"several": pytest.approx(1 / 3), "most": 2}
    assert record["truncated"]["documents"] > 0
    shown = cli(
        "zoo", "--tasks-dir", tasks_dir, "--model", folder, "--device", "cpu", "--order",
        "random:3", "--set", "block_documents=1",
    ).out  # fmt: skip
    assert "the model saw the order random:3" in shown
    assert "33.3% of lists were read in several blocks, at most 2" in shown


def test_a_killed_run_continues_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    documents = {f"d{i}": f"common word and number {i}" for i in range(16)}
    queries = {f"q{i}": f"common number {i}" for i in range(16)}
    write_beir(tmp_path / "many" / "long", documents, queries, {q: {"d1": 1} for q in queries})
    (tmp_path / "many" / "long.yaml").write_text("suite: long\ntitle: t\ntasks: [{name: long}]\n")

    def command(results: str) -> list[str]:
        return [
            sys.executable, "-m", "jrv3_eval", "long", "--tasks-dir", str(tmp_path / "many"),
            "--data-dir", str(tmp_path / "many"), "--model", str(folder), "--device", "cpu",
            "--results", str(tmp_path / results), "--set", "batch_documents=16", "--json",
        ]  # fmt: skip

    def env(cache: str) -> dict[str, str]:
        return {**os.environ, "JRV3_EVAL_CACHE": str(tmp_path / cache)}

    process = subprocess.Popen(command("out"), env=env("one"), stdout=subprocess.DEVNULL)
    commits: set[int] = set()  # times at which the store file changed
    deadline = time.monotonic() + 120
    while len(commits) < 5 and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        commits |= {f.stat().st_mtime_ns for f in tmp_path.glob("one/scores/*/*.sqlite")}
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -9

    done = subprocess.run(command("out"), env=env("one"), check=True, capture_output=True)
    [resumed] = json.loads(done.stdout)
    assert 1 < resumed["cost"]["cached"] < 16
    assert resumed["cost"]["model_calls"] == 16 - resumed["cost"]["cached"]
    done = subprocess.run(command("alone"), env=env("two"), check=True, capture_output=True)
    [alone] = json.loads(done.stdout)
    for record in (resumed, alone):
        del record["cost"], record["environment"]
    assert json.dumps(resumed) == json.dumps(alone)
    for name in ("long.run.gz", "long.queries.parquet"):
        [one], [two] = (list((tmp_path / r).rglob(name)) for r in ("out", "alone"))
        assert one.read_bytes() == two.read_bytes()


def test_it_runs_inside_mteb(folder: Path) -> None:
    import mteb
    from mteb.mocks import MockRerankingTask

    from jrv3_eval.rerankers.in_mteb import MtebCrossEncoder

    reranker = open_(folder)
    result = mteb.evaluate(MtebCrossEncoder(reranker), MockRerankingTask(), cache=None)
    [scores] = result.task_results[0].scores["test"]
    assert 0 <= scores["ndcg_at_10"] <= 1


def test_compile_without_a_compiler_is_a_users_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    errors: list[RuntimeError] = [InvalidCxxCompiler(), RuntimeError("out of memory")]

    def fail(*_: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(LbnlModel, "read", fail)
    with pytest.raises(UsageError, match=r"torch.compile does not work here.*C\+\+ compiler"):
        open_(folder, compile=True).score(WORK)
    with pytest.raises(RuntimeError, match="out of memory"):  # another fault stays what it is
        open_(folder, compile=True).score(WORK)


@pytest.mark.slow
def test_compiled_scores_are_the_same(folder: Path) -> None:
    plain, compiled = (open_(folder, compile=c).score(WORK) for c in (False, True))
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=0)
