"""Replicas of the places that datasets come from, with their real layouts, on loopback.

`HubReplica` answers what huggingface_hub and datasets ask of the hub's API; nothing else.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq


class HubReplica:
    """Datasets by `org/name`, each at one commit, served as the hub serves them.

    requests: method and path of everything that was asked.
    """

    def __init__(self) -> None:
        self.datasets: dict[str, tuple[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                replica._answer(self, body=True)

            def do_HEAD(self) -> None:
                replica._answer(self, body=False)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                replica._answer(self, body=True, posted=self.rfile.read(length))

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, commit: str, files: Mapping[str, bytes]) -> None:
        self.datasets[name] = (commit, dict(files))

    def _answer(self, handler: Any, *, body: bool, posted: bytes = b"") -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        parts = urlsplit(handler.path)
        path = unquote(parts.path).strip("/").split("/")
        if path[:2] == ["api", "datasets"]:
            found = self._api("/".join(path[2:4]), path[4:], parse_qs(parts.query), posted)
        elif path[:1] == ["datasets"]:
            self._file(handler, "/".join(path[1:3]), path[3:], body)
            return
        else:
            found = None
        if found is None:
            _send(handler, 404, b'{"error": "not found"}', {"X-Error-Code": "RepoNotFound"}, body)
            return
        _send(handler, 200, json.dumps(found).encode(), {"Content-Type": "application/json"}, body)

    def _api(self, name: str, rest: list[str], query: Mapping[str, Any], posted: bytes) -> Any:
        if name not in self.datasets:
            return None
        commit, files = self.datasets[name]
        if not rest or rest[0] == "revision":
            siblings = [{"rfilename": file} for file in sorted(files)]
            return {"id": name, "sha": commit, "private": False, "gated": False, "disabled": False,
                    "siblings": siblings, "tags": [], "downloads": 0, "likes": 0,
                    "lastModified": "2024-01-01T00:00:00.000Z",
                    "createdAt": "2024-01-01T00:00:00.000Z"}  # fmt: skip
        if rest[0] == "tree":
            return _tree(files, "/".join(rest[2:]), query.get("recursive", ["false"])[0] != "false")
        if rest[0] == "paths-info":
            wanted = parse_qs(posted.decode()).get("paths") or json.loads(posted)["paths"]
            return [_entry(path, files[path]) for path in wanted if path in files]
        return None

    def _file(self, handler: Any, name: str, rest: list[str], body: bool) -> None:
        commit, files = self.datasets.get(name, ("", {}))
        file = "/".join(rest[2:])
        if rest[:1] != ["resolve"] or rest[1] not in (commit, "main") or file not in files:
            code = "EntryNotFound" if name in self.datasets else "RepoNotFound"
            _send(handler, 404, b"", {"X-Error-Code": code, "X-Repo-Commit": commit}, body)
            return
        content = files[file]
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        asked = handler.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            _send(handler, 206, content[int(first) : end], headers, body)
        else:
            _send(handler, 200, content, headers, body)


def _send(
    handler: Any, status: int, content: bytes, headers: Mapping[str, str], body: bool
) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if body:
        handler.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": oid}


def _tree(files: Mapping[str, bytes], under: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{under}/" if under else ""
    inside = {path: content for path, content in files.items() if path.startswith(prefix)}
    if under and not inside:
        return []
    entries = {}
    for path, content in inside.items():
        head, slash, _ = path[len(prefix) :].partition("/")
        if slash:
            folder = prefix + head
            entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
        if recursive or not slash:
            entries[path] = _entry(path, content)
    return [entries[path] for path in sorted(entries)]


def parquet(columns: Mapping[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue().to_pybytes())


def card(configs: Mapping[str, Mapping[str, str]]) -> bytes:
    """A dataset card whose YAML names the files of each config and split, as the hub's do."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", ""]).encode()


def mteb_layout(
    documents: list[tuple[str, str, str]],
    queries: list[tuple[str, str]],
    qrels: list[tuple[str, str, int]],
    *,
    split: str = "test",
    subset: str | None = None,
    pools: Mapping[str, list[str]] | None = None,
) -> dict[str, bytes]:
    """A retrieval dataset's files as mteb publishes them, Parquet with a card."""
    start = f"{subset}-" if subset else ""
    names = {"corpus": f"{start}corpus", "queries": f"{start}queries",
             "qrels": f"{start}qrels" if subset else "default",
             "top": f"{start}top_ranked"}  # fmt: skip
    files = {
        f"{names['corpus']}/{split}-00000-of-00001.parquet": parquet(
            {"_id": [d for d, _, _ in documents], "title": [t for _, t, _ in documents],
             "text": [x for _, _, x in documents]}
        ),
        f"{names['queries']}/{split}-00000-of-00001.parquet": parquet(
            {"_id": [q for q, _ in queries], "text": [x for _, x in queries]}
        ),
        f"{names['qrels']}/{split}-00000-of-00001.parquet": parquet(
            {"query-id": [q for q, _, _ in qrels], "corpus-id": [d for _, d, _ in qrels],
             "score": [r for _, _, r in qrels]}
        ),
    }  # fmt: skip
    if pools is not None:
        files[f"{names['top']}/{split}-00000-of-00001.parquet"] = parquet(
            {"query-id": list(pools), "corpus-ids": list(pools.values())}
        )
    files["README.md"] = card(
        {path.partition("/")[0]: {split: f"{path.partition('/')[0]}/{split}-*"} for path in files}
    )
    return files


def read_beir(folder: Path, split: str) -> tuple[Any, Any, Any]:
    """Documents, queries and judgements of a folder in BEIR layout, for building a replica."""
    from jrv3_eval.sources.folder import open_folder

    raw = open_folder(folder, split)
    return (
        [tuple(document) for document in raw.documents()],
        list(raw.queries()),
        [tuple(judgement) for judgement in raw.judgements()],
    )
