"""Rerank services: every schema gives the right scores in the right places, or an error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrv3_eval.errors import ScoreError, UnavailableError, UsageError
from jrv3_eval.rerankers import RankingRequest, Reranker, Usage, open_reranker
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.registry import parse_settings
from jrv3_eval.rerankers.services.family import family
from jrv3_eval.rerankers.services.options import read_options
from jrv3_eval.rerankers.services.reranker import ServiceReranker
from jrv3_eval.rerankers.services.schemas import read_scores
from jrv3_eval.rerankers.services.settings import RESERVED
from services import (
    FIELDS,
    Reply,
    Seen,
    Service,
    infinity,
    pair_score,
    running,
    write_served_cross_encoder,
)

NAMES = sorted(FIELDS)
QUERY = "longest river"
DOCUMENTS = ("the nile flows north", "a banana is a fruit", "the amazon", "max of keys")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service on the loopback interface; jina's schema unless a test asks for another."""
    with running(getattr(request, "param", "jina")) as service:
        yield service


def over(*names: str) -> Callable[[Any], Any]:
    """Run the test against these services."""
    return pytest.mark.parametrize("server", names, indirect=True)  # type: ignore[return-value]


def open_(server: Service, **values: object) -> ServiceReranker:
    """Our reranker for a running server, with waits of milliseconds."""
    given = {"endpoint": server.url, "retry_wait": "0.001", "timeout": "5"}
    chosen = given | {name: str(value) for name, value in values.items()}
    target = f"{server.schema}/org/model" if server.schema != "tei" else "tei"
    opened = family.open(target, parse_settings(family, chosen))
    assert isinstance(opened, ServiceReranker)
    return opened


def ask(*documents: str, qid: str = "q1", query: str = QUERY) -> RankingRequest:
    return RankingRequest(qid, query, documents)


def truth(request: RankingRequest) -> np.ndarray[Any, Any]:
    return np.float32([pair_score(request.query, d) for d in request.documents])


# TEI takes 32 texts a call, fewer than the contract's lists have: it is never listwise.
CONTRACTS = [(name, way) for name in NAMES for way in ("true", "false") if name != "tei"]


@pytest.mark.parametrize(
    ("server", "listwise"), [*CONTRACTS, ("tei", "false")], indirect=["server"]
)
def test_contract(server: Service, listwise: str) -> None:
    def make(**values: object) -> Reranker:
        return open_(server, listwise=listwise, **values)

    variants: list[Callable[[], Reranker]] = [lambda: make(concurrency=1)]
    if listwise == "false":
        variants.append(lambda: make(batch_limit=2))
    check_reranker(make, pointwise=listwise == "false", variants=variants)


@over(*NAMES)
def test_scores_are_the_services_own_in_the_order_of_the_documents(server: Service) -> None:
    requests = [ask(*DOCUMENTS, qid="a"), ask(*DOCUMENTS[::-1], qid="b", query="rivers")]
    for request, scores in zip(requests, open_(server).score(requests), strict=True):
        np.testing.assert_array_equal(scores, truth(request))
        assert scores.dtype == np.float32


EXPECTED = {
    "jina": {"model": "org/model", "top_n": 2, "return_documents": False},
    "cohere": {"model": "org/model", "top_n": 2, "max_tokens_per_doc": 4096},
    "voyage": {"model": "org/model", "top_k": 2, "return_documents": False, "truncation": True},
    "tei": {
        "truncate": True,
        "truncation_direction": "right",
        "raw_scores": True,
        "return_text": False,
    },
    "vllm": {
        "model": "org/model",
        "top_n": 2,
        "use_activation": False,
        "truncate_prompt_tokens": -1,
    },
    "infinity": {"model": "org/model", "top_n": 2, "raw_scores": True, "return_documents": False},
}


@over(*NAMES)
def test_the_call_is_exactly_this(server: Service) -> None:
    open_(server).score([ask("one", "two")])
    [seen] = server.seen
    texts = {"texts" if server.schema == "tei" else "documents": ["one", "two"]}
    assert seen.body == EXPECTED[server.schema] | {"query": QUERY} | texts
    assert seen.path == "/rerank"
    assert "authorization" not in seen.headers


@over("vllm")
def test_options_and_instruction_are_sent_as_given(server: Service) -> None:
    options = '{"truncate_prompt_tokens": 512}'
    open_(server, instruction="rank", options=options, truncation="false").score([ask("one")])
    body = server.seen[0].body
    assert body["instruction"] == "rank"
    assert body["truncate_prompt_tokens"] == 512


