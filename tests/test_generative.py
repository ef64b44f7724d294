"""Asking a chat model for an order: windows, sorts, answers, prompts; without a model."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jrv3_eval.errors import MissingExtraError, UsageError
from jrv3_eval.rerankers.generative.family import family
from jrv3_eval.rerankers.generative.fitting import cut_words, fit, prepare
from jrv3_eval.rerankers.generative.pairwise import all_pairs
from jrv3_eval.rerankers.generative.parsing import Reply, read_choice, read_order
from jrv3_eval.rerankers.generative.prompts import Message, prompt_for, shipped_prompts
from jrv3_eval.rerankers.generative.reranker import GenerativeReranker
from jrv3_eval.rerankers.generative.settings import GenerativeSettings
from jrv3_eval.rerankers.generative.sorting import Asking, Order, Shown
from jrv3_eval.rerankers.generative.window import sliding_windows, windows
from jrv3_eval.rerankers.protocol import RankingRequest, RerankerInfo
from jrv3_eval.rerankers.registry import parse_settings
from models_generative import Scripted, perfect

unhurried = hypothesis_settings(deadline=None, max_examples=60)
permutations = st.integers(1, 60).flatmap(lambda n: st.permutations(range(n)))


def ask(*documents: str, query: str = "longest river", qid: str = "q") -> RankingRequest:
    return RankingRequest(qid, query, documents)


def graded(grades: Sequence[int], qid: str = "q") -> RankingRequest:
    return ask(*(f"grade={g}" for g in grades), qid=qid)


def scripted(
    say: Callable[[Sequence[Message]], str] = perfect, context: int = 100_000, **settings: str
) -> tuple[GenerativeReranker, Scripted]:
    """The reranker of some settings, over a chat that is a function."""
    chosen = GenerativeSettings.model_validate(settings)
    chat = Scripted(say, context)
    info = RerankerInfo("scripted", "generative", True, None, "w")
    return GenerativeReranker(chat, prompt_for(chosen.prompt, chosen.method), chosen, info), chat


def run(asking: Asking[list[int]], answer: Callable[[Shown], Order]) -> list[int]:
    """A sort, with its questions answered."""
    replies = None
    try:
        while True:
            shown = next(asking) if replies is None else asking.send(replies)
            replies = [answer(s) for s in shown]
    except StopIteration as end:
        order: list[int] = end.value
        return order


def by(grades: Sequence[int]) -> Callable[[Shown], Order]:
    """What is shown, in its true order."""
    return lambda shown: tuple(sorted(range(len(shown)), key=lambda i: -grades[shown[i]]))


def top(order: Sequence[int], grades: Sequence[int], k: int) -> list[int]:
    return [grades[i] for i in order[:k]]


# Windows


@pytest.mark.parametrize("length", range(131))
def test_windows_bring_up_the_top_ten_of_any_length(length: int) -> None:
    for grades in (
        range(length),
        range(length)[::-1],
        np.random.default_rng(length).permutation(length),
    ):
        order = run(sliding_windows(length, 20, 10, 1), by(list(grades)))
        assert sorted(order) == list(range(length))
        assert top(order, list(grades), 10) == sorted(grades, reverse=True)[:10]


@unhurried
@given(permutations, st.data())
def test_window_minus_stride_documents_are_certain(grades: list[int], data: st.DataObject) -> None:
    window = data.draw(st.integers(2, 25))
    stride = data.draw(st.integers(1, window - 1))
    order = run(sliding_windows(len(grades), window, stride, 1), by(grades))
    certain = len(grades) if len(grades) <= window else window - stride
    assert sorted(order) == list(range(len(grades)))
    assert top(order, grades, certain) == sorted(grades, reverse=True)[:certain]


def rankgpt_windows(length: int, window: int, step: int) -> list[tuple[int, int]]:
    """The loop of sunnweiwei/RankGPT."""
    found = []
    end_pos = length
    start_pos = length - window
    while start_pos >= 0:
        start_pos = max(start_pos, 0)
        found.append((start_pos, end_pos))
        end_pos = end_pos - step
        start_pos = start_pos - step
    return found


def rankllm_windows(length: int, window: int, stride: int) -> list[tuple[int, int]]:
    """The loop of castorini/rank_llm, over a whole list."""
    found = []
    end_pos = length
    start_pos = length - window
    while end_pos > 0 and start_pos + stride != 0:
        start_pos = max(start_pos, 0)
        found.append((start_pos, end_pos))
        end_pos = end_pos - stride
        start_pos = start_pos - stride
    return found


def test_rankgpt_never_ranks_the_top_of_25() -> None:
    assert rankgpt_windows(25, 20, 10) == [(5, 25)]
    assert list(windows(25, 20, 10)) == [(5, 25), (0, 15)]
    assert rankgpt_windows(19, 20, 10) == []
    assert list(windows(19, 20, 10)) == [(0, 19)]


def test_windows_are_those_of_rankllm() -> None:
    assert len(list(windows(100, 20, 10))) == 9
    for length in range(20, 131):
        assert list(windows(length, 20, 10)) == rankllm_windows(length, 20, 10)
    assert rankllm_windows(10, 20, 10) == []  # it leaves out a list as long as its stride
    assert list(windows(10, 20, 10)) == [(0, 10)]
    assert list(windows(1, 20, 10)) == list(windows(0, 20, 10)) == []


def test_more_passes_rank_more() -> None:
    grades = list(range(60))
    once, twice = (run(sliding_windows(60, 20, 10, p), by(grades)) for p in (1, 2))
    best = sorted(grades, reverse=True)
    assert top(once, grades, 20) != best[:20]
    assert top(twice, grades, 20) == best[:20]


# Setwise and pairwise sorts


@pytest.mark.parametrize("method", ["setwise", "pairwise"])
@pytest.mark.parametrize("sort", ["heapsort", "bubblesort"])
@unhurried
@given(grades=permutations, k=st.integers(1, 12), children=st.integers(1, 5))
def test_sorts_rank_the_top_k(
    method: str, sort: str, grades: list[int], k: int, children: int
) -> None:
    reranker, _ = scripted(method=method, sort=sort, top_k=str(k), children=str(children))
    (scores,) = reranker.score([graded(grades)])
    order = np.argsort(-scores).tolist()
    best = sorted(grades, reverse=True)[:k]
    assert top(order, grades, k) == best
    assert order[k:] == [i for i, g in enumerate(grades) if g not in best]


@unhurried
@given(st.permutations(range(7)))
def test_all_pairs_rank_everything(grades: list[int]) -> None:
    reranker, chat = scripted(method="pairwise", sort="allpair")
    (scores,) = reranker.score([graded(grades)])
    assert scores.tolist() == grades
    assert [len(asked) for asked in chat.asked] == [7 * 6]  # in one go


def llm_rankers_heapsort(grades: Sequence[int], k: int, children: int) -> tuple[list[int], int]:
    """ielab/llm-rankers setwise.py with right answers: its top k, and how often it asks."""
    arr, asked = list(grades), 0

    def heapify(n: int, i: int) -> None:
        nonlocal asked
        if children * i + 1 < n:
            inds = [i, *range(children * i + 1, min(children * (i + 1) + 1, n))]
            asked += 1
            largest = max(inds, key=lambda j: arr[j])
            if largest != i:
                arr[i], arr[largest] = arr[largest], arr[i]
                heapify(n, largest)

    for i in range(len(arr) // children, -1, -1):
        heapify(len(arr), i)
    for ranked, i in enumerate(range(len(arr) - 1, 0, -1), start=1):
        arr[i], arr[0] = arr[0], arr[i]
        if ranked == k:
            break
        heapify(i, 0)
    return arr[::-1][:k], asked


@unhurried
@given(permutations, st.integers(1, 5))
def test_heapsort_asks_no_more_than_llm_rankers(grades: list[int], children: int) -> None:
    reranker, _ = scripted(method="setwise", children=str(children))
    request = graded(grades)
    (scores,) = reranker.score([request])
    best, asked = llm_rankers_heapsort(grades, 10, children)
    assert top(np.argsort(-scores).tolist(), grades, 10) == best
    calls = reranker.usage([request])[0].calls
    assert calls is not None
    assert calls <= asked


def test_the_same_question_is_asked_once() -> None:
    reranker, chat = scripted(method="setwise", sort="bubblesort", top_k="10")
    reranker.score([graded(range(30)[::-1])])  # nothing moves, so every pass sees the same
    questions = [q.messages for asked in chat.asked for q in asked]
    assert len(questions) == len(set(questions))
    assert len(questions) < 10 * 10


def test_a_pair_is_won_in_both_orders_or_undecided() -> None:
    first = run(all_pairs(3), lambda shown: (0,))  # whoever stands first: all pairs undecided
    assert first == [0, 1, 2]
    unclear = run(all_pairs(3), lambda shown: ())
    assert unclear == [0, 1, 2]
    # 2 beats 1 in both orders; 0 against the others is undecided: wins 1.0, 0.5, 1.5
    mixed = run(all_pairs(3), lambda shown: (shown.index(2),) if set(shown) == {1, 2} else (0,))
    assert mixed == [2, 0, 1]


@pytest.mark.parametrize("method", ["setwise", "pairwise"])
@pytest.mark.parametrize("sort", ["heapsort", "bubblesort"])
def test_without_a_clear_answer(method: str, sort: str) -> None:
    """`candidates` keeps the order; llm-rankers' rule turns a heap upside down."""
    settings = {"method": method, "sort": sort}
    kept, _ = scripted(lambda messages: "?", **settings, undecided="candidates")
    request = graded(range(6))
    assert kept.score([request])[0].tolist() == [5, 4, 3, 2, 1, 0]
    usage = kept.usage([request])[0]
    assert usage.malformed == usage.calls
    theirs, _ = scripted(lambda messages: "?", **settings)
    expected = [5, 4, 3, 2, 1, 0] if sort == "bubblesort" else [5, 0, 1, 2, 3, 4]
    assert theirs.score([request])[0].tolist() == expected


