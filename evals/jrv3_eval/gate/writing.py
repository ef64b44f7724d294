"""The gate's verdicts as JSON, JUnit XML and Markdown."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import Any

from .decision import Gate, Hypothesis

_CONTROL = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_json(gate: Gate) -> dict[str, Any]:
    """The verdicts for other tools; a bound that does not exist is null."""
    content = asdict(gate)
    for one in content["hypotheses"]:
        for name, value in one.items():
            if isinstance(value, float) and not math.isfinite(value):
                one[name] = None
    return {"schema": 1, "verdict": gate.verdict, **content}


def to_junit(gate: Gate, *, strict: bool = False) -> str:
    """One test case a task or mean; inconclusive is skipped, or a failure where strict."""
    suite = ET.Element("testsuite", name="jrv3-eval gate", tests=str(len(gate.hypotheses)))
    failures = skipped = 0
    for one in gate.hypotheses:
        case = ET.SubElement(suite, "testcase", classname=_plain(one.suite), name=_plain(one.name))
        if one.verdict == "fail" or (strict and one.verdict == "inconclusive"):
            failures += 1
            ET.SubElement(case, "failure", message=_plain(reason(one, gate)), type=one.verdict)
        elif one.verdict == "inconclusive":
            skipped += 1
            ET.SubElement(case, "skipped", message=_plain(reason(one, gate)))
        ET.SubElement(case, "system-out").text = _plain(reason(one, gate))
    suite.set("failures", str(failures))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, "unicode") + "\n"


def to_markdown(gate: Gate) -> str:
    """A table for a pull request or a step's summary."""
    sign = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "⚠️ inconclusive"}
    lines = [
        f"### jrv3-eval gate: {sign[gate.verdict]}",
        "",
        f"{_cell(gate.candidate)} against {_cell(gate.baseline)}; margin {gate.margin:g}, "
        f"alpha {gate.alpha:g} for the whole invocation.",
        "",
        "| task | queries | metric | baseline | candidate | difference | bounds | verdict |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in gate.hypotheses:
        lines.append(
            f"| {_cell(one.suite)}/{_cell(one.name)} | {one.queries} | {one.metric} "
            f"| {one.baseline:.4f} | {one.candidate:.4f} | {one.difference:+.4f} "
            f"| [{bound(one.lower)}, {bound(one.upper)}] | {sign[one.verdict]} |"
        )
    lines += ["", *(f"- {_cell(line)}" for line in remarks(gate)), ""]
    return "\n".join(lines)


def reason(one: Hypothesis, gate: Gate) -> str:
    """The verdict in a sentence."""
    shown = f"{one.difference:+.4f} [{bound(one.lower)}, {bound(one.upper)}]"
    if one.verdict == "pass":
        return f"{shown}: a drop of {gate.margin:g} or more is excluded"
    if one.verdict == "fail":
        return f"{shown}: worse than the baseline, p {one.p:.4f} at level {one.level:.4f}"
    return (
        f"{shown}: neither a drop nor its absence is shown; with {one.needed:,} queries equal "
        f"systems pass four times in five, and there are {one.queries:,}"
    )


def remarks(gate: Gate) -> list[str]:
    """What a reader must know beside the table."""
    lines = [
        f"{one.suite}/{one.name}: {reason(one, gate)}"
        for one in gate.hypotheses
        if one.verdict != "pass"
    ]
    smallest = max(gate.hypotheses, key=lambda one: one.detectable)
    where = f"{smallest.suite}/{smallest.name}"
    if math.isinf(smallest.detectable):
        return [*lines, f"{where} has too few queries for any drop to fail"]
    return [
        *lines,
        f"the smallest drop that this gate fails four times in five: up to "
        f"{smallest.detectable:.4f} ({where})",
    ]


def bound(value: float) -> str:
    """A bound with its sign; a bound that so few queries cannot give is infinite."""
    return f"{value:+.4f}" if math.isfinite(value) else ("+inf" if value > 0 else "-inf")


def _plain(text: str) -> str:
    return _CONTROL.sub("\ufffd", text)


def _cell(text: str) -> str:
    """A text that cannot break out of a Markdown table or pretend to be markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#~!&])", r"\\\1", " ".join(_plain(text).split()))
