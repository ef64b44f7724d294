"""The published tables: valid, whole, and honest about what does not add up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jrv3_eval.cards import load_suite
from jrv3_eval.errors import DataError
from jrv3_eval.paths import shipped
from jrv3_eval.published import (
    PublishedTable,
    check_sums,
    published_tables,
    read_published,
    read_table,
)

TABLES = {table.name: table for table in published_tables()}
OURS = ("beir", "miracl", "mkqa", "code", "nano-beir")

GOOD: dict[str, Any] = {
    "schema": 1,
    "suite": "beir",
    "metrics": ["ndcg@10"],
    "decimals": 2,
    "protocol": {"first_stage": "bm25", "depth": 100},
    "source": {"title": "a report", "url": "https://example.org", "table": "Table 1"},
    "rows": [{"model": "m", "label": "m", "scores": {"ndcg@10": {"nq": 74.0, "fever": 94.0}}}],
}


def written(folder: Path, **changes: Any) -> Path:
    """GOOD with some keys changed, as a file."""
    path = folder / "report.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    return path


# --- the tables that ship ---------------------------------------------------------------------


def test_every_shipped_file_is_a_table() -> None:
    files = {path.stem for path in shipped("published").glob("*.json")}
    assert files == set(TABLES)
    assert len(files) >= 28


@pytest.mark.parametrize("name", TABLES)
def test_a_printed_mean_is_that_of_its_cells_or_named_as_a_disagreement(name: str) -> None:
    table = TABLES[name]
    off = {
        (one.label, one.metric): (one.printed, one.computed)
        for one in check_sums(table)
        if abs(one.computed - one.printed) > table.tolerance
    }
    listed = {(one.model, one.metric): (one.printed, one.computed) for one in table.disagreements}
    assert listed.keys() == off.keys()
    for key, values in listed.items():
        assert values == pytest.approx(off[key], abs=1e-4)


def test_check_sums_find_a_mean_that_does_not_follow() -> None:
    row = {"model": "m", "label": "m", "scores": {"ndcg@10": {"nq": 74.0, "fever": 94.0}}}
    content = {**GOOD, "averaged": ["nq", "fever"], "rows": [row | {"averages": {"ndcg@10": 80.0}}]}
    [one] = check_sums(PublishedTable.model_validate(content))
    assert (one.label, one.metric, one.printed, one.computed) == ("m", "ndcg@10", 80.0, 84.0)
    without = {**content, "averaged": ["nq", "quora"]}  # a cell that is not printed
    assert check_sums(PublishedTable.model_validate(without)) == []


@pytest.mark.parametrize(
    ("table", "model", "printed", "computed"),
    [
        ("jina-reranker-v3-miracl", "jina-reranker-m0", 66.75, 66.31),
        ("jina-reranker-v3.5-beir", "jina-embeddings-v5-text-small", 56.26, 58.83),
        ("jina-reranker-v3.5-rteb", "jina-embeddings-v5-text-small", 64.60, 66.76),
        ("jina-reranker-v3.5-miracl", "mxbai-rerank-base-v2", 64.90, 64.78),
    ],
)
def test_the_known_wrong_means_are_named(
    table: str, model: str, printed: float, computed: float
) -> None:
    [one] = [d for d in TABLES[table].disagreements if d.model == model]
    assert (one.metric, one.printed) == ("ndcg@10", printed)
    assert round(one.computed, 2) == computed


@pytest.mark.parametrize(
    ("model", "value", "values"),
    [
        ("jina-reranker-v3", "beir", (61.94, 61.85)),
        ("jina-reranker-v3", "beir/hotpotqa", (78.56, 78.58)),
        ("jina-reranker-v3", "beir/fever", (93.95, 94.01)),
        ("jina-reranker-v3", "miracl", (66.50, 66.83)),
        ("jina-reranker-v3", "miracl/miracl-ko", (73.83, 73.60)),
        ("jina-reranker-v3", "code", (63.28, 70.64)),
        ("jina-reranker-v2", "code", (56.14, 58.35)),
        ("jina-reranker-m0", "code", (63.55, 66.89)),
        ("Qwen3-Reranker-4B", "mkqa", (67.52, 69.25)),
        ("Qwen3-Reranker-0.6B", "miracl", (57.70, 56.16)),
    ],
)
def test_the_known_other_values_are_named(
    model: str, value: str, values: tuple[float, float]
) -> None:
    found = [(v.here, v.there) for t in TABLES.values() for v in t.variants
             if (v.model, v.value) == (model, value)]  # fmt: skip
    assert found
    assert set(found) == {values}


def cells(table: PublishedTable) -> dict[tuple[str, str, str, str], float]:
    """(model, order, metric, place) -> value; places as a table of several suites names them.

    A line without an order of its own is the headline, which saw the first stage's order.
    """
    found = {}
    for row in table.rows:
        order = row.order or table.protocol.order or "first-stage"
        places = [(metric, "average", value) for metric, value in row.averages.items()]
        places += [(m, name, v) for m, values in row.scores.items() for name, v in values.items()]
        for metric, name, value in places:
            place = table.suite if name == "average" else f"{table.suite}/{name}"
            found[row.model, order, metric, name if table.suite == "overall" else place] = value
    return found


def placed(table: PublishedTable, value: str) -> str:
    """A variant's value, as a table of several suites names it."""
    if table.suite == "overall":
        return value
    return table.suite if value == "average" else f"{table.suite}/{value}"


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.variants])
def test_a_variant_stands_in_both_tables(name: str) -> None:
    table = TABLES[name]
    for one in table.variants:
        place = placed(table, one.value)
        for where, value in ((table, one.here), (TABLES[one.table], one.there)):
            printed = {
                v
                for (model, order, _, there), v in cells(where).items()
                if (model, order, there) == (one.model, "first-stage", place)
            }
            assert printed == {value}, (where.name, one)
        assert one.here != one.there


