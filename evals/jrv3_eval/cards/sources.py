"""The `sources` of a card: one model a kind. Nothing is opened here."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator


class Strict(BaseModel):
    """A frozen value that refuses keys which it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSource(Strict):
    """A folder in BEIR layout. A relative path is relative to the card's file."""

    kind: Literal["folder"]
    path: str

    @field_validator("path")
    @classmethod
    def _possible_path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a path cannot hold a NUL character")
        return value


class BeirSource(Strict):
    """An official BEIR zip with its published md5. inside: the dataset's folder in the zip."""

    kind: Literal["beir"]
    url: str = Field(pattern=r"^(https?|file)://")
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    inside: str | None = Field(None, description="default: the only folder with queries.jsonl")

    @field_validator("inside")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value is not None and (
            PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts
        ):
            raise ValueError("a folder in the zip is a relative path without '..'")
        return value


class HubSource(Strict):
    """A dataset of the Hugging Face hub at one commit, as mteb reads it.

    task: mteb's task, whose loader knows the dataset's quirks; None: a dataset in mteb's own
    retrieval layout (configs `corpus`, `queries`, `default` or `qrels`), by its path.
    subset: mteb's `hf_subset`, a language or a programming language.
    split: where the hub calls the card's split by another name.
    """

    kind: Literal["hub"]
    path: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    task: str | None = None
    subset: str = "default"
    split: str | None = None


class IrdsSource(Strict):
    """A dataset of ir_datasets, by its id there, such as `beir/nfcorpus/test`."""

    kind: Literal["irds"]
    dataset: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")


class PySource(Strict):
    """Docstring to function, from an installed Python package or the standard library."""

    kind: Literal["pysource"]
    package: str = Field(description="an installed package's import name, or 'stdlib'")
    queries: StrictInt = Field(200, ge=1, description="queries sampled by a stable hash")
    min_words: StrictInt = Field(4, ge=1, description="words that a query must have")
    min_lines: StrictInt = Field(3, ge=1, description="lines that a document must have")


class MkqaSource(Strict):
    """MKQA's questions in one language over the English corpus of another source.

    url: the questions in MKQA's own format (mkqa.jsonl.gz), an address or a path relative to
    the card. sha256: of that file, where it is known. language: of the questions, as MKQA
    names it. corpus: where the passages come from; its queries and judgements are not read.
    """

    kind: Literal["mkqa"]
    url: str
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    language: str
    corpus: Annotated[
        FolderSource | BeirSource | HubSource | IrdsSource, Field(discriminator="kind")
    ]


Source = Annotated[
    FolderSource | BeirSource | HubSource | IrdsSource | PySource | MkqaSource,
    Field(discriminator="kind"),
]
