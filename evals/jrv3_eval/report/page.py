"""A report as one HTML page that needs nothing beside it and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate
from xml.etree import ElementTree

from .model import Figure, Report, Section, ShownQuery, Table

# What a UTF-8 HTML file cannot hold or readers cannot see: C0 and C1 controls, lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"""url\(\s*["']?#([^"')]+?)["']?\s*\)""")
_SELECTOR = re.compile(r"([^{},]+)(?=(?:,[^{}]*)?\{)")
_ACTIVE = {"script", "foreignObject", "metadata"}


def render_page(report: Report) -> str:
    """The page: tables to sort and filter, figures, and the queries that moved most.

    Texts are escaped wherever they come from; only the package's style and script and the
    figures' drawing elements enter as markup. The same report gives the same bytes.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    script = _packaged("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_packaged),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        change=_change,
        group_starts=_group_starts,
        marks=_marks,
        moved=_moved,
        sorts=_sorts,
        svg=lambda figure, anchor: Markup(inline_svg(figure, anchor)),
    )
    page = environment.get_template("page.html.j2").render(
        report=report,
        places=_places(report),
        groups=_by_task(report.queries),
        style=Markup(_packaged("page.css")),
        script=Markup(script),
        digest=digest,
    )
    return clean(page)


def clean(text: str) -> str:
    """The text with line ends made one, and U+FFFD where a character has no place in a page."""
    return _UNFIT.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def inline_svg(figure: Figure, anchor: str) -> str:
    """The figure's drawing for use inside HTML.

    Several drawings share a page, so ids and style rules are bound to this one's anchor; ids
    that nothing refers to, the metadata and whatever could act or load are dropped.
    """
    root = ElementTree.fromstring(clean(figure.svg))
    for element in list(root.iter()):
        element.tag = _local(element.tag)
        for child in list(element):
            if _local(child.tag) in _ACTIVE:
                element.remove(child)
        attributes = {_local(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(
            (name, _REFERENCE.sub(rf"url(#{anchor}.\1)", value))
            for name, value in attributes.items()
            if not name.lower().startswith("on")
        )
        target = element.get("href")
        if target is not None and not target.startswith(("#", "data:image/")):
            del element.attrib["href"]
        elif target is not None and target.startswith("#"):
            element.set("href", f"#{anchor}.{target[1:]}")
        if element.tag == "style" and element.text:
            element.text = _SELECTOR.sub(rf"#{anchor} svg \1", element.text)
    used = "\n".join(value for element in root.iter() for value in element.attrib.values())
    referred = set(re.findall(r"#([^\s\")]+)", used))
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name is not None and f"{anchor}.{name}" in referred:
            element.set("id", f"{anchor}.{name}")
    root.set("role", "img")
    root.set("aria-label", figure.description)
    root.tail = None
    return clean(ElementTree.tostring(root, encoding="unicode"))


@dataclass(frozen=True)
class _Place:
    """A section with the ids that links to it and to its parts use."""

    anchor: str
    section: Section
    tables: list[tuple[str, Table]]
    figures: list[tuple[str, Figure]]


def _places(report: Report) -> list[_Place]:
    """The sections with ids made of names: safe in a link, and each given once."""
    taken: set[str] = set()

    def anchor(kind: str, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
        wanted = found = f"{kind}-{plain}" if plain else kind
        number = 1
        while found in taken:
            number += 1
            found = f"{wanted}-{number}"
        taken.add(found)
        return found

    return [
        _Place(
            anchor("section", section.name),
            section,
            [(anchor("table", table.name), table) for table in section.tables],
            [(anchor("figure", figure.name), figure) for figure in section.figures],
        )
        for section in report.sections
    ]


def _packaged(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _local(name: str) -> str:
    """A name without its namespace, which HTML knows by the element alone."""
    return name.rpartition("}")[2]


def _by_task(queries: tuple[ShownQuery, ...]) -> dict[tuple[str, str], list[ShownQuery]]:
    """Queries by suite and task, both in the order in which they first come."""
    groups: dict[tuple[str, str], list[ShownQuery]] = {}
    for query in queries:
        groups.setdefault((query.suite, query.task), []).append(query)
    return groups


def _group_starts(table: Table) -> set[int]:
    """Indices of the rows that have a rule above them."""
    return set(accumulate(table.groups)) - {0}


def _marks(table: Table) -> set[str]:
    """The marks that the table makes use of."""
    return {cell.mark for row in table.rows for cell in row}


def _sorts(value: float | None) -> bool:
    """Whether a value has a place among numbers; one that has none is sorted last."""
    return value is not None and math.isfinite(value)


def _change(before: float, after: float) -> str:
    """The difference with arrow and sign, as seen at the four digits shown."""
    shown = f"{after - before:+.4f}"
    if float(shown) == 0:
        return "= 0.0000"
    return ("▲ " if shown[0] == "+" else "▼ ") + shown.replace("-", "−")


def _moved(before: int | None, after: int | None) -> str:
    """How far a document went from one order to the other."""
    if before is None or after is None:
        return ""
    if before == after:
        return ", unmoved"
    return f", up {before - after}" if after < before else f", down {after - before}"
