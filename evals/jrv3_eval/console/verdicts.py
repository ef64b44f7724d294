"""Comparisons, published values and the gate, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..compare import Agreement, MovedQuery, Pair
from ..gate import Gate, bound, remarks
from ..published import Beside, PublishedTable, beside_remarks, marked_name, shown_verdict
from .table import open_console, print_table

NUMBERS = True
WORDS = False


def print_pairs(pairs: Sequence[Pair], agreements: Sequence[Agreement]) -> None:
    """A table for each two systems; then how far their rankings agree."""
    console = open_console()
    columns = {
        "task": WORDS,
        "queries": NUMBERS,
        "first": NUMBERS,
        "second": NUMBERS,
        "difference [95 %]": NUMBERS,
        "p (Holm)": NUMBERS,
        "win/tie/loss": NUMBERS,
        "detectable": NUMBERS,
    }
    for names in dict.fromkeys((pair.first_name, pair.second_name) for pair in pairs):
        own = [p for p in pairs if (p.first_name, p.second_name) == names]
        metrics = ", ".join(dict.fromkeys(pair.metric for pair in own))
        rows = [
            (
                pair.name if pair.task else f"mean: {pair.name}",
                str(pair.queries),
                f"{pair.first:.4f}",
                f"{pair.second:.4f}",
                f"{pair.difference:+.4f} [{pair.low:+.4f}, {pair.high:+.4f}]",
                f"{pair.corrected:.4f}",
                f"{pair.wins}/{pair.ties}/{pair.losses}",
                f"{pair.detectable:.4f}",
            )
            for pair in own
        ]
        print_table(console, columns, rows, title=f"{names[0]} against {names[1]}  ({metrics})")
    for one in agreements:
        console.print(
            f"{one.task}: rankings of {one.first_name} and {one.second_name} agree by Kendall "
            f"{one.kendall:.3f}, RBO {one.rbo:.3f}",
            soft_wrap=True,
        )
    console.print(
        f"p: paired randomisation test, corrected for {len(pairs)} comparisons; detectable: the "
        "smallest true difference that these queries show four times in five",
        soft_wrap=True,
    )


def print_moved(queries: Sequence[MovedQuery]) -> None:
    """The queries that moved most, with the documents at the top of both orders."""
    console = open_console()
    for one in queries:
        text = f": {one.text}" if one.text else ""
        console.print(
            f"\n{one.task} {one.qid}{text}\n"
            f"  {one.metric} {one.before:.4f} ({one.before_name}) -> "
            f"{one.after:.4f} ({one.after_name})",
            soft_wrap=True,
        )
        for name, documents in ((one.before_name, one.top_before), (one.after_name, one.top_after)):
            console.print(f"  {name}:", soft_wrap=True)
            for document in documents:
                rank = document.before if documents is one.top_before else document.after
                judged = "-" if document.relevance is None else str(document.relevance)
                judged = judged if one.judgements_known else "?"
                shown = (document.text or "")[:80]
                console.print(
                    f"    {rank:>3}  [{judged}] {document.docid}  {shown}", soft_wrap=True
                )


def print_beside(rows: Sequence[Beside]) -> None:
    """Measured values beside published ones; percent."""
    console = open_console()
    columns = {
        "task": WORDS,
        "model": WORDS,
        "measured": NUMBERS,
        "published": NUMBERS,
        "difference": NUMBERS,
        "verdict": WORDS,
        "source": WORDS,
    }
    cells = [
        (
            marked_name(row),
            row.measured.model,
            f"{row.measured.value:.2f}",
            "-" if row.published is None else f"{row.published:.2f}",
            "-" if row.difference is None else f"{row.difference:+.2f}",
            shown_verdict(row),
            f"{row.table.name}{f', {row.row.label}' if row.row else ''}",
        )
        for row in rows
    ]
    print_table(console, columns, cells, title="measured against published (percent)")
    for line in beside_remarks(rows):
        console.print(line, soft_wrap=True)


def print_gate(gate: Gate) -> None:
    """The gate's table and what must be known beside it."""
    console = open_console()
    columns = {
        "task": WORDS,
        "queries": NUMBERS,
        "baseline": NUMBERS,
        "candidate": NUMBERS,
        "difference": NUMBERS,
        "lower": NUMBERS,
        "upper": NUMBERS,
        "verdict": WORDS,
    }
    rows = [
        (
            f"{one.suite}/{one.name}",
            str(one.queries),
            f"{one.baseline:.4f}",
            f"{one.candidate:.4f}",
            f"{one.difference:+.4f}",
            bound(one.lower),
            bound(one.upper),
            one.verdict,
        )
        for one in gate.hypotheses
    ]
    title = f"gate: {gate.verdict}  (margin {gate.margin:g}, alpha {gate.alpha:g})"
    print_table(console, columns, rows, title=title)
    for line in remarks(gate):
        console.print(line, soft_wrap=True)