# Answers


@unhurried
@given(st.text())
def test_an_order_is_always_a_permutation(answer: str) -> None:
    for count in (0, 1, 5):
        assert sorted(read_order(answer, count).order) == list(range(count))


@unhurried
@given(st.text(alphabet="[]> 0123456789²①x</think>"))
def test_an_order_of_numbers_is_always_a_permutation(answer: str) -> None:
    reply = read_order(answer, 5)
    assert sorted(reply.order) == list(range(5))
    assert reply.clean == (len(reply.order) == 5 and _is_exact(answer, reply))


def _is_exact(answer: str, reply: Reply) -> bool:
    """Whether the answer's numbers are the order, one by one, and no others."""
    said = answer.rpartition("</think>")[2].translate(str.maketrans("²①", "21"))
    numbers = re.findall(r"\d+", said) if "<think>" not in said else []
    return [int(n) - 1 for n in numbers] == list(reply.order)


@unhurried
@given(st.permutations(range(20)))
def test_a_clean_order_is_untouched(order: list[int]) -> None:
    answer = " > ".join(f"[{i + 1}]" for i in order)
    assert read_order(answer, 20) == Reply(tuple(order), clean=True)


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("[2] > [1]", (1, 0, 2, 3)),  # absent ones follow
        ("[2] > [2] > [1] > [4] > [3]", (1, 0, 3, 2)),  # repeated
        ("[5] > [2] > [0] > [1] > [4] > [3]", (1, 0, 3, 2)),  # out of range
        ("", (0, 1, 2, 3)),
        ("I cannot rank passages.", (0, 1, 2, 3)),
        ("[4] > [99999999999999999999] > [1] > [2] > [3]", (3, 0, 1, 2)),
        ("<think>is it [3], or [4]", (0, 1, 2, 3)),  # cut short while thinking
        ("9" * 10_000, (0, 1, 2, 3)),
    ],
)
def test_answers_that_are_repaired(answer: str, order: Order) -> None:
    assert read_order(answer, 4) == Reply(order, clean=False)


