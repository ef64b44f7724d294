"""Downloads that break and go on; `jrv3-eval fetch` and its check."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import json
import shutil
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli
from jrv3_eval.errors import UnavailableError
from jrv3_eval.network import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Flaky:
    """A server of one file. breaks: connections that end in the middle; busy: answers 503."""

    def __init__(self) -> None:
        self.content, self.etag = CONTENT, '"v1"'
        self.breaks = self.busy = 0
        self.ranges: list[str | None] = []
        flaky = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                flaky.answer(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/corpus.bin"

    def answer(self, handler: Any) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if self.busy:
            self.busy -= 1
            handler.send_error(503)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        same = handler.headers.get("If-Range") in (None, self.etag)
        start = start if same else 0
        if start > len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        end = len(self.content)
        if self.breaks:
            self.breaks -= 1
            end = start + (len(self.content) - start) // 2
        handler.wfile.write(self.content[start:end])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flaky]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    server = Flaky()
    yield server
    server.close()


def no_wait(_: float) -> None:
    return


def test_a_broken_download_goes_on_where_it_was(flaky: Flaky, tmp_path: Path) -> None:
    flaky.breaks = 2
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert flaky.ranges == [None, "bytes=524288-", "bytes=786432-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_next_call_goes_on_too(flaky: Flaky, tmp_path: Path) -> None:
    flaky.breaks = 4
    with pytest.raises(UnavailableError, match="download failed"):
        download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    kept = (tmp_path / "file.part").stat().st_size
    assert kept > len(CONTENT) // 2
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert flaky.ranges[-1] == f"bytes={kept}-"
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("verified", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    flaky: Flaky, tmp_path: Path, verified: bool
) -> None:
    flaky.breaks = 4
    with pytest.raises(UnavailableError):
        download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    flaky.content, flaky.etag = CONTENT[::-1], '"v2"'
    md5 = hashlib.md5(flaky.content).hexdigest() if verified else None
    download(flaky.url, tmp_path / "file", md5=md5, wait=no_wait)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_without_digest_and_etag_nothing_is_continued(flaky: Flaky, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"something else")
    download(flaky.url, tmp_path / "file", wait=no_wait)
    assert flaky.ranges == [None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(flaky: Flaky, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_whole_part_is_not_fetched_again(flaky: Flaky, tmp_path: Path) -> None:
    """As a process leaves it that is killed before it renames the file."""
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert flaky.ranges == []
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_another_file_is_fetched_anew(flaky: Flaky, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"something else")
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert flaky.ranges == ["bytes=14-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_the_mark_of_other_bytes_is_forgotten(flaky: Flaky, tmp_path: Path) -> None:
    """A mirror without ETag in between: the first server's bytes are not put behind its own."""
    for etag, content in (('"v1"', CONTENT), ("", CONTENT[::-1])):
        flaky.etag, flaky.content, flaky.breaks = etag, content, 4
        with pytest.raises(UnavailableError):
            download(flaky.url, tmp_path / "file", wait=no_wait)
    flaky.etag, flaky.content = '"v1"', CONTENT
    download(flaky.url, tmp_path / "file", wait=no_wait)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [ssl.SSLError("bad record"), OSError(113, "No route to host")])
def test_a_network_that_fails_in_the_middle_is_no_full_disk(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    read, reads = http.client.HTTPResponse.read, []

    def failing(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        reads.append(amount)
        if len(reads) == 1:
            raise fault
        return read(self, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_an_absent_file_is_not(
    flaky: Flaky, tmp_path: Path
) -> None:
    flaky.busy = 2
    waits: list[float] = []
    download(flaky.url, tmp_path / "file", md5=MD5, wait=waits.append)
    assert waits == [1.0, 2.0]
    flaky.busy = 9
    with pytest.raises(UnavailableError, match="503"):
        download(flaky.url, tmp_path / "other", md5=MD5, wait=no_wait)


def test_two_processes_fetch_a_file_once(flaky: Flaky, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def fetch(_: int) -> None:
        download(flaky.url, tmp_path / "file", md5=MD5, wait=no_wait)

    with ThreadPoolExecutor(4) as pool:  # each thread has a lock of its own, as processes have
        list(pool.map(fetch, range(4)))
    assert flaky.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_wrong_digest_leaves_nothing(flaky: Flaky, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="but the card says 0000"):
        download(flaky.url, tmp_path / "file", md5="0" * 32, wait=no_wait)
    assert not list(tmp_path.iterdir())


def test_fetch_fills_the_cache_and_check_reads_it(
    cli: Cli, tasks_dir: Path, tmp_path: Path, cache: Path
) -> None:
    missing = cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check", "--json")
    assert json.loads(missing.out)[0]["documents"] == 6  # a local folder is always there
    filled = cli("fetch", "zoo", "--tasks-dir", tasks_dir)
    assert filled.code == 0
    assert "zoo-animals: 6 documents, 3 queries" in filled.out
    [corpus] = cache.rglob("corpus.arrow")
    content = corpus.read_bytes()
    corpus.write_bytes(content.replace(b"brown fox", b"brown cow"))
    damaged = cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check")
    assert damaged.code == 2
    assert "zoo-animals: FAILED: The cached dataset is damaged" in damaged.out
    assert "jrv3-eval fetch zoo --tasks animals" in damaged.err
    corpus.write_bytes(content.replace(b"brown fox", b"brown f\xff\xff"))
    unreadable = cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check")
    assert "zoo-animals: FAILED: The cached dataset is damaged" in unreadable.out
    corpus.write_bytes(content)
    [rank] = cache.rglob("rank.npy")
    ranks = np.load(rank)
    np.save(rank, ranks[::-1])
    assert cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check").code == 2
    shutil.rmtree(cache / "collections")
    shutil.rmtree(cache / "corpora")
    assert cli("fetch", "zoo", "--tasks-dir", tasks_dir).code == 0
    assert cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check").code == 0


def test_a_mistyped_command_is_named(cli: Cli) -> None:
    done = cli("fetc", "beir")
    assert done.code == 2
    assert "Unknown command or suite 'fetc'" in done.err
    assert "did you mean 'fetch'" in done.err


def test_a_task_that_fails_does_not_stop_the_others(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    text = (tasks_dir / "zoo.yaml").read_text()
    zip_source = "{kind: beir, url: 'http://127.0.0.1:9/x.zip', md5: " + "a" * 32 + "}"
    gone = f"  - {{name: gone, sources: [{zip_source}]}}\n"
    (tasks_dir / "zoo.yaml").write_text(text.replace("tasks:\n", "tasks:\n" + gone))
    done = cli("fetch", "zoo", "--tasks-dir", tasks_dir, "--check")
    assert done.code == 2
    assert "zoo-gone: FAILED" in done.out
    assert "zoo-animals: 6 documents" in done.out
    assert "1 of 2 tasks" in done.err
    assert "jrv3-eval fetch zoo --tasks gone" in done.err


def test_offline_a_run_names_the_command_to_run_online(
    cli: Cli, tasks_dir: Path, tmp_path: Path
) -> None:
    zip_source = "{kind: beir, url: 'http://127.0.0.1:9/x.zip', md5: " + "a" * 32 + "}"
    (tasks_dir / "zoo.yaml").write_text(
        f"suite: zoo\ntitle: t\ntasks: [{{name: gone, sources: [{zip_source}]}}]\n"
    )
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--offline")
    assert done.code == 2
    assert "HF_HUB_OFFLINE forbids the download" in done.err
    assert "where there is a network, run: jrv3-eval fetch zoo --tasks gone" in done.err
