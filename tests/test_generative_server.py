"""Generative rerankers on an OpenAI-compatible server: a loopback one that answers as told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jrv3_eval.errors import Jrv3EvalError, ScoreError, UnavailableError, UsageError
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.generative import GenerativeReranker, family
from jrv3_eval.rerankers.generative.prompts import Message
from jrv3_eval.rerankers.protocol import RankingRequest
from jrv3_eval.rerankers.registry import parse_settings
from models_generative import perfect

KEY = "sk-very-secret-0123456789"
Handle = Callable[[Mapping[str, Any], int], tuple[int, Any]]  # payload, call -> status, answer


def saying(text: str | None, prompt_tokens: Any = 7, finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt_tokens},
    }


class Server:
    """A chat server on this machine. handle: what it answers. seen: calls with their headers."""

    def __init__(self) -> None:
        self.handle: Handle = lambda payload, call: (200, saying(_perfect(payload)))
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                payload = json.loads(body)
                with lock:
                    headers = {k.lower(): v for k, v in self.headers.items()}
                    server.seen.append((self.path, payload, headers))
                    call = len(server.seen)
                status, answer = server.handle(payload, call)
                content = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                with suppress(OSError):  # the client has gone
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                """Keep quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


def _perfect(payload: Mapping[str, Any]) -> str:
    return perfect([Message(m["role"], m["content"]) for m in payload["messages"]])


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def opened(server: Server, **settings: str) -> GenerativeReranker:
    usual = {"model": "tiny", "retry_wait": "0.001", "timeout": "5"}
    reranker = family.open(server.url, parse_settings(family, {**usual, **settings}))
    assert isinstance(reranker, GenerativeReranker)
    return reranker


def graded(*grades: int, qid: str = "q") -> RankingRequest:
    return RankingRequest(qid, "longest river", tuple(f"grade={g}" for g in grades))


def test_contract(server: Server) -> None:
    """Answers that depend on the prompt alone."""

    def handle(payload: Mapping[str, Any], call: int) -> tuple[int, Any]:
        text = payload["messages"][-1]["content"]
        numbers = sorted(range(1, 10), key=lambda i: hash((i, len(text) * i % 7)))
        return 200, saying(" > ".join(f"[{n}]" for n in numbers))

    server.handle = handle
    check_reranker(
        lambda: opened(server), pointwise=False, variants=[lambda: opened(server, concurrency="1")]
    )


@pytest.mark.parametrize("method", ["listwise", "setwise", "pairwise"])
def test_lists_are_ranked(server: Server, method: str) -> None:
    reranker = opened(server, method=method, top_k="3", window="4", stride="2")
    requests = [graded(3, 1, 4, 0, 5, 9, 2, qid="a"), graded(1, 2, qid="b"), graded(qid="c")]
    scores = reranker.score(requests)
    first = sorted(range(7), key=lambda i: -scores[0][i])
    assert [requests[0].documents[i] for i in first][:2] == ["grade=9", "grade=5"]
    assert scores[1].tolist() == [0.0, 1.0]
    usage = reranker.usage(requests)
    assert [u.malformed for u in usage] == [0, 0, 0]
    assert [u.tokens for u in usage] == [7 * (u.calls or 0) for u in usage]  # as the server counts
    assert sum(u.calls or 0 for u in usage) == len(server.seen)


def test_what_is_sent(server: Server) -> None:
    opened(server, reasoning_tokens="100").score([graded(1, 2)])
    ((path, payload, headers),) = server.seen
    assert path == "/v1/chat/completions"
    assert [m["role"] for m in payload.pop("messages")] == ["system", "user"]
    budget = payload.pop("max_tokens")
    assert payload == {"model": "tiny", "temperature": 0, "seed": 0}
    assert 100 + len("[1] > [2]") <= budget <= 100 + len("[1] > [2]") + 16
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("text", "scores", "malformed"),
    [
        ("[2] > [1] > [3]", [1, 2, 0], 0),
        ("<think>[3] > [1]?</think>[2] > [1] > [3]", [1, 2, 0], 0),
        ("[2] > [2]", [1, 2, 0], 1),
        ("Sorry.", [2, 1, 0], 1),
        (None, [2, 1, 0], 1),  # a refusal, or all tokens went into thoughts
    ],
)
def test_answers(server: Server, text: str | None, scores: list[int], malformed: int) -> None:
    server.handle = lambda payload, call: (200, saying(text))
    reranker = opened(server)
    assert reranker.score([graded(1, 2, 3)])[0].tolist() == scores
    usage = reranker.usage([graded(1, 2, 3)])[0]
    assert (usage.calls, usage.malformed, usage.tokens) == (1, malformed, 7)