@pytest.mark.parametrize(
    "answer",
    [
        "[2] > [1] > [4] > [3]",
        "2 1 4 3",
        "[2]>[1]>[4]>[3]\n",
        "<think>[1] is off-topic, so [3] > [4]</think>\n[2] > [1] > [4] > [3]",
        "[1] is off-topic</think>[2] > [1] > [4] > [3]",
        "[②] > [¹] > [４] > [³]",
    ],
)
def test_answers_that_are_clean(answer: str) -> None:
    assert read_order(answer, 4) == Reply((1, 0, 3, 2), clean=True)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("B", 1),
        (" B", 1),
        ("b\n", 1),
        ("**B**", 1),
        ("Passage B", 1),
        ("Passage: C.", 2),
        ("The most relevant one is passage B.", 1),
        ("<think>Passage A?</think> B", 1),
        ("D", None),  # of three
        ("A passage", None),
        ("Passage A or Passage B", None),
        ("", None),
        ("ß", None),
        ("<think>Passage A", None),
    ],
)
def test_choices(answer: str, place: int | None) -> None:
    expected = Reply((), clean=False) if place is None else Reply((place,), clean=True)
    assert read_choice(answer, 3) == expected


def test_usage_counts_calls_and_repairs() -> None:
    said = iter(["[2] > [1]", "nothing", *["[1] > [2]"] * 2])
    reranker, _ = scripted(lambda messages: next(said), window="2", stride="1")
    requests = [ask("a", "b"), ask("c", "d", qid="r"), ask("x", "y", "z", qid="s")]
    scores = reranker.score(requests)
    assert [s.tolist() for s in scores] == [[0, 1], [1, 0], [2, 1, 0]]
    usage = reranker.usage(requests)
    assert [(u.calls, u.malformed) for u in usage] == [(1, 0), (1, 1), (2, 0)]
    assert all(u.tokens > 0 and u.truncated_documents == 0 for u in usage)


