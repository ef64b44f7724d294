"""Exported results, read back by the programs that they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import QRELS, Cli
from jrv3_eval import evaluate as evaluate_models
from jrv3_eval.cli.export import export
from jrv3_eval.errors import Jrv3EvalError
from jrv3_eval.metrics import Qrels, evaluate
from jrv3_eval.published import read_published
from jrv3_eval.stored import Stored
from jrv3_eval.trec import read_run
from literals import write_stored
from trec_eval import by_pytrec_eval

COMMIT = "ec0fa4fe99da2ff19ca1214b7966684033a58814"  # of mteb/nfcorpus, as mteb reads it
VALUES = {"q1": 0.25, "q2": 0.5}
METRICS = {
    "ndcg@10": 0.375, "recall@10": 0.1234567, "recall@100": 0.5, "mrr@10": 0.625,
    "map@100": 0.25, "judged@10": 1.0,
}  # fmt: skip
FIRST = {"ndcg@10": 0.25, "recall@100": 0.5}


def stored(folder: Path, **changes: Any) -> Stored:
    """A reranking of BM25 on NFCorpus, as it lies on disk."""
    return write_stored(
        folder,
        VALUES,
        first={"q1": 0.25, "q2": 0.25},
        **{
            "suite": "beir", "task": "nfcorpus", "metrics": METRICS,
            "dataset.revision": COMMIT, "reranker.name": "org/model",
            "reranker.revision": "1" * 40, "candidates.metrics": FIRST, **changes,
        },
    )  # fmt: skip


def miracl(folder: Path, language: str, **changes: Any) -> Stored:
    revision = "9c09abc13478308c27598f350e31d8f06b9b5481"
    return stored(
        folder, suite="miracl", task=f"miracl-{language}",
        **{"dataset.split": "dev", "dataset.revision": revision, **changes},
    )  # fmt: skip


class Exporting:
    """The command, called as a function; each call writes to the folder `out` beside the runs."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(
        self, runs: Path, formats: str | None = None, tasks_dir: Path | None = None
    ) -> tuple[Path, str]:
        """The folder, and what was printed."""
        self._capsys.readouterr()
        export([runs], runs.parent / "out", formats, tasks_dir)
        return runs.parent / "out", self._capsys.readouterr().out

    def refused(self, runs: Path, formats: str | None = None) -> str:
        """The error of a call that must write nothing."""
        with pytest.raises(Jrv3EvalError) as caught:
            self(runs, formats)
        assert not (runs.parent / "out").exists()
        return str(caught.value)


@pytest.fixture
def exported(capsys: pytest.CaptureFixture[str]) -> Exporting:
    return Exporting(capsys)


# --- mteb's result files ------------------------------------------------------------------------


