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
        self,
        runs: Path,
        formats: str | None = None,
        tasks_dir: Path | None = None,
        to: Path | None = None,
    ) -> tuple[Path, str]:
        """The folder, and what was printed."""
        self._capsys.readouterr()
        out = to or runs.parent / "out"
        export([runs], out, formats, tasks_dir)
        return out, self._capsys.readouterr().out

    def refused(self, runs: Path, formats: str | None = None, to: Path | None = None) -> str:
        """The error of a call that must write nothing."""
        before = contents(to or runs.parent / "out")
        with pytest.raises(Jrv3EvalError) as caught:
            self(runs, formats, to=to)
        assert contents(to or runs.parent / "out") == before
        return str(caught.value)


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


NONE: dict[str, Any] = {
    "reranker.name": "none", "reranker.family": "baseline", "reranker.weights": None,
    "reranker.revision": None,
}  # fmt: skip


@pytest.mark.parametrize("reranker", [{}, NONE], ids=["reranked", "none"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"candidates.first_stage": "dense-org/d", "candidates.settings": {"query_prompt": "q"}},
            {"candidates.first_stage": "dense-org/d", "candidates.settings": {"query_prompt": ""}},
        ),
        (
            {"candidates.first_stage": "run-bm25", "candidates.settings": {"sha256": "a" * 64}},
            {"candidates.first_stage": "run-bm25", "candidates.settings": {"sha256": "b" * 64}},
        ),
        (
            {"candidates.settings": {"parts": [{"settings": {"k1": 1.5}}]}},
            {"candidates.settings": {"parts": [{"settings": {"k1": 0.9}}]}},
        ),
    ],
    ids=["prompts", "runs", "parts"],
)
def test_first_stages_of_one_name_do_not_share_a_file(
    reranker: dict[str, Any], one: dict[str, Any], other: dict[str, Any], exported: Exporting,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Whether they are exported in one call or one after the other."""
    for name, changes in (("one", one), ("other", other)):
        stored(tmp_path / "runs" / name, **reranker, **changes, **{"candidates.hash": name})
        exported(tmp_path / "runs" / name, "mteb", to=tmp_path / "each")
    exported(tmp_path / "runs", "mteb")
    for folder in ("each", "out"):
        assert len(list((tmp_path / folder).rglob("NFCorpus.json"))) == 2


def test_imported_runs_of_one_name_do_not_share_a_file(exported: Exporting, tmp_path: Path) -> None:
    for weights in ("a", "b"):
        run = {"reranker.family": "run", "reranker.name": "theirs", "reranker.revision": None,
               "reranker.weights": weights * 64}  # fmt: skip
        stored(tmp_path / weights, **run)
        exported(tmp_path / weights, "mteb", to=tmp_path / "o")
    found = {path.parts[-4] for path in (tmp_path / "o").rglob("NFCorpus.json")}
    assert found == {"a" * 12, "b" * 12}


def test_imported_languages_are_one_model(exported: Exporting, tmp_path: Path) -> None:
    for language in ("sw", "ar"):
        miracl(
            tmp_path / "runs", language,
            **{"reranker.family": "run", "reranker.name": "theirs", "reranker.revision": None,
               "reranker.weights": language * 32},
        )  # fmt: skip
    out, _ = exported(tmp_path / "runs", "mteb")
    [path] = (out / "mteb").rglob("MIRACLRetrieval.json")
    assert path.parts[-4] not in ("sw" * 6, "ar" * 6)  # of both


def test_what_a_card_says_does_not_part_languages(exported: Exporting, tmp_path: Path) -> None:
    for language in ("sw", "ar"):
        settings = {"k1": 1.5, "analysis": language, "self_retrieval": language}
        miracl(tmp_path / "runs", language, **{"candidates.settings": settings})
        miracl(tmp_path / language, language, **{"candidates.settings": settings})
    out, _ = exported(tmp_path / "runs", "mteb")
    [path] = out.rglob("MIRACLRetrieval.json")
    exported(tmp_path / "sw", "mteb", to=tmp_path / "o")
    [alone] = (tmp_path / "o").rglob("MIRACLRetrieval.json")
    assert alone.relative_to(tmp_path / "o") == path.relative_to(out)
    # The other language by itself would take the place of both.
    assert "it holds dev/sw, which this export has not" in exported.refused(
        tmp_path / "ar", "mteb", to=tmp_path / "o"
    )
    exported(tmp_path / "runs", "mteb", to=tmp_path / "o")


@pytest.mark.parametrize("reranker", [{}, NONE], ids=["reranked", "none"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"candidates.hash": "d" * 64}, "it is of another candidates"),
        ({"dataset.fingerprint": "e" * 64}, "it is of another dataset"),
    ],
    ids=["candidates", "dataset"],
)
def test_a_file_of_other_candidates_or_data_is_not_written_over(
    reranker: dict[str, Any], changes: dict[str, Any], named: str, exported: Exporting,
    tmp_path: Path,
) -> None:  # fmt: skip
    stored(tmp_path / "one", **reranker)
    stored(tmp_path / "other", **reranker, **changes)
    exported(tmp_path / "one", "mteb")
    error = exported.refused(tmp_path / "other", "mteb")
    assert named in error
    assert "NFCorpus.json" in error
    again = {"environment.started": "2026-01-01T00:00:00", "cost.seconds": 9.5}
    stored(tmp_path / "one", **reranker, **again)
    out, _ = exported(tmp_path / "one", "mteb")  # the same work again
    [path] = out.rglob("NFCorpus.json")
    assert '"evaluation_time": 9.5' in path.read_text()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"org/model"', '"org/other"', "it is of another model: name"),
        ('"depth": 100', '"depth": 99', "it is of another "),
        ('"main_score"', '"no_score"', None),  # of a value nothing is asked
        ('"jrv3-eval"', '"someone else"', "experiment_kwargs differ"),
        ("previous_results_model_meta", "previous", "it is of another depth"),
        ('"scores"', '"marks"', "it holds damaged/scores"),
        ("{", "", "it holds damaged/scores"),
    ],
    ids=["name", "depth", "value", "protocol", "states-nothing", "no-scores", "no-json"],
)
def test_a_changed_file_is_not_written_over(
    old: str, new: str, named: str | None, exported: Exporting, tmp_path: Path
) -> None:
    stored(tmp_path / "runs")
    out, _ = exported(tmp_path / "runs", "mteb")
    changed = 0
    for path in out.rglob("*.json"):
        content = path.read_text()
        changed += old in content
        path.write_text(content.replace(old, new))
    assert changed
    if named:
        assert named in exported.refused(tmp_path / "runs", "mteb")
    else:
        exported(tmp_path / "runs", "mteb")


@pytest.mark.parametrize(
    ("stage", "searched"),
    [
        ("bm25", True), ("bm25:k1=0.9,b=0.4", True), ("dense-org/d", True), ("mteb-org/d", True),
        ("run-colbert", False), ("pool", False), ("fusion-bm25-run-colbert", False),
        ("bm25-of-theirs", False),
    ],
)  # fmt: skip
def test_a_first_stage_from_elsewhere_does_not_pass_for_a_search(
    stage: str, searched: bool, exported: Exporting, tmp_path: Path
) -> None:
    import mteb

    written = stored(tmp_path / "runs", **NONE, **{"candidates.first_stage": stage})
    out, _ = exported(tmp_path / "runs", "mteb")
    [path] = out.rglob("NFCorpus.json")
    [scores] = mteb.TaskResult.from_disk(path).scores["test"]
    assert ("previous_results_model_meta" in scores) is not searched
    told = scores["jrv3_eval"] if searched else scores["previous_results_model_meta"]
    assert told["candidates"] == written.result.candidates.hash
    [table] = read_published(out / "mteb")
    assert table.protocol.kind == ("retrieval" if searched else "reranking")
    frame = mteb.ResultCache(out / "mteb").load_results(
        include_remote=False, load_experiments="match_name"
    ).to_dataframe()  # fmt: skip
    assert 0.375 in frame.iloc[0].tolist()


def test_an_unpinned_service_is_not_named_as_the_model(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    stored(tmp_path / "runs/a", **{"reranker.unpinned": True, "reranker.revision": None})
    stored(tmp_path / "runs/b")
    out, _ = exported(tmp_path / "runs", "mteb")
    results = mteb.ResultCache(out / "mteb").load_results(
        include_remote=False, load_experiments="match_name"
    )
    found = {one.model_name: one for one in results.model_results}
    assert found.keys() == {"service/org-model", "org/model"}
    for name, one in found.items():
        before = one.task_results[0].scores["test"][0]["previous_results_model_meta"]
        service = name.startswith("service/")
        assert before.get("unpinned") is (True if service else None)
        assert ("unpinned_True" in str(one.experiment_name)) is service


def test_the_first_stage_is_a_model_of_its_own(exported: Exporting, tmp_path: Path) -> None:
    import mteb

    stored(tmp_path / "runs", **NONE)
    settings = {"model": "org/dense", "revision": "2" * 40}
    dense = {"candidates.first_stage": "dense-org/dense", "candidates.settings": settings}
    stored(tmp_path / "runs", **NONE, **dense)
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
        [path] = (out / "trec" / f"{folder}@baseline").glob("*/zoo/animals.run")
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
    path = out / "trec" / written.result.folder() / "nfcorpus.run"
    header = header_of(path)
    # The components that repro_eval compares of two runs, each by its key.
    assert {"platform", "research goal", "implementation", "method", "actor", "data"} <= set(header)
    assert header["tag"] == path.read_text().split()[-1] == "org-model-cccccccc-d100"
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


def test_names_that_fall_together_as_folders_are_refused(
    exported: Exporting, tmp_path: Path
) -> None:
    for folder, name in (("a", "org/model"), ("b", "org-model")):
        stored(tmp_path / "runs" / folder, **{"reranker.name": name})
    assert "Two results would be written as one file" in exported.refused(tmp_path / "runs")
    exported(tmp_path / "runs" / "a", "trec", to=tmp_path / "o")
    error = exported.refused(tmp_path / "runs" / "b", "trec", to=tmp_path / "o")
    assert "its header differs in method" in error


def test_runs_of_other_depths_orders_and_limits_lie_apart(
    exported: Exporting, tmp_path: Path
) -> None:
    variants: dict[str, dict[str, Any]] = {
        "org-model-cccccccc-d100": {},
        "org-model-cccccccc-d10": {"candidates.depth": 10},
        "org-model-dddddddd-d100": {"candidates.hash": "d" * 64},
        "org-model-cccccccc-d100-random-7": {"order": "random:7"},
        "org-model-cccccccc-d100-limit2": {"limit": 2},
    }
    for number, changes in enumerate(variants.values()):  # one after the other, each alone
        stored(tmp_path / str(number), **changes)
        exported(tmp_path / str(number), "trec", to=tmp_path / "o")
    found = {path.read_text().split()[-1]: path for path in (tmp_path / "o").rglob("*.run")}
    assert found.keys() == variants.keys()
    for tag, path in found.items():
        condition = tag.removeprefix("org-model-")
        assert condition in path.parts[-3]
        assert header_of(path)["tag"] == tag
        assert ("limit" in path.parts[-3]) is ("limit" in tag)


def test_a_run_is_replaced_by_the_same_work_only(exported: Exporting, tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    out, _ = exported(tmp_path / "runs", "trec")
    [path] = out.rglob("*.run")
    before = path.read_bytes()
    exported(tmp_path / "runs", "trec")
    assert path.read_bytes() == before
    again = {"environment.command": "again", "environment.started": "later", "cost.seconds": 3.0}
    stored(tmp_path / "runs", **again)
    exported(tmp_path / "runs", "trec")
    assert header_of(path)["implementation"]["executable"]["cmd"] == "again"
    for changes, named in (
        ({"actor: {}": "actor: {team: ours}"}, "its header differs in actor"),
        ({"fingerprint: f": "fingerprint: e"}, "its header differs in data"),
        ({"# ir_metadata.start\n": "\n"}, "it has no header"),
        ({"# schema-version": "# : :"}, "it has no header"),
    ):
        [(old, new)] = changes.items()
        changed = before.decode().replace(old, new)
        assert changed.encode() != before
        path.write_text(changed)
        error = exported.refused(tmp_path / "runs", "trec", to=out)
        assert named in error
        assert str(path) in error
        assert path.read_text() == changed


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