def test_lists_of_a_call_are_asked_together() -> None:
    reranker, chat = scripted()
    requests = [graded(range(n), qid=str(n)) for n in (100, 0, 45, 1, 7)]
    scores = reranker.score(requests)
    assert [len(asked) for asked in chat.asked] == [3, 2, 2, 2, *[1] * 5]
    for request, found in zip(requests, scores, strict=True):
        assert found.dtype == np.float32
        assert sorted(found.tolist()) == list(range(len(request.documents)))
    assert scores[3].tolist() == [0.0]
    assert reranker.usage(requests)[3].calls == 0  # one document needs no model


# Prompts


RANKZEPHYR = """I will provide you with 2 passages, each indicated by a numerical identifier []. \
Rank the passages based on their relevance to the search query: longest river.
[1] The Nile (1) flows north.
[2] {query} costs $5
Search Query: longest river.
Rank the 2 passages above based on their relevance to the search query. All the passages should be \
included and listed using identifiers, in descending order of relevance. The output format should \
be [] > [], e.g., [2] > [1], Answer concisely and directly and only respond with the ranking \
results, do not say any word or explain."""

RANKGPT = (
    (
        "system",
        "You are RankGPT, an intelligent assistant that can rank passages based on their "
        "relevancy to the query.",
    ),
    (
        "user",
        "I will provide you with 2 passages, each indicated by number identifier [].\n"
        "Rank the passages based on their relevance to query: longest river.",
    ),
    ("assistant", "Okay, please provide the passages."),
    ("user", "[1] The Nile (1) flows north."),
    ("assistant", "Received passage [1]."),
    ("user", "[2] {query} costs $5"),
    ("assistant", "Received passage [2]."),
    (
        "user",
        "Search Query: longest river.\nRank the 2 passages above based on their relevance to the "
        "search query. The passages should be listed in descending order using identifiers. The "
        "most relevant passages should be listed first. The output format should be [] > [], "
        "e.g., [1] > [2]. Only response the ranking results, do not say any word or explain.",
    ),
)

SETWISE = (
    'Given a query "longest river", which of the following passages is the most relevant one to '
    'the query?\n\nPassage A: "The Nile [1] flows north."\n\nPassage B: "{query} costs $5"\n\n'
    "Output only the passage label of the most relevant passage:"
)

