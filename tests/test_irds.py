"""The ir_datasets source: its own code on its own layout, filled without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jrv3_eval.cards import IrdsSource
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import DataError, UnavailableError
from jrv3_eval.sources.folder import open_folder
from jrv3_eval.sources.irds import open_irds


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ir_datasets' own folder."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "irds"))
    monkeypatch.setenv("IR_DATASETS_TMP", str(tmp_path / "irds-tmp"))
    return tmp_path / "irds"


def load(dataset: str, cache: Path) -> Collection:
    source = IrdsSource(kind="irds", dataset=dataset)
    return ingest(open_irds(source), join="title text", split="test", cache=cache)


def test_the_real_nfcorpus_equals_the_folder(
    data: Path, home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # what is there is read all the same
    (home / "beir/nfcorpus").mkdir(parents=True)
    shutil.copy(data / "beir-nfcorpus/nfcorpus.zip", home / "beir/nfcorpus/source.zip")
    found = load("beir/nfcorpus/test", cache)
    folder = open_folder(data / "beir-nfcorpus", "test")
    local = ingest(folder, join="title text", split="test", cache=cache)
    assert found.fingerprint == local.fingerprint
    assert found.revision is not None
    assert "beir/nfcorpus/test" in found.revision


def test_offline_no_download_begins(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE forbids the download"):
        load("beir/scifact/test", cache)


def test_an_unknown_id_is_an_error_of_the_card(home: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="has no dataset 'beir/nothing'") as caught:
        load("beir/nothing", cache)
    assert not isinstance(caught.value, UnavailableError)


def test_the_identity_is_known_without_loading(home: Path) -> None:
    raw = open_irds(IrdsSource(kind="irds", dataset="beir/nothing"))
    assert raw.identity["dataset"] == "beir/nothing"
    assert not home.exists()
