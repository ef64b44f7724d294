"""MKQA: which questions count, by which answers, over which passages; end to end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli, write_beir
from dpr import has_answer, plain, words
from jrv3_eval.errors import DataError
from jrv3_eval.sources.mkqa import read_questions

LANGUAGES = ("en", "de", "ja")


def question(
    number: int, answers: list[dict[str, Any]], text: str = "who did it"
) -> dict[str, Any]:
    """A line in MKQA's own format."""
    return {
        "query": text,
        "example_id": number,
        "queries": {language: f"{text} [{language}]" for language in LANGUAGES},
        "answers": dict.fromkeys(LANGUAGES, answers),
    }


def entity(text: str, *aliases: str) -> dict[str, Any]:
    return {"type": "entity", "entity": "Q1", "text": text, "aliases": list(aliases)}


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return path


NO_ANSWERS = [
    [{"type": "unanswerable", "text": None}],
    [{"type": "binary", "text": "yes"}],
    [{"type": "long_answer", "text": None}],
]


def test_questions_without_a_short_answer_are_left_out(tmp_path: Path) -> None:
    short = [entity("Dave Edmunds", "David Edmunds"), {"type": "date", "text": "1970"}]
    lines = [question(1, short), *(question(i, a) for i, a in enumerate(NO_ANSWERS, 2))]
    # The reference asks the last answer whether a question counts, and takes all short ones.
    lines += [
        question(5, [*NO_ANSWERS[0], entity("late")]),
        question(6, [entity("x"), *NO_ANSWERS[1]]),
    ]
    found = list(read_questions(write(tmp_path / "q.jsonl.gz", lines), "de"))
    assert [(q.qid, q.answers) for q in found] == [
        ("1", ("David Edmunds", "Dave Edmunds", "1970")),
        ("5", ("late",)),
    ]
    assert found[0].text == "who did it [de]"


def test_mkqas_own_sample_is_read(data: Path) -> None:
    """Six lines in the original format, all 26 languages; the answers are the English ones."""
    file = data / "mkqa-dev/apple_test_mkqa.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    kept = []
    for record in records:
        types = [answer["type"] for answer in record["answers"]["en"]]
        if types[-1] not in ("unanswerable", "binary", "long_answer"):
            kept.append(record)
    assert 0 < len(kept) < len(records)
    for language in records[0]["queries"]:
        found = list(read_questions(file, language))
        assert [q.text for q in found] == [record["queries"][language] for record in kept]
        for q, record in zip(found, kept, strict=True):
            texts = {a["text"] for a in record["answers"]["en"]}
            assert texts <= set(q.answers)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "not in MKQA's format"),
        ("[]", "not in MKQA's format"),
        ('{"example_id": 1, "queries": {"en": "x"}}', "not in MKQA's format"),
        ('{"example_id": 1, "queries": {"en": "x"}, "answers": {"en": [{}]}}', "MKQA's format"),
        ('{"example_id": 1, "queries": {"en": "x"}, "answers": {"en": []}}', "no language 'de'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    good = json.dumps(question(7, [entity("x")]))
    path.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(read_questions(path, "de"))
    assert f"{path}:2" in str(caught.value)


CARD = """\
suite: mini-mkqa
title: A few questions
metric: success@10
published_as: Recall@10
tasks:
  - name: mini-LANG
    language: LANG
    corpus_language: en
    relevance: answer-match
    query_group: mini
    sources:
      - kind: mkqa
        url: ../questions.jsonl.gz
        language: LANG
        corpus: {kind: folder, path: ../passages}
"""


def suite(tmp_path: Path, language: str = "en") -> Path:
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "mini-mkqa.yaml").write_text(CARD.replace("LANG", language))
    return folder