@over("vllm")
def test_without_truncation_vllm_is_left_to_refuse_long_texts(server: Service) -> None:
    open_(server, truncation="false").score([ask("one")])
    assert "truncate_prompt_tokens" not in server.seen[0].body


@over("jina", "cohere", "voyage")
def test_a_service_that_refuses_empty_texts_is_sent_a_space(server: Service) -> None:
    (scores,) = open_(server).score([ask("", "two", query="")])
    assert scores.tolist() == pytest.approx([pair_score(" ", " "), pair_score(" ", "two")])


@over("vllm", "tei", "infinity")
def test_other_services_are_sent_empty_texts_as_they_are(server: Service) -> None:
    (scores,) = open_(server).score([ask("", "two")])
    assert scores.tolist() == pytest.approx([pair_score(QUERY, ""), pair_score(QUERY, "two")])


def test_an_empty_list_takes_no_call(server: Service) -> None:
    assert [len(s) for s in open_(server).score([ask(), ask()])] == [0, 0]
    assert server.seen == []


def test_a_listwise_call_holds_the_list_as_it_is_repeats_and_all(server: Service) -> None:
    open_(server).score([ask("b", "a", "b")])
    assert server.seen[0].body["documents"] == ["b", "a", "b"]


def test_a_pointwise_list_is_split_and_each_distinct_document_asked_once(server: Service) -> None:
    asked = ask("b", "a", "b", "c", "a")
    reranker = open_(server, listwise="false", batch_limit=2, concurrency=1)
    np.testing.assert_array_equal(reranker.score([asked])[0], truth(asked))
    assert [seen.body["documents"] for seen in server.seen] == [["b", "a"], ["c"]]
    assert reranker.usage([asked])[0].calls == 2


def test_a_list_that_is_too_long_for_one_call_is_not_split_silently(server: Service) -> None:
    asked = ask(*map(str, range(2049)))
    with pytest.raises(UsageError, match="2049 candidates are more than the 2048") as caught:
        open_(server).score([asked])
    assert "'q1'" in str(caught.value)
    assert "listwise=false" in str(caught.value)
    assert server.seen == []
    assert len(open_(server, listwise="false").score([asked])[0]) == 2049
    assert len(server.seen) == 3


@over("tei")
def test_what_the_server_finds_too_large_is_an_error_with_a_way_out(server: Service) -> None:
    asked = ask(*map(str, range(40)))
    with pytest.raises(UsageError, match="batch size 40 > maximum") as caught:
        open_(server, listwise="true").score([asked])
    assert "listwise=false" in str(caught.value)
    with pytest.raises(UsageError, match="set batch_limit below 40"):
        open_(server, batch_limit=100).score([asked])
    np.testing.assert_array_equal(open_(server).score([asked])[0], truth(asked))


# ---- answers ------------------------------------------------------------------------------------


def results_of(answer: Any) -> list[dict[str, Any]]:
    found = answer if isinstance(answer, list) else answer.get("results", answer.get("data"))
    assert isinstance(found, list)
    return found


@over(*NAMES)
def test_every_document_must_have_one_result(server: Service) -> None:
    def drop(answer: Any, seen: Seen) -> Any:
        results = results_of(answer)
        results[:] = [r for r in results if r["index"] != 2]
        return answer

    server.change = drop
    with pytest.raises(ScoreError, match=r"3 results for 4 documents, with no score for 2\.") as e:
        open_(server).score([ask(*DOCUMENTS, qid="the query")])
    assert "query 'the query'" in str(e.value)
    assert server.url in str(e.value)

    def repeat(answer: Any, seen: Seen) -> Any:
        for result in results_of(answer):
            result["index"] = {3: 0}.get(result["index"], result["index"])
        return answer

    server.change = repeat
    with pytest.raises(ScoreError, match="no score for 3 and several scores for 0"):
        open_(server).score([ask(*DOCUMENTS)])