PAIRWISE = (
    'Given a query "longest river", which of the following two passages is more relevant to the '
    'query?\n\nPassage A: "The Nile [1] flows north."\n\nPassage B: "{query} costs $5"\n\n'
    "Output Passage A or Passage B:"
)


def shown_by(**settings: str) -> tuple[tuple[str, str], ...]:
    reranker, chat = scripted(lambda messages: "", **settings)
    reranker.score([ask("The  Nile [1] flows\nnorth. ", "{query} costs $5")])
    return tuple((m.role, m.content) for m in chat.asked[0][0].messages)


def test_the_prompts_are_the_published_ones() -> None:
    system = (
        "You are RankLLM, an intelligent assistant that can rank passages based on their "
        "relevancy to the query"
    )
    assert shown_by() == (("system", system), ("user", RANKZEPHYR))
    assert shown_by(prompt="rankgpt") == RANKGPT
    assert shown_by(method="setwise") == (("user", SETWISE),)
    assert shown_by(method="pairwise", sort="allpair") == (("user", PAIRWISE),)


def test_texts_are_repaired_for_a_list() -> None:
    """Entities only in passages: RankLLM repairs the query together with the chat's markers."""
    reranker, chat = scripted(lambda messages: "")
    reranker.score([ask("schÃ¶n &amp; gut", "\ud800", query="cafÃ© &amp; [2]")])
    content = chat.asked[0][0].messages[1].content
    assert "[1] schön & gut\n[2] ?\nSearch Query: café &amp; (2).\n" in content


def test_ftfy_is_only_needed_where_texts_are_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(MissingExtraError, match=r"jrv3-eval\[generative\]"):
        scripted()[0].score([ask("a", "b")])
    assert len(scripted(lambda messages: "A", method="setwise")[0].score([ask("a", "b")])) == 1


OWN = """
name: own
source: my paper
method: listwise
passage_words: 5
turns:
  - {role: user, text: "Query: {query}\\n"}
  - {role: user, each: true, text: "[{rank}]: {document}\\n"}
  - {role: user, text: "Ranking:"}
"""


def test_an_own_prompt_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert shown_by(prompt=str(path)) == (
        (
            "user",
            "Query: longest river\n[1]: The Nile [1] flows north.\n[2]: {query} costs $5\nRanking:",
        ),
    )
    digest = prompt_for(str(path), "listwise").digest
    path.write_text(OWN.replace("my paper", "their paper"))
    assert prompt_for(str(path), "listwise").digest == digest
    path.write_text(OWN.replace("Ranking:", "Order:"))
    assert prompt_for(str(path), "listwise").digest != digest
    assert len({p.digest for p in shipped_prompts().values()}) == 4