SILENT = {
    "null": saying(None),
    "empty": saying(" \n"),
    "only thoughts": saying("<think>[1] or [2]?</think>"),
    "thoughts that do not end": saying("<think>[1] > [2], or", finish="length"),
    "a long introduction": saying("Let me look at the passages one by one", finish="length"),
    "a filter": saying("I'm sor", finish="content_filter"),
    "a refusal": {"choices": [{"message": {"content": None, "refusal": "I cannot do that."}}]},
}


@pytest.mark.parametrize("answer", SILENT.values(), ids=SILENT)
@pytest.mark.parametrize("method", ["listwise", "setwise", "pairwise"])
def test_a_server_that_says_nothing_at_all_gives_no_scores(
    server: Server, method: str, answer: Any
) -> None:
    server.handle = lambda payload, call: (200, answer)
    requests = [graded(1, 2, qid=str(i)) for i in range(3)]
    with pytest.raises(
        ScoreError, match=r"nothing that could be read in (\d) of \1 answers \(100%"
    ):
        opened(server, method=method).score(requests)


def test_the_reasons_of_silence_are_counted(server: Server) -> None:
    answers = [saying(None, finish="length"), saying(None, finish="length"), saying("")]
    server.handle = lambda payload, call: (200, answers[call - 1])
    with pytest.raises(ScoreError) as caught:
        opened(server, reasoning_tokens="20").score([graded(1, 2, qid=q) for q in "abc"])
    assert "3 of 3 answers (100%): finish_reason length (2), no text (1)" in str(caught.value)
    assert "raise reasoning_tokens (now 20)" in str(caught.value)
    assert '"enable_thinking": false' in str(caught.value)
    assert f"{server.url}, model tiny" in str(caught.value)


def test_silence_from_the_start_ends_long_work_early(server: Server) -> None:
    server.handle = lambda payload, call: (200, saying(None))
    reranker = opened(server, method="pairwise", sort="allpair")  # 8 * 7 questions at once
    with pytest.raises(ScoreError):
        reranker.score([graded(*range(8))])
    server.seen.clear()
    with pytest.raises(ScoreError, match="16 of 16"):
        opened(server, method="setwise").score([graded(*range(100), qid=q) for q in "abcdefgh"])
    assert len(server.seen) == 16


def test_silence_of_one_call_after_the_other(server: Server) -> None:
    """One answer says little; the second one, of the next batch, makes it two of two."""
    server.handle = lambda payload, call: (200, saying(None))
    reranker = opened(server)
    assert reranker.score([graded(1, 2)])[0].tolist() == [1, 0]
    with pytest.raises(ScoreError, match="2 of 2"):
        reranker.score([graded(1, 2, qid="b")])


def test_silence_about_some_lists_is_counted_as_malformed(server: Server) -> None:
    """A filter that some texts meet: the others are ranked, and the share is in the record."""

    def handle(payload: Mapping[str, Any], call: int) -> tuple[int, Any]:
        filtered = "forbidden" in payload["messages"][-1]["content"]
        return 200, saying(None, finish="content_filter") if filtered else saying("[2] > [1]")

    server.handle = handle
    bad = RankingRequest("bad", "forbidden", ("a", "b"))
    requests = [graded(1, 2, qid="a"), bad]
    reranker = opened(server)
    assert [s.tolist() for s in reranker.score(requests)] == [[0, 1], [1, 0]]
    assert [u.malformed for u in reranker.usage(requests)] == [0, 1]
    long = RankingRequest("long", "forbidden", tuple("abcdef"))
    alone = opened(server, window="3", stride="1")
    alone.score(requests)
    assert alone.score([long])[0].tolist() == [5, 4, 3, 2, 1, 0]  # alone in its batch
    assert alone.usage([long])[0].malformed == alone.usage([long])[0].calls == 4
    with pytest.raises(ScoreError, match="content_filter"):
        alone.score([bad, long])  # a whole batch is more than chance