def records(cli: Cli, folder: Path, *more: str) -> list[dict[str, Any]]:
    done = cli("mini-mkqa", "--tasks-dir", folder, "--json", *more)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def test_hand_checked_numbers(cli: Cli, tmp_path: Path) -> None:
    """Four questions: a hit at once, a hit that BM25 ranks low, a miss, and no candidate."""
    passages = {f"p{i:02}": f"famous river number {i}" for i in range(12)}
    passages |= {
        "nile": "the nile is a river in africa that flows north",
        "late": "Caspian Sea " + "filler " * 60 + "famous river",
    }
    write_beir(tmp_path / "passages", passages, {"x": "y"}, {"x": {"nile": 1}})
    asked = [
        ("which river flows north", [entity("Africa")]),
        ("famous river", [entity("caspian sea", "Caspian")]),
        ("famous river number 3", [entity("Atlantis")]),
        ("zzz", [entity("Africa")]),
    ]
    write(
        tmp_path / "questions.jsonl.gz",
        [
            {**question(i, answers), "queries": {"en": text}}
            for i, (text, answers) in enumerate(asked, 1)
        ],
    )
    folder = suite(tmp_path)
    models = [x for m in ("none", "oracle", "random:3") for x in ("--model", m)]
    none, oracle, _ = records(cli, folder, *models)
    assert none["dataset"]["queries"] == 4
    assert none["candidates"]["empty"] == 1
    assert set(none["metrics"]) == {"success@1", "success@10", "success@100", "mrr@10"}
    assert none["metrics"]["success@10"] == 1 / 4  # the nile; the sea is 13th or 14th
    assert none["metrics"]["success@100"] == 2 / 4
    assert none["candidates"]["oracle"] == {"success@10": 2 / 4}
    assert oracle["metrics"]["success@10"] == oracle["metrics"]["success@1"] == 2 / 4
    assert oracle["headroom"] == 1.0
    assert none["protocol"]["relevance"] == "answer-match"
    assert none["protocol"]["published_as"] == "Recall@10"
    shown = cli("mini-mkqa", "--tasks-dir", folder, "--model", "none").out
    assert "success@10, published as Recall@10" in shown
    assert "success@100 0.5000" in shown
    [limited] = records(cli, folder, "--model", "none", "--limit", "2")
    assert limited["limit"] == 2