def test_mteb_reads_the_file_with_every_value(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    stored(tmp_path / "runs", **{"cost.seconds": 12.5})
    out, printed = exported(tmp_path / "runs")
    assert "1 result file of mteb" in printed
    [path] = (out / "mteb").rglob("NFCorpus.json")
    result = mteb.TaskResult.from_disk(path)
    [scores] = result.scores["test"]
    assert {key: value for key, value in scores.items() if isinstance(value, float)} == {
        "ndcg_at_10": 0.375, "recall_at_10": 0.123457, "recall_at_100": 0.5, "mrr_at_10": 0.625,
        "map_at_100": 0.25, "main_score": 0.375,
    }  # fmt: skip
    assert (scores["hf_subset"], scores["languages"]) == ("default", ["eng-Latn"])
    assert (result.dataset_revision, result.evaluation_time) == (COMMIT, 12.5)
    assert result.get_score() == 0.375
    own = mteb.get_task("NFCorpus")
    assert result.validate_and_filter_scores(task=own).scores.keys() == {"test"}


def test_a_search_of_the_whole_corpus_is_not_what_mteb_takes_it_for(
    exported: Exporting, tmp_path: Path
) -> None:
    import mteb

    written = stored(tmp_path / "runs", order="reverse", **{"candidates.depth": 50})
    out, _ = exported(tmp_path / "runs", "mteb")
    cache = mteb.ResultCache(out / "mteb")
    assert not cache.load_results(include_remote=False).model_results
    [found] = cache.load_results(include_remote=False, load_experiments="match_name").model_results
    assert (found.model_name, found.model_revision) == ("org/model", "1" * 40)
    assert "depth_50__" in found.experiment_name
    assert "__order_reverse__reranks_bm25__" in found.experiment_name
    [result] = found.task_results
    before = result.scores["test"][0]["previous_results_model_meta"]
    assert (before["model_name"], before["depth"], before["order"]) == ("bm25", 50, "reverse")
    assert before["candidates"] == written.result.candidates.hash
    assert before["scores"] == {"ndcg_at_10": 0.25, "recall_at_100": 0.5}


def test_mteb_itself_writes_that_field_for_a_reranking() -> None:
    from mteb._evaluators.retrieval_metrics import make_score_dict

    names = ("ndcg", "_map", "precision", "mrr", "naucs", "naucs_mrr", "hit_rate", "task_scores")
    parts: dict[str, Any] = {name: {} for name in names}
    scores = make_score_dict(
        **parts, recall={"Recall@1": 1.0}, previous_results_model_meta={"model_name": "bm25"}
    )
    assert scores["previous_results_model_meta"] == {"model_name": "bm25"}


def test_our_own_reader_gives_the_same_values(exported: Exporting, tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    out, _ = exported(tmp_path / "runs")
    [table] = read_published(out / "mteb")
    assert (table.suite, table.protocol.revisions) == ("beir", {"nfcorpus": COMMIT})
    assert table.rows[0].scores == {
        metric: {"nfcorpus": pytest.approx(100 * value, abs=1e-4)}
        for metric, value in METRICS.items()
        if metric != "judged@10"
    }


def test_languages_are_subsets_of_one_file(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    for language in ("sw", "ar"):
        miracl(tmp_path / "runs", language)
    out, _ = exported(tmp_path / "runs")
    [path] = (out / "mteb").rglob("MIRACLRetrieval.json")
    scores = mteb.TaskResult.from_disk(path).scores["dev"]
    assert [(one["hf_subset"], one["languages"]) for one in scores] == [
        ("ar", ["ara-Arab"]),
        ("sw", ["swa-Latn"]),
    ]


def test_settings_orders_and_first_stages_lie_apart(exported: Exporting, tmp_path: Path) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"order": "reverse"},
        {"candidates.depth": 10},
        {"candidates.first_stage": "dense-org/other"},
        {"reranker.settings": {"max_length": 512}},
    ]
    for number, changes in enumerate(variants):
        stored(tmp_path / "runs" / str(number), **changes)
    out, _ = exported(tmp_path / "runs")
    assert len(list((out / "mteb").rglob("NFCorpus.json"))) == len(variants)
    assert len(list((out / "trec").rglob("nfcorpus.run"))) == len(variants)


def test_the_first_stage_is_a_model_of_its_own(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    none = {"reranker.name": "none", "reranker.family": "baseline", "reranker.weights": None,
            "reranker.revision": None}  # fmt: skip
    stored(tmp_path / "runs", **none)
    settings = {"model": "org/dense", "revision": "2" * 40}
    dense = {"candidates.first_stage": "dense-org/dense", "candidates.settings": settings}
    stored(tmp_path / "runs", **none, **dense)
    out, _ = exported(tmp_path / "runs")
    results = mteb.ResultCache(out / "mteb").load_results(
        include_remote=False, load_experiments="match_name"
    )
    assert {(one.model_name, one.model_revision) for one in results.model_results} == {
        ("jrv3-eval/bm25", "jrv3-eval-unknown"),
        ("org/dense", "2" * 40),
    }
    for one in results.model_results:
        assert "previous_results_model_meta" not in one.task_results[0].scores["test"][0]


def test_what_mteb_has_no_place_for_is_named(
    exported: Exporting, tmp_path: Path, tasks_dir: Path
) -> None:
    stored(tmp_path / "runs")
    stored(tmp_path / "runs", **{"reranker.name": "oracle", "reranker.family": "baseline"})
    write_stored(tmp_path / "runs", VALUES)
    _, printed = exported(tmp_path / "runs")
    assert "beir/nfcorpus, oracle: oracle is a bound, not a model" in printed
    assert "zoo/animals, model: its card is not known here" in printed
    _, printed = exported(tmp_path / "runs", tasks_dir=tasks_dir)
    assert "zoo/animals, model: its card reads no task of mteb's" in printed


def test_nothing_for_mteb_is_an_error_where_mteb_was_asked_for(
    exported: Exporting, tmp_path: Path
) -> None:
    write_stored(tmp_path / "runs", VALUES)
    error = exported.refused(tmp_path / "runs", "mteb")
    assert "zoo/animals, model: its card is not known here" in error
    assert "--format trec" in error
    out, printed = exported(tmp_path / "runs")
    assert "1 TREC run" in printed
    assert not (out / "mteb").exists()


def test_a_limited_run_is_refused_by_mteb_and_marked_in_trec(
    exported: Exporting, tmp_path: Path
) -> None:
    stored(tmp_path / "runs", limit=2)
    assert "is of 2 queries only" in exported.refused(tmp_path / "runs")
    out, _ = exported(tmp_path / "runs", "trec")
    [path] = out.rglob("*.run")
    assert header_of(path)["data"]["test collection"]["limited"] is True


def test_two_results_for_one_place_are_refused(cli: Cli, tmp_path: Path) -> None:
    for name in ("before", "after"):
        stored(tmp_path / "runs" / name)
    done = cli("export", tmp_path / "runs/before", tmp_path / "runs/after", "--to", tmp_path / "o")
    assert done.code == 2
    assert "Two results of org/model are subset 'default' of mteb's NFCorpus" in done.err
    assert done.err.count("nfcorpus.json") == 2


def test_a_local_copy_does_not_pass_for_mtebs_data(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    stored(tmp_path / "runs", **{"dataset.revision": None})
    out, printed = exported(tmp_path / "runs")
    [path] = out.rglob("NFCorpus.json")
    assert mteb.TaskResult.from_disk(path).dataset_revision == "local-copy"
    assert f"NFCorpus was read from local-copy, and mteb reads {COMMIT}" in printed


def test_a_file_does_not_mix_versions_of_the_data(exported: Exporting, tmp_path: Path) -> None:
    miracl(tmp_path / "runs", "sw")
    miracl(tmp_path / "runs", "ar", **{"dataset.revision": "0" * 40})
    assert "different versions of the data" in exported.refused(tmp_path / "runs")


def test_a_metric_that_mteb_ranks_by_must_be_there(exported: Exporting, tmp_path: Path) -> None:
    stored(
        tmp_path / "runs", primary_metric="mrr@10", metrics={"mrr@10": 0.375},
        **{"candidates.metrics": {"mrr@10": 0.1}},
    )  # fmt: skip
    error = exported.refused(tmp_path / "runs", "mteb")
    assert "it has no ndcg_at_10, the main score of NFCorpus" in error


@pytest.mark.parametrize(
    ("formats", "words"), [("mtbe", "did you mean 'mteb'"), (",", "--format names nothing")]
)
def test_bad_formats_are_refused(
    exported: Exporting, tmp_path: Path, formats: str, words: str
) -> None:
    stored(tmp_path / "runs")
    assert words in exported.refused(tmp_path / "runs", formats)


# --- TREC runs ----------------------------------------------------------------------------------


def header_of(path: Path) -> dict[str, Any]:
    """As repro_eval's MetadataHandler.read_metadata: from the first line to the end marker."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# ir_metadata.start"
    end = lines.index("# ir_metadata.end")
    content: dict[str, Any] = yaml.safe_load("\n".join(line.strip("#") for line in lines[1:end]))
    return content


def scores_of(path: Path) -> dict[str, dict[str, float]]:
    """As trec_eval reads a run whose comment lines are taken off."""
    found: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            qid, _, docid, _, score, _ = line.split()
            found.setdefault(qid, {})[docid] = float(score)
    return found


def test_trec_eval_gives_the_recorded_values(
    exported: Exporting, tmp_path: Path, tasks_dir: Path
) -> None:
    models = ["random:7", "none"]
    results = evaluate_models("zoo", models, tasks_dir=tasks_dir, results=tmp_path / "runs")
    records = {result.reranker.name: result for result in results}
    out, _ = exported(tmp_path / "runs", "trec")
    for folder, name in (("random-7", "random:7"), ("none", "none")):
        path = out / "trec" / folder / "zoo" / "animals.run"
        by_trec = by_pytrec_eval(QRELS, scores_of(path))
        ours = evaluate(Qrels.from_dict(QRELS), read_run(path)).means
        for metric, values in by_trec.items():
            expected = records[name].metrics[metric]
            assert sum(values) / len(QRELS) == pytest.approx(expected, abs=1e-9)
            assert ours[metric] == pytest.approx(expected, abs=1e-12)


def test_the_header_tells_the_whole_story(exported: Exporting, tmp_path: Path) -> None:
    environment = {
        "environment.versions": {"python": "3.12.1", "jrv3-eval": "1.2", "torch": "2.9"},
        "environment.hardware": {"processor": "A CPU", "cores": 8, "memory_bytes": 2**34,
                                 "platform": "Linux-6", "accelerators": ["A GPU"]},
        "environment.command": "jrv3-eval beir --model org/model",
        "cost.seconds": 1.5,
        "candidates.settings": {"k1": 1.5},
    }  # fmt: skip
    written = stored(tmp_path / "runs", **environment)
    out, _ = exported(tmp_path / "runs")
    path = out / "trec" / "org-model" / "beir" / "nfcorpus.run"
    header = header_of(path)
    # The components that repro_eval compares of two runs, each by its key.
    assert {"platform", "research goal", "implementation", "method", "actor", "data"} <= set(header)
    assert header["tag"] == path.read_text().split()[-1] == "org-model"
    assert header["platform"]["hardware"] == {
        "cpu": {"model": "A CPU", "number of cores": 8}, "gpu": {"model": "A GPU"},
        "ram": "16.00 GB",
    }  # fmt: skip
    assert header["platform"]["software"] == {
        "libraries": {"python": ["torch==2.9"]}, "retrieval toolkit": ["jrv3-eval==1.2"],
    }  # fmt: skip
    assert header["implementation"]["executable"]["cmd"] == "jrv3-eval beir --model org/model"
    assert header["resources"]["runtime"]["wallclock"] == "1500 ms"
    first, second = header["method"]["retrieval"]
    assert (first["name"], first["params"]["settings"]) == ("bm25", {"k1": 1.5})
    assert first["params"]["hash"] == written.result.candidates.hash
    assert (second["name"], second["reranks"]) == ("org/model", "bm25")
    assert "ndcg_cut_10" in header["research goal"]["evaluation"]["reported measures"]
    assert header["data"]["test collection"]["name"] == "beir/nfcorpus"


def test_the_stored_run_has_the_same_header_but_for_where_it_ran(tmp_path: Path) -> None:
    import gzip

    one = stored(tmp_path / "one", **{"environment.command": "here", "cost.seconds": 1.0})
    other = stored(tmp_path / "other", **{"environment.command": "there", "cost.seconds": 2.0})
    contents = [gzip.decompress(s.record.with_suffix(".run.gz").read_bytes()) for s in (one, other)]
    assert contents[0] == contents[1]
    (tmp_path / "plain.run").write_bytes(contents[0])
    assert header_of(tmp_path / "plain.run")["method"]["retrieval"][1]["reranks"] == "bm25"


def test_names_that_fall_together_as_folders_stay_apart(
    exported: Exporting, tmp_path: Path
) -> None:
    stored(tmp_path / "runs" / "a", **{"reranker.name": "org/model"})
    stored(tmp_path / "runs" / "b", **{"reranker.name": "org-model"})
    out, _ = exported(tmp_path / "runs")
    assert {path.name for path in (out / "trec").iterdir()} == {"org-model", "org-model-2"}


def test_a_missing_run_is_named(cli: Cli, tmp_path: Path) -> None:
    run = stored(tmp_path / "runs").record.with_suffix(".run.gz")
    run.unlink()
    done = cli("export", tmp_path / "runs", "--to", tmp_path / "out", "--format", "trec")
    assert done.code == 2
    assert str(run) in done.err


def test_ids_with_spaces_survive(exported: Exporting, tmp_path: Path) -> None:
    write_stored(tmp_path / "runs", {"a query": 1.0}, lists={"a query": {"the cat": 1.0}})
    out, _ = exported(tmp_path / "runs")
    [path] = out.rglob("*.run")
    assert read_run(path).qids == ("a query",)


def test_two_models_and_protocols_are_tables_of_their_own(exported: Any, tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    stored(tmp_path / "runs", order="reverse")
    stored(tmp_path / "runs", **{"reranker.name": "org/other"})
    out, _ = exported(tmp_path / "runs", "mteb")
    tables = read_published(out / "mteb")
    assert [t.rows[0].model for t in tables] == ["org/model", "org/model", "org/other"]
    told = {(t.protocol.kind, t.protocol.first_stage, t.protocol.depth) for t in tables}
    assert told == {("reranking", "bm25", 100)}
