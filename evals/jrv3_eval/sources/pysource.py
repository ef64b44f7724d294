"""Docstring to function, from the source of an installed Python package.

Built the way CodeSearchNet was (Husain et al. 2019, arXiv 1909.09436, section 2): a query
is the first paragraph of a function's docstring, a document the source of a function or
method without its docstring, relevant is the function that the docstring came from.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import platform
import sysconfig
import textwrap
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from ..cards import PySource
from ..collection import Document, Judgement, RawDataset
from ..errors import DataError, UsageError
from ..hashing import hash_text

STDLIB = "stdlib"
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function or method: where it stands, its docstring's first paragraph, its code."""

    docid: str
    query: str
    code: str


def open_pysource(source: PySource) -> RawDataset:
    """The dataset made from a package's source. Raises UsageError if it is not installed."""
    root, revision = _root(source.package)
    files = _python_files(root)

    @cache
    def functions() -> tuple[Function, ...]:
        return tuple(_distinct_ids(_functions(root, files, source.min_lines)))

    @cache
    def sampled() -> tuple[Function, ...]:
        return tuple(_sample(functions(), source))

    def locate(kind: Literal["document", "query", "judgement"], identifier: str) -> str:
        return f"{root}: {identifier}" if identifier else str(root)

    return RawDataset(
        identity={
            "kind": "pysource",
            "source": source.model_dump(),
            "revision": revision,
            "files": [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files],
        },
        revision=revision,
        documents=lambda: (Document(f.docid, "", f.code) for f in functions()),
        queries=lambda: ((f"q:{f.docid}", f.query) for f in sampled()),
        judgements=lambda: (Judgement(f"q:{f.docid}", f.docid, 1) for f in sampled()),
        locate=locate,
    )


def _root(package: str) -> tuple[Path, str]:
    """Folder (or single file) of the package's source, and a name for its version."""
    if package == STDLIB:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return Path(sysconfig.get_paths()["stdlib"]), python
    top, dot, _ = package.partition(".")
    if dot:
        raise UsageError(
            f"{package!r} is not a top-level package, and a part of one is no source.",
            next_step=f"use package: {top or STDLIB}",
        )
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # __main__, an empty name, a NUL
        spec = None
    if spec is None or spec.origin is None:
        raise UsageError(
            f"No Python package {package!r} is installed here.",
            next_step=f"pip install it, or use package: {STDLIB}",
        )
    origin = Path(spec.origin)
    names = importlib.metadata.packages_distributions().get(package, [package])
    try:
        version = importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    return (origin.parent if origin.name == "__init__.py" else origin), f"{names[0]} {version}"


def _python_files(root: Path) -> list[Path]:
    """All modules below `root`, tests and other people's packages left out, sorted."""
    if root.is_file():
        return [root]
    return sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and not LEFT_OUT & set(path.relative_to(root).parts)
    )


def _functions(root: Path, files: list[Path], min_lines: int) -> Iterator[Function]:
    for path in files:
        try:
            with tokenize.open(path) as stream:
                text = stream.read()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue  # templates and files for other Python versions are no source of ours
        relative = path.relative_to(root if root.is_dir() else root.parent)
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        lines = text.split("\n")  # as ast counts; splitlines also splits at form feeds
        for qualified, node in _definitions(tree, ""):
            code = _code(node, lines)
            if len(code.split("\n")) >= min_lines:
                query = _first_paragraph(ast.get_docstring(node, clean=False))
                yield Function(f"{module}:{qualified}", query, code)


def _definitions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
    """Functions and methods with their qualified names; those inside functions are a part of it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{node.name}.")
        else:
            yield from _definitions(node, prefix)


def _docstring_nodes(node: ast.AST) -> Iterator[ast.Expr]:
    """Docstring statements of a function and of all that is defined inside it."""
    for inner in ast.walk(node):
        if isinstance(inner, FunctionNode | ast.ClassDef) and ast.get_docstring(inner, clean=False):
            first = inner.body[0]
            assert isinstance(first, ast.Expr)
            yield first


def _code(node: FunctionNode, lines: list[str]) -> str:
    """The source of a function without any docstring, dedented, blank edges removed."""
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = {number: lines[number - 1] for number in range(start, (node.end_lineno or start) + 1)}
    for doc in _docstring_nodes(node):
        end = doc.end_lineno or doc.lineno
        head = kept[doc.lineno].encode()[: doc.col_offset].decode()
        tail = kept[end].encode()[doc.end_col_offset :].decode().lstrip("; \t")
        for number in range(doc.lineno, end + 1):
            del kept[number]
        if head.strip() or (tail and not tail.startswith("#")):
            kept[doc.lineno] = head + tail
    return textwrap.dedent("\n".join(kept[number] for number in sorted(kept))).strip("\n")


def _first_paragraph(docstring: str | None) -> str:
    paragraph = inspect.cleandoc(docstring or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _distinct_ids(functions: Iterator[Function]) -> Iterator[Function]:
    """Number the second and later functions of one name (property setters, overloads)."""
    seen: Counter[str] = Counter()
    for function in functions:
        seen[function.docid] += 1
        number = seen[function.docid]
        docid = function.docid if number == 1 else f"{function.docid}#{number}"
        yield Function(docid, function.query, function.code)


def _sample(functions: tuple[Function, ...], source: PySource) -> list[Function]:
    """Functions whose docstring serves as a query, sampled by a stable hash of their text.

    A text that stands at two functions has two right answers but one judgement: all its
    copies are dropped.
    """
    usable = [f for f in functions if len(f.query.split()) >= source.min_words]
    copies = Counter(function.query for function in usable)
    distinct = [function for function in usable if copies[function.query] == 1]
    if not distinct:
        raise DataError(
            f"The package {source.package!r} has no function with a docstring of "
            f"{source.min_words} words or more.",
            next_step="choose a package with documented functions",
        )
    distinct.sort(key=lambda function: hash_text(function.docid + "\0" + function.query))
    return sorted(distinct[: source.queries], key=lambda function: function.docid)