def test_a_page_in_place_of_the_questions_is_not_kept(
    cli: Cli, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    write_beir(tmp_path / "passages", {"a": "the nile"}, {"x": "y"}, {"x": {"a": 1}})
    served = tmp_path / "served.gz"
    served.write_text("<html>try later</html>")
    folder = suite(tmp_path)
    card = folder / "mini-mkqa.yaml"
    card.write_text(card.read_text().replace("../questions.jsonl.gz", served.as_uri()))
    refused = cli("mini-mkqa", "--tasks-dir", folder, "--model", "none")
    assert "gave something else than a gzip file" in refused.err
    write(served, [question(1, [entity("nile")], "what is the nile")])
    assert records(cli, folder, "--model", "none")[0]["metrics"]["success@10"] == 1.0


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    line = json.dumps(question(1, [entity("x \ud83d")], "why \ud83d"))
    (tmp_path / "q.jsonl").write_text(line + "\n")
    [found] = read_questions(tmp_path / "q.jsonl", "de")
    assert (found.text, found.answers) == ("why ? [de]", ("x ?",))


def test_languages_share_passages_and_index(cli: Cli, tmp_path: Path, cache: Path) -> None:
    write_beir(tmp_path / "passages", {"a": "the nile"}, {"x": "y"}, {"x": {"a": 1}})
    write(tmp_path / "questions.jsonl.gz", [question(1, [entity("nile")], "what is the nile")])
    folder = suite(tmp_path)
    one = CARD.partition("tasks:\n")
    tasks = "".join(one[2].replace("LANG", language) for language in ("en", "de"))
    (folder / "mini-mkqa.yaml").write_text(one[0] + one[1] + tasks)
    first, second = records(cli, folder, "--model", "none")
    assert first["dataset"]["fingerprint"] != second["dataset"]["fingerprint"]
    assert len(list((cache / "corpora").iterdir())) == 1
    assert len(list(cache.glob("corpora/*/bm25-*"))) == 1


def test_the_card_must_fit_its_data(cli: Cli, tmp_path: Path, animals: Path) -> None:
    folder = tmp_path / "cards"
    folder.mkdir()
    card = (
        "  - {name: a, relevance: answer-match, sources: [{kind: folder, path: ../data/animals}]}"
    )
    text = f"suite: mini-mkqa\ntitle: t\nmetric: METRIC\ntasks:\n{card}\n"
    (folder / "mini-mkqa.yaml").write_text(text.replace("METRIC", "ndcg@10"))
    done = cli("mini-mkqa", "--tasks-dir", folder, "--model", "none")
    assert "the metric is success@k or mrr@k" in done.err
    (folder / "mini-mkqa.yaml").write_text(text.replace("METRIC", "success@10"))
    done = cli("mini-mkqa", "--tasks-dir", folder, "--model", "none")
    assert done.code == 2
    assert "says `relevance: answer-match`, but its source has judgements" in done.err


def test_real_passages_and_questions_end_to_end(cli: Cli, data: Path, tmp_path: Path) -> None:
    """NFCorpus's passages with real English answers put into some of them, in two languages."""
    from jrv3_eval.sources.folder import open_folder

    passages = {d.docid: f"{d.title} {d.text}"
                for d in open_folder(data / "beir-nfcorpus", "test").documents()}  # fmt: skip
    asked = {}
    for language in ("en", "ja"):
        with gzip.open(
            data / f"mkqa-dev/mkqa-{language}.jsonl.gz", "rt", encoding="utf-8"
        ) as lines:
            for line in lines:
                one = json.loads(line)
                asked.setdefault(one["id"].partition("_")[0], {})[language] = one
    chosen = [pair for pair in asked.values() if words(pair["en"]["answers"][0])][:150]
    docids = sorted(passages)
    for number, pair in enumerate(chosen[::2]):  # every other question has its answer somewhere
        english = pair["en"]
        passages[docids[number * 7]] += f" {english['question']}: {english['answers'][0]}."
    lines = [
        {
            "example_id": int(pair["en"]["id"].partition("_")[0]),
            "queries": {language: pair[language]["question"] for language in ("en", "ja")},
            "answers": {"en": [entity(text) for text in pair["en"]["answers"]]},
        }
        for pair in chosen
    ]
    write_beir(tmp_path / "passages", passages, {"x": "y"}, {"x": {docids[0]: 1}})
    write(tmp_path / "questions.jsonl.gz", lines)
    folder = suite(tmp_path)
    none, oracle = records(cli, folder, "--model", "none", "--model", "oracle")
    assert none["dataset"]["queries"] == 150
    assert none["dataset"]["documents"] == 3633
    assert 0.45 < none["metrics"]["success@10"] <= none["metrics"]["success@100"]
    assert oracle["metrics"]["success@10"] == none["metrics"]["success@100"]
    hits = expected_hits(tmp_path, passages, lines)
    assert none["metrics"]["success@10"] == pytest.approx(hits / 150)


def expected_hits(tmp_path: Path, passages: dict[str, str], lines: list[dict[str, Any]]) -> int:
    """Questions with a hit in the run's top 10, by the straight implementation."""
    from jrv3_eval.trec import read_run

    [file] = (tmp_path / "results/runs").rglob("none@*/**/mini-en.run.gz")
    run = read_run(file)
    answers = {str(x["example_id"]): [a["text"] for a in x["answers"]["en"]] for x in lines}
    hits = 0
    for index, qid in enumerate(run.qids):
        rows = slice(run.offsets[index], run.offsets[index + 1])
        ranked = sorted(zip(run.scores[rows], run.docids[rows], strict=True), reverse=True)[:10]
        hits += any(has_answer(answers[qid], plain(passages[docid])) for _, docid in ranked)
    return hits
