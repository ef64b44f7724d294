"""Rerank services on the loopback interface, each with the schema of the real one.

A score is a pure function of query and document, so that a test can compute it itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Fields that each service knows: reference/API pages; any other one is refused with 422.
FIELDS = {
    "jina": {"model", "query", "documents", "top_n", "return_documents"},
    "cohere": {"model", "query", "documents", "top_n", "max_tokens_per_doc"},
    "voyage": {"model", "query", "documents", "top_k", "return_documents", "truncation"},
    "tei": {"query", "texts", "truncate", "truncation_direction", "raw_scores", "return_text"},
    "vllm": {
        "model",
        "query",
        "documents",
        "top_n",
        "max_tokens_per_doc",
        "instruction",
        "use_activation",
        "truncate_prompt_tokens",
    },
    "infinity": {"model", "query", "documents", "top_n", "return_documents", "raw_scores"},
}
REFUSES_EMPTY = ("jina", "cohere", "voyage")
TEI_BATCH = 32  # its default --max-client-batch-size


def pair_score(query: str, document: str) -> float:
    """A number between -10 and 10 that only the two texts decide."""
    digest = hashlib.sha256(f"{query}\0{document}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 20 - 10


@dataclass
class Reply:
    """What a server sends. delay: seconds before the body's second half. cut: close after it."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str | None = "application/json"
    delay: float = 0.0
    cut: bool = False

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Reply:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(json.dumps(value).encode(), status, named)


@dataclass
class Seen:
    """One request that a server got."""

    path: str
    headers: dict[str, str]
    body: Any


class Service:
    """A running server. faults: replies for the next requests, taken one by one, before the
    right ones. change: edits every right answer. pause: seconds that each answer takes."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.seen: list[Seen] = []
        self.faults: list[Reply] = []
        self.change: Callable[[Any, Seen], Any] = lambda answer, seen: answer
        self.pause = 0.0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def reply(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            fault = self.faults.pop(0) if self.faults else None
        try:
            if self.pause:
                time.sleep(self.pause)
            return fault or self._right(seen)
        finally:
            with self._lock:
                self._at_once -= 1

    def _right(self, seen: Seen) -> Reply:
        body = seen.body
        if unknown := body.keys() - FIELDS[self.schema]:
            return Reply.of({"detail": f"unknown fields {sorted(unknown)}"}, 422)
        documents = body["texts" if self.schema == "tei" else "documents"]
        if not documents or (self.schema in REFUSES_EMPTY and not all([*documents, body["query"]])):
            return Reply.of({"message": "documents and query must not be empty"}, 400)
        if self.schema == "tei" and len(documents) > TEI_BATCH:
            what = f"batch size {len(documents)} > maximum allowed batch size {TEI_BATCH}"
            return Reply.of({"error": what, "error_type": "Validation"}, 413)
        scores = [pair_score(body["query"], document) for document in documents]
        tokens = sum(len(body["query"]) + len(document) + 3 for document in documents)
        answer = self.change(_SHAPES[self.schema](documents, scores, body, tokens), seen)
        headers = {"x-compute-tokens": str(tokens)} if self.schema == "tei" else {}
        return Reply(json.dumps(answer).encode(), headers=headers)


@contextmanager
def running(schema: str) -> Iterator[Service]:
    """A service of this schema, until the block ends."""
    service = Service(schema)
    thread = threading.Thread(target=service.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()


@contextmanager
def dripping(line: bytes, every: float) -> Iterator[str]:
    """The URL of a server that answers with this line of a header, again and again, no end."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client has gone
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(every):
                connection.sendall(line)

    def serve() -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.close()


def write_served_cross_encoder(folder: Path) -> Path:
    """A random cross-encoder whose tokenizer class transformers 4 knows as well."""
    from models import write_cross_encoder, write_json

    write_cross_encoder(folder)
    config = folder / "tokenizer_config.json"
    written = json.loads(config.read_text(encoding="utf-8"))
    write_json(config, written | {"tokenizer_class": "PreTrainedTokenizerFast"})
    return folder


@contextmanager
def infinity(executable: str, folder: Path, *options: str, wait: float = 120.0) -> Iterator[str]:
    """The URL of a real infinity server on this machine's CPU; it serves `folder` as "served"."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    arguments = {
        "--model-id": str(folder),
        "--served-model-name": "served",
        "--engine": "torch",
        "--device": "cpu",
        "--dtype": "float32",
        "--host": "127.0.0.1",
        "--port": str(port),
    }
    words = [word for pair in arguments.items() for word in pair]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    log = folder.with_name(f"{folder.name}-infinity.log")
    with log.open("wb") as stream:
        program = subprocess.Popen(
            [executable, "v2", *words, "--no-model-warmup", *options],
            stdout=stream,
            stderr=stream,
            env=environment,
        )
    try:
        _wait_for(f"{url}/health", program, log, time.monotonic() + wait)
        yield url
    finally:
        program.terminate()
        try:
            program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _wait_for(url: str, program: subprocess.Popen[bytes], log: Path, until: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if program.poll() is not None or time.monotonic() > until:
                said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"infinity did not start:\n{said}") from None
            time.sleep(0.2)


def _sorted(results: list[dict[str, Any]], key: str, top: int | None) -> list[dict[str, Any]]:
    return sorted(results, key=lambda result: -result[key])[: top or None]


def _relevance(scores: list[float]) -> list[dict[str, Any]]:
    return [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]


def _jina(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    results = _relevance(scores)
    if body.get("return_documents", True):
        for result in results:
            result["document"] = {"text": documents[result["index"]]}
    return {
        "model": body["model"],
        "object": "list",
        "usage": {"total_tokens": tokens},
        "results": _sorted(results, "relevance_score", body.get("top_n")),
    }


def _cohere(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    return {
        "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
        "results": _sorted(_relevance(scores), "relevance_score", body.get("top_n")),
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": -(-len(documents) // 100)},
        },
    }


def _voyage(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    return {
        "object": "list",
        "data": _sorted(_relevance(scores), "relevance_score", body.get("top_k")),
        "model": body["model"],
        "usage": {"total_tokens": tokens},
    }


def _tei(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    return _sorted([{"index": i, "score": s} for i, s in enumerate(scores)], "score", None)


def _vllm(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    results = _relevance(scores)
    for result in results:
        result["document"] = {"text": documents[result["index"]], "multi_modal": None}
    return {
        "id": "rerank-1",
        "model": body.get("model", "served"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "results": _sorted(results, "relevance_score", body.get("top_n")),
    }


def _infinity(documents: list[str], scores: list[float], body: Any, tokens: int) -> Any:
    return {
        "object": "rerank",
        "results": _sorted(_relevance(scores), "relevance_score", body.get("top_n")),
        "model": body.get("model", "default/not-specified"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "id": "infinity-1",
        "created": 1,
    }


_SHAPES = {
    "jina": _jina,
    "cohere": _cohere,
    "voyage": _voyage,
    "tei": _tei,
    "vllm": _vllm,
    "infinity": _infinity,
}


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(service.reply(Seen(self.path, headers, json.loads(body))))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.kind is not None:
                self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            half = len(reply.content) // 2
            try:
                if reply.delay or reply.cut:
                    self.wfile.write(reply.content[:half])
                    self.wfile.flush()
                    time.sleep(reply.delay)
                    if reply.cut:
                        self.close_connection = True
                        return
                    self.wfile.write(reply.content[half:])
                else:
                    self.wfile.write(reply.content)
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    return Handler