def test_text_without_a_number_is_malformed_and_no_silence(server: Server) -> None:
    server.handle = lambda payload, call: (200, saying("Sorry, I cannot rank these."))
    requests = [graded(1, 2, qid=str(i)) for i in range(3)]
    reranker = opened(server)
    assert [s.tolist() for s in reranker.score(requests)] == [[1, 0]] * 3
    assert [u.malformed for u in reranker.usage(requests)] == [1, 1, 1]


@pytest.mark.parametrize(
    "count", [None, True, -1, 2**53, 10**400, "7", 7.0], ids=lambda v: repr(v)[:20]
)
def test_prompt_tokens_that_a_server_does_not_say_are_not_known(
    server: Server, count: object
) -> None:
    server.handle = lambda payload, call: (200, saying("[2] > [1]", prompt_tokens=count))
    reranker = opened(server)
    reranker.score([graded(1, 2)])
    assert reranker.usage([graded(1, 2)])[0].tokens is None


def test_ctrl_c_ends_the_work_of_a_server(server: Server) -> None:
    """No further call is made, and the program does not wait for those under way."""
    release = threading.Event()
    two = threading.Event()

    def handle(payload: Mapping[str, Any], call: int) -> tuple[int, Any]:
        if call == 2:
            two.set()
        release.wait(10)
        return 200, saying("[1] > [2]")

    server.handle = handle
    code = (
        "from jrv3_eval.rerankers.generative import family\n"
        "from jrv3_eval.rerankers.protocol import RankingRequest\n"
        "settings = family.settings(model='m', concurrency=2)\n"
        f"reranker = family.open({server.url!r}, settings)\n"
        "reranker.score([RankingRequest(str(i), 'q', ('a', 'b')) for i in range(40)])\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert two.wait(30)
        program.send_signal(signal.SIGINT)
        _, printed = program.communicate(timeout=5)
    finally:
        program.kill()
        release.set()
    assert "KeyboardInterrupt" in printed
    assert program.returncode != 0
    assert len(server.seen) == 2


def test_a_failure_is_tried_again(server: Server) -> None:
    server.handle = lambda payload, call: (
        (500, {"error": "busy"}) if call < 3 else (200, saying("[2] > [1]"))
    )
    assert opened(server).score([graded(1, 2)])[0].tolist() == [0.0, 1.0]
    assert len(server.seen) == 3


def test_failures_end_the_run(server: Server) -> None:
    """One list of several fails for good: its reason is raised, no score is returned."""

    def handle(payload: Mapping[str, Any], call: int) -> tuple[int, Any]:
        bad = "poison" in payload["messages"][-1]["content"]
        return (500, {"error": {"message": "out of memory"}}) if bad else (200, saying("[1]"))

    server.handle = handle
    requests = [graded(1, 2, qid=str(i)) for i in range(6)]
    requests[4] = RankingRequest("4", "poison", ("a", "b"))
    with pytest.raises(UnavailableError, match="out of memory"):
        opened(server, tries="2", concurrency="2").score(requests)
    server.seen.clear()
    with pytest.raises(UnavailableError, match="out of memory"):
        opened(server, tries="2", concurrency="1").score(requests[4:] + requests[:4])
    assert len(server.seen) == 2  # the others are not asked any more


@pytest.mark.parametrize("answer", [[], {"choices": []}, {"object": "list"}, {"choices": [{}]}])
def test_another_kind_of_server(server: Server, answer: Any) -> None:
    server.handle = lambda payload, call: (200, answer)
    with pytest.raises(UnavailableError, match=r"without choices\[0\]\.message"):
        opened(server).score([graded(1, 2)])


def test_a_redirect_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.headers = {"location": "http://localhost:1/elsewhere"}
    server.handle = lambda payload, call: (307, {})
    with pytest.raises(UsageError, match="redirects"):
        opened(server, key_env="MY_KEY").score([graded(1, 2)])
    assert len(server.seen) == 1


def test_the_key_is_sent_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.handle = lambda payload, call: (401, {"error": {"message": f"bad key {KEY}"}})
    reranker = opened(server, key_env="MY_KEY")
    with pytest.raises(Jrv3EvalError, match="401") as caught:
        reranker.score([graded(1, 2)])
    assert server.seen[0][2]["authorization"] == f"Bearer {KEY}"
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__context__} {reranker.info!r}"
    assert KEY not in shown
    assert "bad key" in shown