def test_no_two_tables_of_one_protocol_disagree_unsaid() -> None:
    unsaid, compared = [], 0
    tables = [t for t in TABLES.values() if t.protocol.kind == "reranking"]
    for index, table in enumerate(tables):
        for other in tables[:index]:
            theirs = cells(other)
            for key, value in cells(table).items():
                model, _, _, place = key
                suite = place.partition("/")[0]
                stages = {t.first_stage_for(suite) for t in (table, other)}
                if key not in theirs or len(stages) > 1 or None in stages:
                    continue
                compared += 1
                said = {
                    frozenset((v.here, v.there))
                    for t in (table, other)
                    for v in t.variants
                    if (v.model, placed(t, v.value)) == (model, place)
                }
                if value != theirs[key] and frozenset((value, theirs[key])) not in said:
                    unsaid.append((table.name, other.name, key, value, theirs[key]))
    assert unsaid == []
    assert compared > 50


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.suite in OURS])
def test_datasets_have_the_names_of_our_tasks(name: str) -> None:
    table = TABLES[name]
    suite = load_suite(table.suite, None)
    ours = {task.name for task in suite.tasks} | {average.name for average in suite.averages}
    named = {d for row in table.rows for values in row.scores.values() for d in values}
    assert {*named, *table.averaged} <= ours


def test_columns_of_several_suites_have_the_names_of_our_suites_and_tasks() -> None:
    for table in TABLES.values():
        for _, _, _, place in cells(table) if table.suite == "overall" else ():
            suite, _, task = place.partition("/")
            if suite in OURS:
                tasks = {one.name for one in load_suite(suite, None).tasks}
                assert not task or task in tasks
            else:
                assert suite in ("rteb", "struct-ir")


def test_the_invalid_korean_snapshot_is_superseded() -> None:
    assert [name for name, table in TABLES.items() if table.superseded] == ["instructkr-2025-11"]


def test_the_first_stage_may_differ_from_suite_to_suite() -> None:
    overall = TABLES["jina-reranker-v3-overall"]
    assert overall.first_stage_for("code") == "jina-code-embeddings-0.5b"
    assert overall.first_stage_for("beir") == "jina-embeddings-v3"
    assert overall.first_stage_for("rteb") is None
    assert TABLES["jina-reranker-v3.5-overall"].first_stage_for("rteb") is not None


def numbers(rows: Mapping[str, Mapping[str, float | None]]) -> list[float]:
    """The cells of the transcripts that the tables were made from; their means are no cells."""
    return sorted(
        value for row in rows.values() for name, value in row.items() if name != "average" and value
    )


@pytest.mark.parametrize(
    "name", [n for n, t in TABLES.items() if t.suite in ("beir", "miracl") and "mteb" not in n]
)
def test_no_cell_was_lost_or_changed_on_the_way_from_its_transcript(data: Path, name: str) -> None:
    path = data.parent / "published" / f"{name}.json"
    if not path.is_file():
        pytest.skip("the transcripts are not there")
    kept = [v for row in TABLES[name].rows for s in row.scores.values() for v in s.values()]
    assert sorted(kept) == numbers(json.loads(path.read_text())["scores"])


# --- files that are no tables -------------------------------------------------------------------


def test_a_table_of_ones_own_is_read_by_its_file_name(tmp_path: Path) -> None:
    [table] = read_published(written(tmp_path))
    assert (table.name, table.unit, table.rows[0].scores["ndcg@10"]["nq"]) == (
        "report", "percent", 74.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": {"first_stage": "bm25", "depht": 100}}, "protocol.dep"),
        ({"decimals": "two"}, "decimals"),
        ({"rows": []}, "rows"),
        ({"rows": GOOD["rows"] * 2}, "a line stands twice: m"),
        (
            {"rows": [{"model": "m", "label": "m",
                       "scores": {"ndcg@10": {"nq": 0.74, "fever": 0.94, "quora": 0.9}}}]},
            "the values are fractions; they are stored as percent",
        ),
        ({"rows": [{"model": "m", "label": "m", "averages": {"ndcg@10": 618.5}}]}, "outside"),
        ({"rows": [{"model": "m", "label": "m", "averages": {"mrr@10": 61.8}}]}, "not a metric"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said_with_its_file(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(DataError, match="The published table is not valid") as caught:
        read_table(path)
    assert caught.value.where == str(path)
    assert words in caught.value.what


@pytest.mark.parametrize("text", ["{", "", "[1, 2]", '"words"', '{"rows": 3}', "{}"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    for read in (read_published, read_table):
        with pytest.raises(DataError) as caught:
            read(path)
        assert caught.value.where == str(path)


def test_a_place_without_a_table_is_an_error(tmp_path: Path) -> None:
    for place, words in (
        (tmp_path / "gone", "no such published"),
        (tmp_path, "no published value"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            read_published(place)
        assert caught.value.where == str(place)
        assert caught.value.next_step
