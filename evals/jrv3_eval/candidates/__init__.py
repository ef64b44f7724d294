"""Candidate sets: what a first stage hands to a reranker, as an immutable, hashed artifact."""

from .bundle import read_bundle, unpack_bundle, write_bundle
from .files import Manifest, load_candidates, read_manifest, save_candidates
from .sets import CandidateSet, candidate_set

__all__ = [
    "CandidateSet",
    "Manifest",
    "candidate_set",
    "load_candidates",
    "read_bundle",
    "read_manifest",
    "save_candidates",
    "unpack_bundle",
    "write_bundle",
]