def test_openai_s_key_goes_to_openai_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    opened(server).score([graded(1, 2)])
    assert "authorization" not in server.seen[0][2]
    opened(server, key_env="OPENAI_API_KEY").score([graded(1, 2)])  # said in so many words
    assert server.seen[1][2]["authorization"] == f"Bearer {KEY}"
    official = family.open("https://api.openai.com/v1", parse_settings(family, {"model": "m"}))
    assert official._chat._client._key.get_secret_value() == KEY  # type: ignore[attr-defined]


def test_a_named_key_that_is_not_there_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UsageError, match="MY_KEY is not set"):
        opened(server, key_env="MY_KEY").score([graded(1, 2)])
    with pytest.raises(UsageError, match="key_env is no name") as caught:
        opened(server, key_env=KEY)
    assert KEY not in str(caught.value)
    assert server.seen == []
    opened(server, key_env="").score([graded(1, 2)])
    assert "authorization" not in server.seen[0][2]


def test_options_are_sent_and_are_part_of_the_identity(server: Server) -> None:
    options = '{"top_p": 1, "chat_template_kwargs": {"enable_thinking": false}, "seed": 3}'
    reranker = opened(server, options=options)
    reranker.score([graded(1, 2)])
    payload = server.seen[0][1]
    assert payload["chat_template_kwargs"] == {"enable_thinking": False}
    assert (payload["top_p"], payload["seed"]) == (1, 3)
    assert reranker.info.fingerprint != opened(server).info.fingerprint
    assert opened(server, options=f" {options} ").info == reranker.info


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ('{"model": "other"}', "may not set model"),
        ('{"stream": true}', "may not set stream"),
        ('{"a": 1e999}', "it is no JSON"),
        ('{"api_key": "sk-very-secret"}', "may not set api_key"),
    ],
)
def test_options_that_are_refused(server: Server, options: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        opened(server, options=options)
    assert "secret" not in str(caught.value)


def test_a_key_does_not_cross_a_public_network_in_the_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    settings = parse_settings(family, {"model": "m", "key_env": "MY_KEY"})
    with pytest.raises(UsageError, match="without encryption"):
        family.open("http://example.org/v1", settings).score([graded(1, 2)])


def test_info(server: Server) -> None:
    info = opened(server).info
    assert (info.name, info.family, info.listwise) == ("tiny", "generative", True)
    assert (info.pinned, info.revision) == (False, None)
    assert info.settings["endpoint"] == server.url
    assert {"torch", "transformers"} & set(info.versions) == set()
    assert not {"concurrency", "timeout", "tries", "retry_wait", "key_env"} & set(info.settings)
    other = [{"epoch": "2"}, {"model": "other"}, {"max_length": "8192"}]
    prints = {opened(server, **s).info.fingerprint for s in ({}, *other)}
    assert len(prints) == 4
    weights = {opened(server, **s).info.weights for s in ({}, *other)}
    assert len(weights) == 3
    same = [{"concurrency": "1"}, {"timeout": "9"}, {"key_env": "X"}, {"tries": "1"}]
    assert {opened(server, **s).info.fingerprint for s in same} == {info.fingerprint}
    assert server.seen == []  # opening asks nothing


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "none is named"),
        ({"model": "m", "method": "setwise", "scoring": "likelihood"}, "server does not give"),
    ],
)
def test_settings_that_a_server_needs(settings: Mapping[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        family.open("http://localhost:8000/v1", parse_settings(family, settings))


def test_a_secret_in_the_url_is_refused() -> None:
    with pytest.raises(UsageError, match="user name") as caught:
        family.open(f"http://me:{KEY}@localhost/v1", parse_settings(family, {"model": "m"}))
    assert KEY not in str(caught.value)