def test_the_documented_prompt_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "backends.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.split("<!-- example: prompt -->\n```yaml\n")[1].split("```")[0])
    [(role, asked)] = shown_by(prompt=str(path))
    assert (role, asked.split("\n")[0], asked.split("\n")[-1]) == (
        "user", "Query: longest river", "Ranking:",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("each: true, ", ""), "each"),
        (("{document}", "{doc}"), "document"),
        (("{query}", "query"), "query"),
        (("[{rank}]", "[{label}]"), "rank"),
        (("Ranking:", "Ranking {document}"), "belong"),
        (("method: listwise", "method: best"), "method"),
        (('{role: user, text: "Ranking:"}', '{role: assistant, text: "Ranking:"}'), "last turn"),
        (("passage_words: 5", "words: 5"), "words"),
        (("turns:", "turns: ["), "YAML"),
    ],
)
def test_bad_prompts_say_what_is_wrong(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(UsageError, match=says) as caught:
        prompt_for(str(path), "listwise")
    assert caught.value.where == str(path)


def test_unknown_prompts_and_methods() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'rankzephyr'"):
        prompt_for("rankzefyr", "listwise")
    with pytest.raises(UsageError, match="cannot be read"):
        prompt_for("absent.yaml", "listwise")
    with pytest.raises(UsageError, match=r"is setwise, and the method is listwise"):
        prompt_for("setwise", "listwise")


# Fitting


def rankllm_fit(documents: Sequence[str], room: int, tokens: Callable[[list[str]], int]) -> float:
    """create_prompt of castorini/rank_llm: words a passage."""
    size = len(documents)
    max_length = 300 * (20 / size)
    while True:
        cut = [" ".join(d.split()[: int(max_length)]) for d in documents]
        count = tokens(cut)
        if count <= room:
            return int(max_length)
        max_length -= max(1, (count - room) // (size * 4))


@pytest.mark.parametrize("room", [200, 400, 1000, 3000, 5900, 100_000])
@pytest.mark.parametrize("size", [20, 11, 3])
def test_passages_are_cut_as_in_rankllm(room: int, size: int) -> None:
    """Words of 1 to 3 tokens, documents of all lengths."""
    random = np.random.default_rng(size)
    documents = [
        " ".join("ab-" * int(n) for n in random.integers(1, 4, length))
        for length in random.integers(10, 900, size)
    ]
    prompt = prompt_for("rankzephyr", "listwise")

    def tokens(messages: Sequence[Message], prefill: str = "") -> int:
        return sum(len(m.content.split()) + m.content.count("ab-") for m in messages)

    request = ask(*documents)
    texts = prepare(request, prompt, tokens, 10**6)
    fitted = fit(prompt, texts, range(size), 300, tokens, room + 200)
    words = rankllm_fit(
        documents, room + 200, lambda cut: tokens(prompt.messages("longest river", cut))
    )
    assert fitted.messages == prompt.messages(
        "longest river", [" ".join(d.split()[:words]) for d in documents]
    )
    assert fitted.cut == {i for i, d in enumerate(documents) if len(d.split()) > words}


def test_texts_without_spaces_are_cut_in_characters() -> None:
    japanese = "河は北へ流れる。" * 1000
    assert cut_words([japanese], 5) == japanese[:80]
    prompt = prompt_for("rankzephyr", "listwise")

    def tokens(messages: Sequence[Message], prefill: str = "") -> int:
        return sum(len(m.content) for m in messages)

    texts = prepare(ask(japanese, japanese), prompt, tokens, 10**6)
    fitted = fit(prompt, texts, [0, 1], 300, tokens, 3000)
    kept = fitted.messages[1].content.count("河")
    assert 200 < kept < 300  # of 2000; RankLLM would show nothing of them
    assert fitted.cut == {0, 1}


def test_a_long_query_leaves_room_for_passages() -> None:
    reranker, chat = scripted(lambda messages: "", context=1000)
    request = ask("one two", "three", query="river " * 5000)
    reranker.score([request])
    content = chat.asked[0][0].messages[1].content
    assert 400 < content.count("river") <= 500  # it stands twice in this prompt
    assert "[1] one two\n[2] three\n" in content
    usage = reranker.usage([request])[0]
    assert usage.truncated_query
    assert usage.truncated_documents == 0


def test_what_does_not_fit_is_no_number() -> None:
    reranker, _ = scripted(context=120)
    with pytest.raises(UsageError, match="20 passages does not fit") as caught:
        reranker.score([ask(*["some words"] * 20)])
    assert "window" in str(caught.value.next_step)


# Settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stride": "20"}, "stride=20 is not less than window=20"),
        ({"method": "setwise", "sort": "allpair"}, "pairwise"),
        ({"scoring": "likelihood"}, "method=listwise has none"),
        ({"method": "setwise", "scoring": "likelihood", "reasoning_tokens": "9"}, "thoughts"),
        ({"model": "gpt"}, "no URL"),
        ({"children": "23"}, "children"),
        ({"window": "1"}, "window"),
        ({"method": "best"}, "method"),
        ({"prompt": "setwise"}, "setwise"),
    ],
)
def test_settings_that_do_not_fit(settings: Mapping[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        family.open("absent", parse_settings(family, settings))


def test_what_is_recognised() -> None:
    causal = {"architectures": ["Qwen3ForCausalLM"]}
    assert family.recognises(causal, frozenset({"config.json"}))
    assert not family.recognises(causal, frozenset({"modules.json"}))
    assert not family.recognises(causal, frozenset({"1_LogitScore/config.json"}))
    assert not family.recognises({"architectures": ["BertModel"]}, frozenset())
    assert not family.recognises({}, frozenset())
