"""A collection: corpus, queries and judgements, kept in an Arrow cache on disk.

The corpus is written once and memory-mapped afterwards, so that only the texts which
somebody asks for are ever in memory.
"""

from .building import ingest, verify_collection
from .corpus import Corpus, rows_of
from .corpus_building import BATCH_ROWS
from .folders import build_folder
from .opened import Collection, open_collection
from .raw import Document, Join, Judgement, RawDataset

__all__ = [
    "BATCH_ROWS",
    "Collection",
    "Corpus",
    "Document",
    "Join",
    "Judgement",
    "RawDataset",
    "build_folder",
    "ingest",
    "open_collection",
    "rows_of",
    "verify_collection",
]
