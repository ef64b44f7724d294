"""The JSON client: what is tried again, what is final, and who sees the key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrv3_eval.errors import (
    Jrv3EvalError,
    MissingExtraError,
    ScoreError,
    UnavailableError,
    UsageError,
)
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.rerankers.registry import parse_settings
from jrv3_eval.rerankers.services.calls import in_parallel, within
from jrv3_eval.rerankers.services.client import JsonClient, RefusedError, StoppedError
from jrv3_eval.rerankers.services.endpoint import parse_endpoint
from jrv3_eval.rerankers.services.family import family
from jrv3_eval.rerankers.services.pacing import LONGEST_WAIT, Pace, backoff, retry_after
from jrv3_eval.rerankers.services.redaction import redact
from services import Reply, Service, dripping, running

KEY = "sk-9f8e7d/6c5b+4a3=Zz"
BODY = {"model": "m", "query": "q", "documents": ["a", "b"]}


@pytest.fixture
def server() -> Iterator[Service]:
    with running("jina") as service:
        yield service


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def client(server: Service, waited: list[float]) -> JsonClient:
    """A client with a key that notes its waits and does not wait."""
    return JsonClient(server.url, key=KEY, timeout=5, sleep=waited.append)


# ---- tried again --------------------------------------------------------------------------------

GOOD = {"results": []}
PASSING = {
    "500": Reply.of({"error": "boom"}, 500),
    "502 with a page": Reply(b"<html>bad gateway</html>", 502, kind="text/html"),
    "503": Reply(b"", 503),
    "529": Reply.of({"error": "overloaded"}, 529),
    "408": Reply.of({}, 408),
    "429": Reply.of({"detail": "slow down"}, 429),
    "truncated JSON": Reply(b'{"results": [{"index": 0, "relev'),
    "empty": Reply(b""),
    "not UTF-8": Reply(b'{"results": "\xff\xfe"}'),
    "a page": Reply(b"<html>log in</html>", kind="text/html"),
    "connection cut in the body": Reply(b'{"results": []}' * 50, cut=True),
    "no such compression": Reply(b'{"results": []}', headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again_and_fails_in_the_end(
    server: Service, client: JsonClient, waited: list[float], reply: Reply
) -> None:
    server.faults = [reply] * 4
    assert len(client.post("rerank", BODY)["results"]) == 2
    assert len(server.seen) == 5
    for wait, longest in zip(waited, (1, 2, 4, 8), strict=True):
        assert longest / 2 <= wait <= longest
    server.faults = [reply] * 5
    with pytest.raises(UnavailableError, match="failed 5 times; the last time: ") as caught:
        client.post("rerank", BODY, about="query 'q7'")
    assert "query 'q7'" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.seen) == 10


def test_an_answer_that_stops_in_the_middle_is_tried_again(server: Service) -> None:
    client = JsonClient(server.url, timeout=0.05, first_wait=0.001)
    server.faults = [Reply(b'{"results": []}', delay=0.2)]
    assert len(client.post("rerank", BODY)["results"]) == 2
    server.faults = [Reply(b'{"results": []}', delay=0.2)] * 5
    with pytest.raises(UnavailableError, match=r"no whole answer within 0\.05 seconds"):
        client.post("rerank", BODY)


def test_the_timeout_holds_for_headers_that_drip() -> None:
    """Every byte comes in time, and the answer never does."""
    with dripping(b"x-more: 1\r\n", every=0.02) as url:
        client = JsonClient(url, timeout=0.2, tries=1)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no whole answer within 0\.2 seconds"):
            client.post("rerank", BODY)
        assert 0.2 <= time.monotonic() - began < 1.5


def test_a_port_where_nobody_listens(waited: list[float]) -> None:
    with running("jina") as gone:
        url = gone.url
    with pytest.raises(UnavailableError, match="ConnectError"):
        JsonClient(url, sleep=waited.append, tries=3).post("rerank", BODY)
    assert len(waited) == 2


def test_retry_after_is_waited_for_in_seconds_and_as_a_date(server: Service) -> None:
    clock = Clock()
    client = JsonClient(server.url, sleep=clock.sleep, pace=Pace(clock=clock))
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.faults = [
        Reply.of({}, 429, Retry_After="17"),
        Reply.of({}, 503, Retry_After=later),
        Reply.of({}, 429, Retry_After="86400"),
        Reply.of({}, 429, Retry_After="soon"),
    ]
    client.post("rerank", BODY)
    seconds, date, capped, none = clock.slept
    assert seconds == 17
    assert 50 < date <= 60
    assert capped == LONGEST_WAIT
    assert 4 <= none <= 8


def test_a_pause_that_one_call_is_asked_for_holds_the_others_too(server: Service) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    first = JsonClient(server.url, sleep=lambda seconds: None, pace=pace)
    second = JsonClient(server.url, sleep=clock.sleep, pace=pace)
    server.faults = [Reply.of({}, 429, Retry_After="30")]
    first.post("rerank", BODY)
    second.post("rerank", BODY)
    assert clock.slept == [30]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0.5", 0.5),
        ("-3", 0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59),
        ("Fri, 31 Dec 1999 23:58:00 GMT", 0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("soon", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_header(header: str | None, seconds: float | None) -> None:
    now = datetime(1999, 12, 31, 23, 59, 0, tzinfo=UTC)
    assert retry_after(header, now) == seconds


# ---- final --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_final(
    server: Service, client: JsonClient, waited: list[float], status: int
) -> None:
    server.faults = [Reply.of({"error": {"message": "no\n\x1b[31m such thing", "code": 1}}, status)]
    with pytest.raises(RefusedError, match=f"status {status}: no \\[31m such thing") as caught:
        client.post("rerank", BODY)
    assert (caught.value.status, waited, len(server.seen)) == (status, [], 1)


def test_a_long_message_is_cut(server: Service, client: JsonClient) -> None:
    server.faults = [Reply.of({"detail": [{"msg": "x" * 10_000}]}, 422)]
    with pytest.raises(RefusedError) as caught:
        client.post("rerank", BODY)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_the_other_host_sees_nothing(
    server: Service, client: JsonClient, status: int
) -> None:
    with running("jina") as other:
        target = other.url.replace("127.0.0.1", "localhost")
        server.faults = [Reply(b"", status, {"Location": f"{target}/rerank?k={quote(KEY)}"})]
        with pytest.raises(UsageError, match="redirects to localhost") as caught:
            client.post("rerank", BODY)
        assert other.seen == []
    assert_without_key(caught.value)


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("mailto:x@y", "no host that can be read"),
        ("//xn--a.com/", "no host that can be read"),
        ("http://a\x7fb.com/", "no host that can be read"),
        ("http://[::1", "no host that can be read"),
        ("http://me:pass@other.org/?token=pass", "other.org"),
    ],
)
def test_a_hostile_redirect_is_an_error_as_any_other(
    server: Service, client: JsonClient, location: str, to: str
) -> None:
    server.faults = [Reply(b"", 307, {"Location": location})]
    with pytest.raises(UsageError, match=f"redirects to {to} ") as caught:
        client.post("rerank", BODY)
    assert "pass" not in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999"},
        {"Retry-After": "9" * 400},
        {"Content-Type": "\xff\xfe; charset=\xff"},
    ],
    ids=str,
)
def test_a_hostile_header_ends_in_an_error(
    server: Service, client: JsonClient, header: dict[str, str]
) -> None:
    server.faults = [Reply(b"{}", 503, header, kind=None)] * 5
    with pytest.raises(UnavailableError, match="status 503"):
        client.post("rerank", BODY)


@pytest.mark.parametrize(
    "host",
    [
        "api..example.org",
        ".example.org",
        f"{'a' * 64}.org",
        f"{'a.' * 130}org",
        "ho\u200bst.com",
        "a\x7fb.com",
        "a b.com",
        "a%2eb.com",
        "[::1",
        "[::g]",
    ],
)
def test_a_mistyped_host_is_no_endpoint(host: str) -> None:
    with pytest.raises(UsageError, match="not an http or https URL"):
        parse_endpoint(f"https://{host}/v1")


@pytest.mark.parametrize("host", ["xn--a.com", "xn--.com", "\u2603\uff0f.com", "a\u00ad\u0301.org"])
def test_an_international_name_that_is_none_is_refused_before_a_call(host: str) -> None:
    with pytest.raises(UsageError, match=r"not one that can be called|not an http or https URL"):
        JsonClient(f"https://{host}/v1")
    JsonClient("https://b\u00fccher.example/v1")


def test_a_url_of_another_host_is_not_called(server: Service, client: JsonClient) -> None:
    with running("jina") as other, pytest.raises(UsageError, match="not of the endpoint's host"):
        client.post(f"{other.url}/rerank", BODY)
    assert other.seen == server.seen == []
    client.post(f"{server.url}/v2/rerank", BODY)
    assert server.seen[0].path == "/v2/rerank"


# ---- the key ------------------------------------------------------------------------------------


def assert_without_key(error: BaseException) -> None:
    """No run of six characters of the key is in what a person or a log can see of an error."""
    printed = "".join(traceback.format_exception(error))
    chain: list[BaseException] = []
    found: BaseException | None = error
    while found is not None:
        chain.append(found)
        found = found.__cause__ or found.__context__
    texts = [printed, *(f"{e!s} {e!r} {vars(e)}" for e in chain)]
    spelt = ["".join(c for c in text if c.isprintable() and c != " ") for text in texts]
    for text in (*texts, *spelt):
        for start in range(len(KEY) - 5):
            assert KEY[start : start + 6].lower() not in text.lower()


ECHOES = {
    "plain": KEY,
    "url-encoded": quote(KEY, safe=""),
    "in part": f"{KEY[:9]}...{KEY[-8:]}",
    "in capitals": KEY.upper(),
    "in JSON in JSON": json.dumps({"authorization": f"Bearer {KEY}"}),
    "at the cut": "x" * 290 + KEY,
    "with spaces": " ".join(KEY),
    "in lines": "\r\n".join(KEY[i : i + 4] for i in range(0, len(KEY), 4)),
    "as UTF-16": KEY.encode("utf-16-le").decode("latin-1"),
}


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_a_key_that_the_server_echoes_is_in_no_error(
    server: Service, client: JsonClient, echo: str, status: int
) -> None:
    text = f"Incorrect API key provided: {echo}"
    kind = "text/plain" if status == 200 else "application/json"
    server.faults = [Reply(json.dumps({"error": text}).encode(), status, kind=kind)] * 5
    with pytest.raises(Jrv3EvalError) as caught:
        client.post("rerank", BODY)
    assert "Incorrect API key provided" in str(caught.value)
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert_without_key(caught.value)
    assert KEY not in repr(client)
    assert KEY not in str(vars(client))


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40))
def test_redacting_leaves_other_words(key: str) -> None:
    shown = redact(f"<< {key} >>", key)
    assert shown == "<< [key] >>" or key in "<< [key] >>" or len(key) < 6
    assert redact("é" * 20, key) == "é" * 20
    assert redact("a b", None) == "a b"


def test_a_key_in_an_answers_fields_is_in_no_error(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.change = lambda answer, seen: {KEY: "?"}
    values = {"endpoint": server.url, "key_env": "MY_KEY"}
    with pytest.raises(ScoreError, match=r"but the fields \[key\]") as caught:
        family.open("jina/m", parse_settings(family, values)).score([_request()])
    assert_without_key(caught.value)


def test_the_services_key_goes_to_the_service_only(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JINA_API_KEY", KEY)
    monkeypatch.setenv("MY_KEY", f"  {KEY[::-1]}\n")
    given = {"endpoint": server.url}
    requests = [_request()]
    family.open("jina/m", parse_settings(family, given)).score(requests)
    assert "authorization" not in server.seen[0].headers
    named = given | {"key_env": "MY_KEY"}
    family.open("jina/m", parse_settings(family, named)).score(requests)
    assert server.seen[1].headers["authorization"] == f"Bearer {KEY[::-1]}"


def _request() -> RankingRequest:
    return RankingRequest("q", "query", ("a", "b"))


@pytest.mark.parametrize(
    ("target", "variables"),
    [
        ("jina/m", "JINA_API_KEY"),
        ("cohere/m", "CO_API_KEY or COHERE_API_KEY"),
        ("voyage/m", "VOYAGE_API_KEY"),
    ],
)
def test_a_hosted_service_needs_a_key_when_it_is_asked(
    target: str, variables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in variables.split(" or "):
        monkeypatch.delenv(variable, raising=False)
    reranker = family.open(target, parse_settings(family, {}))  # what is cached needs none
    with pytest.raises(UsageError, match=f"{variables} is not set"):
        reranker.load()  # type: ignore[attr-defined]
    named = family.open(target, parse_settings(family, {"key_env": "MY_OTHER_KEY"}))
    with pytest.raises(UsageError, match="MY_OTHER_KEY is not set"):
        named.load()  # type: ignore[attr-defined]
    monkeypatch.setenv(variables.split(" or ")[-1], "bad key")
    with pytest.raises(UsageError, match="characters that no key has") as caught:
        reranker.load()  # type: ignore[attr-defined]
    assert "bad key" not in str(caught.value)
    monkeypatch.setenv(variables.split(" or ")[-1], KEY)
    reranker.load()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://api.example.org", True),
        ("http://api.example.org", False),
        ("http://8.8.8.8:80", False),
        ("http://[2001:4860:4860::8888]", False),
        ("http://localhost:8080", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8080", True),
        ("http://10.1.2.3", True),
        ("http://192.168.0.9", True),
        ("http://tei:80", True),
        ("http://gpu.internal", True),
        ("http://134744072", False),  # 8.8.8.8
        ("http://0x08080808:80", False),
        ("http://8.525320", False),
        ("http://0x8.0x8.010.8", False),
        ("http://99999999999", False),
        ("http://2130706433", True),  # 127.0.0.1
        ("http://[::ffff:8.8.8.8]", False),
        ("http://[::ffff:10.0.0.1]", True),
        ("http://evil\u3002com", False),  # a full stop to the resolver
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_a_key_crosses_no_public_network_unencrypted(url: str, safe: bool) -> None:
    if safe:
        JsonClient(url, key=KEY)
    else:
        with pytest.raises(UsageError, match="without encryption") as caught:
            JsonClient(url, key=KEY)
        assert KEY not in str(caught.value)
    JsonClient(url)


@pytest.mark.parametrize(
    ("url", "path", "joined"),
    [
        ("http://h", "rerank", "http://h/rerank"),
        ("http://h/v1/", "rerank", "http://h/v1/rerank"),
        ("http://h/v1/rerank", "rerank", "http://h/v1/rerank"),
        ("http://h/v1", "/chat/completions", "http://h/v1/chat/completions"),
        ("http://rerank", "rerank", "http://rerank/rerank"),
        ("http://rerank/rerank", "rerank", "http://rerank/rerank"),
        ("http://h/prererank", "rerank", "http://h/prererank/rerank"),
    ],
)
def test_paths_below_an_endpoint(url: str, path: str, joined: str) -> None:
    assert parse_endpoint(url).join(path) == joined


def test_netrc_and_proxies_do_not_meddle_with_a_plain_endpoint(
    server: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    JsonClient(server.url).post("rerank", BODY)
    assert "authorization" not in server.seen[0].headers


def test_a_proxy_that_cannot_be_used_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@proxy:1")
    with pytest.raises(UsageError, match="proxy or certificate settings") as caught:
        JsonClient("https://api.example.org")
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"jrv3-eval\[http\]"):
        JsonClient("http://localhost")


def test_opening_imports_neither_httpx_nor_torch() -> None:
    code = (
        "import sys\n"
        "from jrv3_eval.rerankers.services.family import family\n"
        "family.open('jina/m', family.settings())\n"
        "print(sorted({'httpx', 'torch', 'transformers'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lone_surrogates_are_sent_as_question_marks(server: Service, client: JsonClient) -> None:
    client.post("rerank", BODY | {"query": "a\ud800b"})
    assert server.seen[0].body["query"] == "a?b"


# ---- pace and threads ---------------------------------------------------------------------------


def test_calls_keep_within_requests_and_tokens_a_minute() -> None:
    clock = Clock()
    pace = Pace(requests_per_minute=60, clock=clock)
    assert [pace.reserve() for _ in range(4)] == [0, 1, 2, 3]
    pace = Pace(tokens_per_minute=600, clock=clock)
    assert [pace.reserve(100), pace.reserve(50), pace.reserve(1)] == [0, 10, 15]
    pace.correct(1, 101)  # it took more than was thought
    assert pace.reserve() == pytest.approx(15 + 10.1)
    pace = Pace(clock=clock)
    pace.hold(30)
    assert pace.reserve() == 30
    clock.sleep(31)
    assert pace.reserve() == 0


def test_a_pause_holds_those_who_wait_for_a_later_slot_too(server: Service) -> None:
    """60 calls a minute: the third slot is in two seconds, when a pause of 30 has begun."""
    clock = Clock()
    pace = Pace(requests_per_minute=60, clock=clock)

    def sleep(seconds: float) -> None:
        if not clock.slept:
            pace.hold(30)
        clock.sleep(seconds)

    client = JsonClient(server.url, pace=pace, sleep=sleep)
    assert [pace.reserve(), pace.reserve()] == [0, 1]
    client.post("rerank", BODY)
    assert clock.slept == [2, 28]
    client.post("rerank", BODY)
    assert clock.slept == [2, 28, 1]  # and the pace is kept afterwards


@given(st.integers(1, 50), st.integers(1, 500))
def test_no_minute_holds_more_calls_than_allowed(calls: int, limit: int) -> None:
    clock = Clock()
    pace = Pace(requests_per_minute=limit, clock=clock)
    starts = [clock.now + pace.reserve() for _ in range(calls)]
    for start in starts:
        within = sum(start <= other < start + 60 - 1e-6 for other in starts)
        assert within <= limit


def test_the_client_waits_for_its_pace(server: Service) -> None:
    clock = Clock()
    pace = Pace(requests_per_minute=6, clock=clock)
    client = JsonClient(server.url, pace=pace, sleep=clock.sleep)
    for _ in range(3):
        client.post("rerank", BODY)
    assert clock.now == pytest.approx(120)


def test_backoff_doubles_up_to_a_minute() -> None:
    for attempt in range(12):
        longest = min(2.0**attempt, 60)
        assert longest / 2 <= backoff(attempt) <= longest


def test_a_stopped_call_ends_its_wait(server: Service) -> None:
    server.faults = [Reply.of({}, 429, Retry_After="100")]
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        JsonClient(server.url).post("rerank", BODY, stop=stop)
    assert time.monotonic() - began < 5


def test_a_call_within_a_time() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(UsageError, match="two"):
        within(5, lambda: _raise(UsageError("two")))
    never = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, never.wait)
    never.set()


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("concurrency", [1, 3])
def test_in_parallel_keeps_order_and_raises_what_a_call_raises(concurrency: int) -> None:
    assert in_parallel(lambda i, stop: i * i, 20, concurrency) == [i * i for i in range(20)]
    assert in_parallel(lambda i, stop: i, 0, concurrency) == []

    def fail(i: int, stop: threading.Event) -> int:
        if i == 2:
            raise UsageError("two")
        return i

    with pytest.raises(UsageError, match="two"):
        in_parallel(fail, 20, concurrency)


def test_ctrl_c_ends_a_program_that_waits_for_a_service() -> None:
    code = (
        "from jrv3_eval.rerankers.services.calls import in_parallel\n"
        "import time\n"
        "def slow(i, stop):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "in_parallel(slow, 4, 2)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    program.send_signal(signal.SIGINT)
    _, printed = program.communicate(timeout=20)
    assert "KeyboardInterrupt" in printed
    assert program.returncode != 0