def print_published(tables: Sequence[PublishedTable], *, whole: bool = False) -> None:
    """A list of tables, or each table whole with its source, protocol and notes."""
    console = open_console()
    if whole:
        for table in tables:
            _print_whole(table)
        return
    rows = [
        (
            table.name,
            table.suite,
            ", ".join(table.metrics),
            _stage(table),
            "-" if table.protocol.depth is None else str(table.protocol.depth),
            str(len(table.rows)),
            f"{table.source.table}{f' ({table.source.version})' if table.source.version else ''}",
        )
        for table in tables
    ]
    columns = ("table", "suite", "metric", "first stage", "depth", "models", "source")
    print_table(console, {c: c in ("depth", "models") for c in columns}, rows)


def _print_whole(table: PublishedTable) -> None:
    console = open_console()
    for metric in table.metrics:
        datasets = list(dict.fromkeys(d for row in table.rows for d in row.scores.get(metric, {})))
        averaged = any(metric in row.averages for row in table.rows)
        columns = {"model": WORDS, **({"average": NUMBERS} if averaged else {})}
        columns |= dict.fromkeys(datasets, NUMBERS)
        rows = [
            (
                row.label,
                *([_number(row.averages.get(metric), table)] if averaged else []),
                *(_number(row.scores.get(metric, {}).get(d), table) for d in datasets),
            )
            for row in table.rows
            if metric in row.scores or metric in row.averages
        ]
        print_table(console, columns, rows, title=f"{table.name}  ({metric}, {table.unit})")
    for line in table_remarks(table):
        console.print(line, soft_wrap=True)


def table_remarks(table: PublishedTable) -> list[str]:
    """A table's source, protocol, disagreements and notes, a line each."""
    source, stated = table.source, table.protocol
    version = f", {source.version}" if source.version else ""
    lines = [
        f"source: {source.title}{version}, {source.table}; {source.url}",
        f"protocol: {stated.kind}, first stage {_stage(table)}, depth {stated.depth or '-'}, "
        f"order {stated.order or 'not stated'}, split {stated.split or 'not stated'}"
        + "".join(f", {name} {value}" for name, value in stated.settings.items()),
    ]
    if table.superseded:
        lines.append(f"superseded: {table.superseded}")
    lines += [f"not stated: {what}" for what in stated.not_stated]
    lines += [
        f"{one.model}: printed {one.metric} average {one.printed}, its cells give {one.computed}"
        for one in table.disagreements
    ]
    lines += [
        f"{one.model}, {one.value}: {one.here} here, {one.there} in {one.table}"
        for one in table.variants
    ]
    return [*lines, *(f"note: {note}" for note in table.notes)]


def _stage(table: PublishedTable) -> str:
    stage = table.protocol.first_stage
    if isinstance(stage, dict):
        return ", ".join(dict.fromkeys(stage.values()))
    return stage or ("-" if table.protocol.kind != "reranking" else "not stated")


def _number(value: float | None, table: PublishedTable) -> str:
    return "-" if value is None else f"{value:.{table.decimals}f}"