@pytest.mark.parametrize(
    ("score", "says"),
    [
        ("0.5", "a string, not a number"),
        (None, "null or absent, not a number"),
        (True, "a boolean, not a number"),
        ([0.5], "a list, not a number"),
        (float("nan"), "not a finite float32"),
        (float("inf"), "not a finite float32"),
        (1e39, "not a finite float32"),
        (10**400, "not a finite float32"),
    ],
    ids=["string", "null", "boolean", "list", "nan", "inf", "1e39", "10**400"],
)
@over("jina", "tei")
def test_a_score_must_be_a_number(server: Service, score: object, says: str) -> None:
    def spoil(answer: Any, seen: Seen) -> Any:
        for result in results_of(answer):
            if result["index"] == 1:
                result["relevance_score" if "relevance_score" in result else "score"] = score
        return answer

    server.change = spoil
    with pytest.raises(ScoreError, match=f"document 1 is {says}"):
        open_(server).score([ask(*DOCUMENTS)])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"scores": [1]}, "no list of results but the fields scores"),
        ({"results": {"0": 1.0}}, "no list of results"),
        ("fine", "no list of results but a string"),
        ([0.5], "A result of the service is a number, not an object"),
        ([{"index": "0", "score": 1.0}], "index is a string"),
        ([{"score": 1.0}], "index is null or absent"),
        ([{"index": True, "score": 1.0}], "index is a boolean"),
        ([{"index": 1, "score": 1.0}], "index 1, but there are 1 documents"),
        ([{"index": -1, "score": 1.0}], "index -1, but there are 1 documents"),
        ([], "0 results for 1 documents, with no score for 0"),
    ],
    ids=lambda v: "" if isinstance(v, str) else json.dumps(v),
)
def test_an_answer_of_another_shape_is_refused(answer: object, says: str) -> None:
    with pytest.raises(ScoreError, match=says):
        read_scores(answer, 1, "here")


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20).flatmap(
        lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))
    ),
    st.sampled_from(["relevance_score", "score"]),
    st.sampled_from(["results", "data", None]),
    st.sampled_from([None, "text", {"text": "text"}]),
)
@settings(max_examples=50, deadline=None)
def test_any_order_and_spelling_gives_the_same_scores(
    case: tuple[list[float], list[int]], name: str, inside: str | None, document: object
) -> None:
    scores, order = case
    results = [{"index": i, name: scores[i], "document": document} for i in order]
    answer: Any = {inside: results, "usage": {}} if inside else results
    np.testing.assert_array_equal(read_scores(answer, len(scores), ""), np.float32(scores))


@over("infinity")
def test_a_model_that_was_not_asked_for_is_refused(server: Service) -> None:
    server.change = lambda answer, seen: answer | {"model": "another/model"}
    with pytest.raises(UsageError, match="answered with 'another/model'"):
        open_(server).score([ask("x")])


# ---- what it took -------------------------------------------------------------------------------


@over(*NAMES)
def test_usage_is_what_the_service_says(server: Service) -> None:
    requests = [ask(*DOCUMENTS[:2]), ask(), ask("x", query="y")]
    reranker = open_(server)
    reranker.score(requests)
    first, none, last = reranker.usage(requests)
    said = sum(len(QUERY) + len(d) + 3 for d in DOCUMENTS[:2])
    assert first.tokens == (None if server.schema == "cohere" else said)
    assert last.tokens == (None if server.schema == "cohere" else 5)
    assert (first.calls, none.calls, last.calls) == (1, 0, 1)
    assert first.billed == (1.0 if server.schema == "cohere" else None)
    assert none == Usage(0, None, None, calls=0)


@pytest.mark.parametrize(
    "count", [10**30, 10**400, 2**53, -1, True, 1.5, "7", None], ids=lambda v: repr(v)[:20]
)
@over("jina")
def test_an_absurd_count_of_tokens_is_not_known(server: Service, count: object) -> None:
    server.change = lambda answer, seen: answer | {"usage": {"total_tokens": count}}
    reranker = open_(server, tokens_per_minute=1_000_000)
    reranker.score([ask("x")])
    assert reranker.usage([ask("x")])[0].tokens is None


@pytest.mark.parametrize("units", [10**400, 1e300, -1, True, "1", None], ids=lambda v: repr(v)[:20])
@over("cohere")
def test_an_absurd_number_of_units_is_not_known(server: Service, units: object) -> None:
    server.change = lambda answer, seen: (
        answer | {"meta": {"billed_units": {"search_units": units}}}
    )
    reranker = open_(server)
    reranker.score([ask("x")])
    assert reranker.usage([ask("x")])[0].billed is None


def test_a_sum_of_tokens_fits_into_a_store(server: Service) -> None:
    server.change = lambda answer, seen: answer | {"usage": {"total_tokens": 2**53 - 1}}
    asked = ask("x", "y")
    reranker = open_(server, listwise="false", batch_limit=1)
    reranker.score([asked])
    assert reranker.usage([asked])[0].tokens is None


