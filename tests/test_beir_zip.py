"""Official zips, served over loopback: checksum, safe extraction, the same data as a folder."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jrv3_eval.cards import BeirSource, Suite, TaskCard, load_suite
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import DataError
from jrv3_eval.sources import load_collection
from jrv3_eval.sources.beir import open_beir
from jrv3_eval.sources.folder import open_folder


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    root = tmp_path / "served"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield root, f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def read(source: BeirSource, cache: Path) -> list[tuple[str, str]]:
    """The zip's queries; they are what makes it download."""
    return list(open_beir(source, "test", cache).queries())


def zip_of(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(folder.rglob("*")):
            out.write(file, file.relative_to(folder.parent))
    return path


def test_a_zip_equals_its_folder(animals: Path, cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    archive = zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5=md5(archive))
    raw = open_beir(source, "test", cache)
    zipped = ingest(raw, join="title text", split="test", cache=cache)
    assert zipped.fingerprint == load(animals, cache).fingerprint
    archive.unlink()  # a second load does not ask the network
    assert open_beir(source, "test", cache).revision == f"md5:{source.md5}"


def test_the_real_nfcorpus_zip_equals_the_folder(
    data: Path, cache: Path, server: tuple[Path, str]
) -> None:
    root, address = server
    shutil.copy(data / "beir-nfcorpus/nfcorpus.zip", root)
    suite = load_suite("beir")
    card = next(card for card in suite.tasks if card.name == "nfcorpus")
    published = card.sources[0]
    assert isinstance(published, BeirSource)
    local = published.model_copy(update={"url": f"{address}/nfcorpus.zip"})
    loopback = card.model_copy(update={"sources": (local,)})
    downloaded = load_collection(suite, loopback, cache=cache)
    assert downloaded.fingerprint == load(data / "beir-nfcorpus", cache).fingerprint


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(
    animals: Path, cache: Path, server: tuple[Path, str]
) -> None:
    root, address = server
    zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5="0" * 32)
    with pytest.raises(DataError, match=r"has md5 .* but the card says 0000"):
        read(source, cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt"])
def test_a_zip_that_would_escape_is_refused(
    cache: Path, server: tuple[Path, str], name: str
) -> None:
    root, address = server
    with zipfile.ZipFile(root / "evil.zip", "w") as out:
        out.writestr(name, "x")
    source = BeirSource(kind="beir", url=f"{address}/evil.zip", md5=md5(root / "evil.zip"))
    with pytest.raises(DataError, match="would write outside its folder"):
        read(source, cache)
    assert not list(cache.rglob("evil.txt"))


def test_a_zip_with_a_link_is_refused(cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    link = zipfile.ZipInfo("corpus.jsonl")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(root / "link.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
    source = BeirSource(kind="beir", url=f"{address}/link.zip", md5=md5(root / "link.zip"))
    with pytest.raises(DataError, match="would write outside"):
        read(source, cache)


def test_a_file_that_is_no_zip(cache: Path, server: tuple[Path, str]) -> None:
    root, address = server
    (root / "no.zip").write_text("not a zip")
    source = BeirSource(kind="beir", url=f"{address}/no.zip", md5=md5(root / "no.zip"))
    with pytest.raises(DataError, match="not a zip"):
        read(source, cache)


def test_a_failed_download_names_the_address(
    cache: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BeirSource(kind="beir", url=f"{server[1]}/absent.zip", md5="0" * 32)
    with pytest.raises(DataError, match=r"absent\.zip"):
        read(source, cache)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids the download"):
        read(source, cache)


def test_a_failed_source_names_the_local_copies(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = BeirSource(kind="beir", url="http://127.0.0.1/absent.zip", md5="0" * 32)
    card = TaskCard(name="animals", sources=(source,))
    suite = Suite(suite="zoo", title="t", tasks=(card,))
    with pytest.raises(DataError, match="HF_HUB_OFFLINE") as caught:
        load_collection(suite, card, cache=cache, data_dir=tmp_path)
    message = str(caught.value)
    assert "absent.zip" in message
    assert str(tmp_path / "animals") in message
    assert str(tmp_path / "zoo-animals") in message
    assert "--data-dir" not in message


def test_two_runs_may_extract_at_once(
    animals: Path, cache: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, address = server
    archive = zip_of(animals, root / "animals.zip")
    source = BeirSource(kind="beir", url=f"{address}/animals.zip", md5=md5(archive))
    extract, runs = zipfile.ZipFile.extractall, []

    def while_another_runs(self: zipfile.ZipFile, path: Path) -> None:
        runs.append(path)
        if len(runs) == 1:  # the other run begins and ends in the middle of this one
            (path / "half").write_text("")
            read(source, cache)
            assert (path / "half").exists()
        extract(self, path)

    monkeypatch.setattr(zipfile.ZipFile, "extractall", while_another_runs)
    read(source, cache)
    assert len(runs) == 2
    home = cache / "downloads" / source.md5
    assert sorted(path.name for path in home.iterdir()) == ["animals.zip", "extracted"]
    assert not list(home.rglob("half"))
    umask = os.umask(0)
    os.umask(umask)
    assert (home / "extracted").stat().st_mode & 0o777 == 0o777 & ~umask
