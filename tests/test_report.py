"""Reports end to end: from result folders to Markdown, LaTeX, figures and a page."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest

from conftest import QRELS, QUERIES, Cli, write_beir
from fakes import FakeReranker
from jrv3_eval import evaluate
from jrv3_eval.diagnosis import depth_curve, headroom_by_query, order_spreads, score_spread
from jrv3_eval.paths import cache_root
from jrv3_eval.stored import read_systems

HOSTILE = (
    "<script>window.__hacked = 1</script> ]]> </script> 'quoted' \"twice\" & "
    "\u202e\u0639\u0631 \U0001f600"
)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def pointwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model fake` opens a pointwise reranker that scores pairs by hash."""
    monkeypatch.setattr("jrv3_eval.evaluation.open_reranker", lambda spec, settings: FakeReranker())


@pytest.fixture
def results(cli: Cli, tasks_dir: Path, pointwise: None) -> Path:
    run = ("zoo", "--tasks-dir", tasks_dir, "--results", "results")
    done = cli(*run, "--model", "fake", "--model", "none", "--model", "oracle")
    assert done.code == 0, done.err
    return Path("results").resolve()


def test_a_report_has_a_page_tables_for_a_paper_and_markdown(cli: Cli, results: Path) -> None:
    done = cli("report", results, "--to", "reports/mine")
    assert done.code == 0, done.err
    written = files(Path("reports/mine"))
    assert {"report.html", "report.md", "latex/tables.tex", "latex/suite-zoo.tex"} <= written.keys()
    assert {"figures/scores.svg", "figures/scores.pdf", "figures/scores.png"} <= written.keys()
    page = written["report.html"].decode()
    assert "fake" in page
    assert "zoo/animals" in page


def test_the_same_results_give_the_same_bytes(cli: Cli, results: Path) -> None:
    for name in ("one", "two"):
        assert cli("report", results, "--to", name).code == 0
    assert files(Path("one")) == files(Path("two"))


def test_only_the_formats_that_were_asked_for(cli: Cli, results: Path) -> None:
    assert cli("report", results, "--to", "page", "--format", "html").code == 0
    assert set(files(Path("page"))) == {"report.html"}
    wrong = cli("report", results, "--to", "page", "--format", "htm")
    assert wrong.code == 2
    assert "did you mean 'html'" in wrong.err


def test_a_baseline_must_be_one_of_the_systems(cli: Cli, results: Path) -> None:
    wrong = cli("report", results, "--to", "r", "--baseline", "fakes")
    assert wrong.code == 2
    assert "'fake'" in wrong.err
    assert cli("report", results, "--to", "r", "--baseline", "fake").code == 0


def test_a_folder_without_results_is_an_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    wrong = cli("report", "empty", "--to", "r")
    assert wrong.code == 2
    assert "no result" in wrong.err


class Tags(html.parser.HTMLParser):
    """Counts the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.images += tag == "img"


def test_hostile_texts_of_a_dataset_stay_text_in_every_format(
    cli: Cli, tmp_path: Path, tasks_dir: Path, pointwise: None
) -> None:
    documents = {key: f"{key} {HOSTILE} {'w' * 10_000}" for key in ("cat", "dog", "fox", "sun")}
    asked = {key: f"{text} {HOSTILE}" for key, text in QUERIES.items()}
    write_beir(tmp_path / "data" / "animals", documents, asked, QRELS)
    card = tasks_dir / "zoo.yaml"
    card.write_text(card.read_text().replace("documents: 6, ", ""))
    run = ("zoo", "--tasks-dir", tasks_dir, "--model", "fake", "--results", "hostile")
    assert cli(*run, "--first-stage", "bm25").code == 0
    assert cli("report", "hostile", "--to", "r").code == 0
    page = Path("r/report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.scripts == 1  # the page's own
    assert "cat on a mat &lt;script&gt;" in page  # a query that moved
    assert "w" * 400 not in page  # clipped
    markdown = Path("r/report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<script", markdown)


def test_depth_curves_are_what_a_run_at_that_depth_gives(
    cli: Cli, results: Path, tasks_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jrv3_eval.diagnosis.depth.DEPTHS", (1, 2, 3))
    [fake] = [s for s in read_systems([results]) if s.name == "fake"]
    place = ("zoo", "animals")
    curve = {p.depth: p.value for p in depth_curve(fake, place, cache_root())}
    assert set(curve) == {1, 2, 3, 100}
    for depth in (1, 2, 3):
        [shallow] = evaluate(
            "zoo", "fake", depth=depth, tasks_dir=tasks_dir, results=f"depth-{depth}"
        )
        assert curve[depth] == pytest.approx(shallow.metrics["ndcg@10"], abs=1e-12)


def test_there_is_no_depth_curve_without_the_candidates(results: Path, tmp_path: Path) -> None:
    [fake] = [s for s in read_systems([results]) if s.name == "fake"]
    assert depth_curve(fake, ("zoo", "animals"), tmp_path / "elsewhere") == []


def test_headroom_by_query_counts_what_an_order_can_change(results: Path) -> None:
    systems = {s.name: s for s in read_systems([results])}
    best = headroom_by_query(systems["oracle"].tasks["zoo", "animals"])
    assert best.queries == 3
    assert best.worse == 0
    assert best.no_headroom + best.at_ceiling == pytest.approx(1)
    same = headroom_by_query(systems["none"].tasks["zoo", "animals"])
    assert (same.better, same.worse) == (0, 0)


def test_score_spread_tells_saturated_scores_from_fine_ones(results: Path) -> None:
    systems = {s.name: s for s in read_systems([results])}
    spread = score_spread(systems["fake"].tasks["zoo", "animals"], "fake")
    assert spread is not None
    assert 0 <= spread.low <= spread.median <= spread.high < 1
    assert spread.distinct == 1


def test_order_spread_is_zero_for_a_model_that_no_order_moves(
    cli: Cli, results: Path, tasks_dir: Path
) -> None:
    for order in ("reverse", "random:7"):
        run = ("zoo", "--tasks-dir", tasks_dir, "--results", "results", "--model", "fake")
        assert cli(*run, "--order", order).code == 0
    [spread] = order_spreads(read_systems([results]))
    assert set(spread.values) == {"first-stage", "reverse", "random:7"}
    assert spread.spread == 0
    assert spread.kendall == pytest.approx(1)
    assert cli("report", results, "--to", "orders").code == 0
    assert "Candidate order" in Path("orders/report.html").read_text(encoding="utf-8")


def test_compare_prints_json_for_other_tools(cli: Cli, results: Path) -> None:
    done = cli("compare", results, "--json", "--queries", "2")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    pair = next(p for p in content["pairs"] if p["second_name"] == "fake")
    assert pair["wins"] + pair["ties"] + pair["losses"] == pair["queries"] == 3
    assert content["moved"]


def test_published_lists_suites_and_prints_a_table_with_what_does_not_add_up(cli: Cli) -> None:
    assert "jina-reranker-v3-beir" in cli("published").out.replace("\n", "")
    shown = cli("published", "jina-reranker-v3.5-beir").out
    assert "56.26" in shown
    assert "its cells give 58.8292" in shown
    rows = json.loads(cli("published", "miracl", "--json").out)
    assert {row["suite"] for row in rows} == {"miracl"}
    wrong = cli("published", "berr")
    assert wrong.code == 2
    assert "did you mean 'beir'" in wrong.err