def test_an_absurd_count_stops_no_later_call(server: Service) -> None:
    """With a limit of a million a minute, 2**53 tokens would take 17,000 years."""
    server.change = lambda answer, seen: answer | {"usage": {"total_tokens": 2**53 - 1}}
    reranker = open_(server, tokens_per_minute=1_000_000)
    reranker.score([ask("x")])
    reranker.score([ask("y")])
    assert len(server.seen) == 2


@over("cohere")
def test_billed_units_of_all_calls_are_added(server: Service) -> None:
    asked = ask(*map(str, range(250)))
    reranker = open_(server, listwise="false", batch_limit=100)
    reranker.score([asked])
    assert reranker.usage([asked])[0] == Usage(None, None, None, calls=3, billed=3.0)


# ---- several at once ----------------------------------------------------------------------------


def test_calls_run_at_once_and_results_stay_in_place(server: Service) -> None:
    server.pause = 0.02
    requests = [ask(*DOCUMENTS, qid=f"q{i}", query=f"query {i}") for i in range(12)]
    scores = open_(server, concurrency=4).score(requests)
    assert 2 <= server.most_at_once <= 4
    for request, found in zip(requests, scores, strict=True):
        np.testing.assert_array_equal(found, truth(request))


def test_one_failure_ends_the_work(server: Service) -> None:
    server.pause = 0.01
    server.faults = [Reply.of({"detail": "no such model"}, 404)]
    requests = [ask("x", qid=f"q{i}") for i in range(200)]
    with pytest.raises(UsageError, match="no such model"):
        open_(server, concurrency=2).score(requests)
    assert len(server.seen) < 20


def test_one_failing_query_is_named(server: Service) -> None:
    server.change = lambda answer, seen: {} if seen.body["query"] == "bad" else answer
    requests = [ask("x", qid=f"q{i}", query="bad" if i == 5 else "good") for i in range(8)]
    with pytest.raises(ScoreError, match="query 'q5'"):
        open_(server).score(requests)


# ---- specs, settings, identity ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "values", "says"),
    [
        ("//localhost:8080", {}, "--set endpoint=http://localhost:8080"),
        ("jinna/jina-reranker-v3", {}, "did you mean 'jina'"),
        ("jina", {}, "http:jina/MODEL"),
        ("cohere/", {}, "http:cohere/MODEL"),
        ("tei", {}, "--set endpoint=URL"),
        ("vllm/org/name", {}, "--set endpoint=URL"),
        ("tei", {"endpoint": "localhost:8080"}, "not an http or https URL"),
        ("tei", {"endpoint": "ftp://host"}, "not an http or https URL"),
        ("tei", {"endpoint": "http://host:port"}, "not an http or https URL"),
        ("tei", {"endpoint": "http://a b"}, "not an http or https URL"),
        ("tei", {"endpoint": "http://host/?token=secret"}, "a user name, a query or a fragment"),
        ("tei", {"endpoint": "http://me:secret@host"}, "a user name, a query or a fragment"),
        ("jina/m", {"instruction": "x"}, "Jina does not take the setting 'instruction'"),
        ("voyage/m", {"max_tokens_per_doc": "9"}, "does not take the setting 'max_tokens_per_doc'"),
        ("jina/m", {"truncation": "false"}, "does not take the setting 'truncation'"),
        ("jina/m", {"dtype": "bfloat16"}, "does not take the setting 'dtype'"),
        ("voyage/m", {"batch_limit": "1001"}, "more than the 1000 documents"),
        ("jina/m", {"options": "[1]"}, "it is no JSON object"),
        ("jina/m", {"options": "{"}, "it is no JSON"),
        ("jina/m", {"options": '{"a": NaN}'}, "it is no JSON"),
        ("jina/m", {"options": '{"top_n": 3}'}, "it may not set top_n"),
        ("jina/m", {"options": '{"a": 1e999}'}, "it is no JSON"),
        ("jina/m", {"options": "[" * 100_000}, "it is no JSON"),
        ("jina/m", {"options": '{"api_key": "secret"'}, "it is no JSON"),
        ("jina/m", {"options": '{"X-API-Key": "secret"}'}, "it may not set X-API-Key"),
        ("jina/m", {"options": '{"a": [{"Token": "secret"}]}'}, "--set key_env=MY_KEY"),
        ("jina/m", {"key_env": "sk-live-secret"}, "key_env is no name of an environment variable"),
        ("jina/m", {"key_env": "two words"}, "--set key_env=MY_KEY"),
        ("tei", {"endpoint": "sk-live-secret"}, "not an http or https URL"),
        ("tei", {"endpoint": "ftp://h/v1?key=secret"}, "ftp://h/v1\n"),
        ("tei", {"endpoint": "ftp://me:secret@h/v1"}, "ftp://h/v1\n"),
        ("tei", {"endpoint": "http://me:p/secret@host"}, "not an http or https URL"),
        ("tei", {"endpoint": "http://me:p?secret@host"}, "not an http or https URL"),
        ("//me:secret@h:8080/v1?key=secret", {}, "--set endpoint=http://h:8080/v1,"),
    ],
    ids=lambda v: (v if isinstance(v, str) else json.dumps(v))[:60],
)
def test_a_wrong_spec_or_setting_has_a_way_out(
    target: str, values: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        family.open(target, parse_settings(family, values))
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["skliveSecret0123456789", "gsk_secret", "A" * 40])
def test_a_key_in_the_place_of_its_variables_name_is_not_shown(server: Service, name: str) -> None:
    """It could be a name, so it is looked for, and nothing is asked without a key."""
    with pytest.raises(UsageError, match="the variable that key_env names is not set") as caught:
        open_(server, key_env=name).score([ask("x")])
    assert name not in str(caught.value)
    assert server.seen == []


