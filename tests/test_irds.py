"""The ir_datasets source: its own code on its own layout, filled without a network.

ir_datasets fixes its folder when it is imported, so each test has a Python of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jrv3_eval.cards import IrdsSource
from jrv3_eval.collection import ingest
from jrv3_eval.sources.folder import open_folder
from jrv3_eval.sources.irds import open_irds

PROGRAM = """
import json, sys
from jrv3_eval.cards import IrdsSource
from jrv3_eval.collection import ingest
from jrv3_eval.errors import Jrv3EvalError
from jrv3_eval.paths import cache_root
from jrv3_eval.sources.irds import open_irds

try:
    raw = open_irds(IrdsSource(kind="irds", dataset=sys.argv[1]))
    found = ingest(raw, join="title text", split="test", cache=cache_root())
    print(json.dumps({"fingerprint": found.fingerprint, "revision": found.revision}))
except Jrv3EvalError as error:
    print(json.dumps({"kind": type(error).__name__, "error": str(error)}))
"""


def load(dataset: str, home: Path) -> Any:
    """What a fresh, offline Python reads with ir_datasets' folder at `home`."""
    environment = {
        **os.environ,
        "IR_DATASETS_HOME": str(home / "irds"),
        "IR_DATASETS_TMP": str(home / "tmp"),
        "JRV3_EVAL_CACHE": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, dataset],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_real_nfcorpus_equals_the_folder(data: Path, cache: Path, tmp_path: Path) -> None:
    """Offline, what is there is read all the same."""
    (tmp_path / "irds/beir/nfcorpus").mkdir(parents=True)
    shutil.copy(data / "beir-nfcorpus/nfcorpus.zip", tmp_path / "irds/beir/nfcorpus/source.zip")
    found = load("beir/nfcorpus/test", tmp_path)
    folder = open_folder(data / "beir-nfcorpus", "test")
    local = ingest(folder, join="title text", split="test", cache=cache)
    assert found["fingerprint"] == local.fingerprint
    assert "beir/nfcorpus/test" in found["revision"]


def test_offline_no_download_begins(tmp_path: Path) -> None:
    found = load("beir/scifact/test", tmp_path)
    assert found["kind"] == "UnavailableError"
    assert "HF_HUB_OFFLINE forbids the download" in found["error"]


def test_an_unknown_id_is_an_error_of_the_card(tmp_path: Path) -> None:
    found = load("beir/nothing", tmp_path)
    assert found["kind"] == "DataError"  # and no reason to try another source
    assert "has no dataset 'beir/nothing'" in found["error"]


def test_an_id_without_judgements_is_an_error_of_the_card(tmp_path: Path) -> None:
    found = load("beir/nfcorpus", tmp_path)
    assert found["kind"] == "DataError"
    assert "name one with a split" in found["error"]


def test_the_identity_is_known_without_loading() -> None:
    raw = open_irds(IrdsSource(kind="irds", dataset="beir/nothing"))
    assert raw.identity["dataset"] == "beir/nothing"


@pytest.mark.parametrize("dataset", ["", "/x", "x//y", "x y"])
def test_an_impossible_id_is_refused_by_the_card(dataset: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        IrdsSource(kind="irds", dataset=dataset)