def test_options_that_only_look_like_secrets_are_sent(server: Service) -> None:
    options = read_options(
        '{"max_tokens": 9, "sort_key": "a", "tokens": {"pad_token": 0}}', RESERVED
    )
    assert json.loads(options) == {"max_tokens": 9, "sort_key": "a", "tokens": {"pad_token": 0}}


def identity(target: str = "jina/m", **values: str) -> str:
    return family.open(target, parse_settings(family, values)).info.fingerprint


def test_what_can_change_a_score_changes_the_fingerprint_and_nothing_else_does() -> None:
    base = identity()
    for values in (
        {"concurrency": "1"},
        {"requests_per_minute": "9"},
        {"tokens_per_minute": "9"},
        {"timeout": "9"},
        {"tries": "1"},
        {"retry_wait": "9"},
        {"key_env": "MY_KEY"},
        {"device": "cpu"},
        {"options": " { } "},
        {"listwise": "true"},
    ):
        assert identity(**values) == base, values
    others = [
        identity("jina/n"),
        identity("voyage/m"),
        identity(endpoint="https://example.org/v1"),
        identity(epoch="2"),
        identity(listwise="false"),
        identity(options='{"a": 1, "b": 2}'),
    ]
    assert len({base, *others}) == len(others) + 1
    assert identity(options='{"b":2,"a":1}') == identity(options='{"a": 1, "b": 2}')
    assert identity("cohere/m") == identity("cohere/m", max_tokens_per_doc="4096")


def test_a_service_is_not_pinned() -> None:
    info = family.open("vllm/org/name", parse_settings(family, {"endpoint": "http://h/"})).info
    assert (info.name, info.pinned, info.revision, info.listwise) == (
        "vllm/org/name",
        False,
        None,
        True,
    )
    assert info.settings["endpoint"] == "http://h"
    assert not family.open("tei", parse_settings(family, {"endpoint": "http://h"})).info.listwise
    assert not family.recognises({"architectures": ["BertForSequenceClassification"]}, frozenset())


def test_offline_forbids_calls_except_to_this_machine(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    open_(server).score([ask("x")])
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE forbids"):
        open_(server, endpoint="http://service.internal").score([ask("x")])


INFINITY = "JRV3_EVAL_INFINITY"


@pytest.mark.slow
def test_a_real_infinity_server_scores_as_our_cross_encoder(tmp_path: Path) -> None:
    executable = os.environ.get(INFINITY)
    if not executable:
        pytest.skip(f"a real server: set {INFINITY} to the executable infinity_emb")
    folder = write_served_cross_encoder(tmp_path / "model")
    asked = [ask(*DOCUMENTS, "", "the nile " * 200), ask(*map(str, range(150)), qid="split")]
    with infinity(executable, folder) as url:
        served = family.open("infinity/served", parse_settings(family, {"endpoint": url}))
        check_reranker(lambda: served, pointwise=True)
        theirs = served.score(asked)
        other = family.open("infinity/another", parse_settings(family, {"endpoint": url}))
        with pytest.raises(UsageError, match="answered with 'served'"):
            other.score(asked)
    ours = open_reranker(f"cross-encoder:{folder}", {"device": "cpu"}).score(asked)
    for left, right in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)
