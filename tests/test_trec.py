"""TREC files: what is on disk is what is scored, and a bad line is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrv3_eval.errors import DataError, StorageError
from jrv3_eval.metrics import Run
from jrv3_eval.trec import read_qrels, read_run, write_run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.txt"


def lists(run: Run) -> dict[str, dict[str, float]]:
    return {
        qid: dict(
            zip(
                run.docids[run.offsets[i] : run.offsets[i + 1]],
                run.scores[run.offsets[i] : run.offsets[i + 1]].tolist(),
                strict=True,
            )
        )
        for i, qid in enumerate(run.qids)
    }


# Runs ------------------------------------------------------------------------------------


def test_reads_a_run(file: Path) -> None:
    file.write_text("q1 Q0 b 1 2.5 tag\nq1\tQ0  a 2 -1e-3 tag\n\nq2 Q0 a 1 7 tag\n")
    assert lists(read_run(file)) == {
        "q1": {"b": 2.5, "a": float(np.float32(-1e-3))},
        "q2": {"a": 7.0},
    }


def test_reads_a_compressed_run(tmp_path: Path) -> None:
    file = tmp_path / "run.gz"
    file.write_bytes(gzip.compress(b"q1 Q0 b 1 2.5 tag\n"))
    assert lists(read_run(file)) == {"q1": {"b": 2.5}}


@pytest.mark.parametrize(
    "docid",
    ["007", "1e5", "NA", "null", "nan", "None", '"quoted', "'", "#1", "a,b", "a\u00a0b", "中"],
)
def test_ids_stay_as_they_are(file: Path, docid: str) -> None:
    file.write_text(
        f"{docid} Q0 {docid} 1 1.0 {docid}\n" if docid[0] != "#" else f"1 Q0 {docid} 1 1 t\n"
    )
    assert read_run(file).docids.tolist() == [docid]


def test_the_rank_column_is_ignored(file: Path) -> None:
    file.write_text("q Q0 a 2 1.0 t\nq Q0 b 1 5.0 t\nq Q0 c first 9.0 t\n")
    assert lists(read_run(file)) == {"q": {"a": 1.0, "b": 5.0, "c": 9.0}}


def test_lines_of_a_query_may_stand_apart(file: Path) -> None:
    file.write_text("q1 Q0 a 1 3 t\nq2 Q0 a 1 3 t\nq1 Q0 b 2 2 t\n")
    assert lists(read_run(file)) == {"q1": {"a": 3.0, "b": 2.0}, "q2": {"a": 3.0}}


def test_windows_line_ends_and_a_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfq1 Q0 a 1 3 t\r\nq1 Q0 b 2 2 t\r\n")
    assert lists(read_run(file)) == {"q1": {"a": 3.0, "b": 2.0}}


def test_an_empty_run_has_no_query(file: Path) -> None:
    file.write_text("# only: a header\n")
    assert len(read_run(file)) == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("q1 Q0 b 2 1.0", "Expected 6 columns, found 5"),
        ("q1 Q0 b 2 1.0 tag extra", "Expected 6 columns, found 7"),
        ("q1 Q0 b 2 high tag", "score is not a number: 'high'"),
        ("q1 Q0 b 2 1_5 tag", "score is not a number: '1_5'"),
        ("q1 Q0 b 2 nan tag", "not a finite float32: nan"),
        ("q1 Q0 b 2 inf tag", "not a finite float32: inf"),
        ("q1 Q0 b 2 1e39 tag", "not a finite float32"),
        ("q1 Q0 a 2 1.0 tag", "Document 'a' appears twice"),
        ("q1 Q0 \udcff 2 1.0 tag", "not UTF-8"),
        ("\udcff Q0 b 2 1.0 tag", "not UTF-8"),
    ],
)
def test_a_bad_line_is_named(file: Path, line: str, what: str) -> None:
    text = f"# header\nq1 Q0 a 1 2.0 tag\n\n{line}\n"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"{what}[\s\S]*file\.txt:4"):
        read_run(file)


def test_a_repeated_document_far_apart(file: Path) -> None:
    file.write_text("q1 Q0 a 1 3 t\nq2 Q0 a 1 3 t\nq1 Q0 a 2 2 t\n")
    with pytest.raises(DataError, match=r"\.txt:3"):
        read_run(file)


def test_a_first_line_with_too_few_columns(file: Path) -> None:
    file.write_text("q1 a 1.0\n")
    with pytest.raises(DataError, match="Expected 6 columns, found 3"):
        read_run(file)


def test_an_empty_id_between_tabs(file: Path) -> None:
    file.write_text("q\tQ0\ta\t1\t2\tt\n\tQ0\tb\t1\t2\tt\n")
    with pytest.raises(DataError, match=r"Expected 6 columns, found 5[\s\S]*\.txt:2"):
        read_run(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read[\s\S]*missing\.gz"):
        read_run(tmp_path / "missing.gz")


@pytest.mark.parametrize(
    "content", [b"plain text", gzip.compress(b"q Q0 a 1 1 t\n" * 99, mtime=0)[:-20]]
)
def test_a_broken_gzip(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.gz"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"cut short or is not gzip[\s\S]*run\.gz"):
        read_run(file)


# Writing ---------------------------------------------------------------------------------


def test_writes_ranked_by_the_tie_rule(file: Path) -> None:
    run = Run.from_dict({"q1": {"a": 1.0, "b": 1.0, "c": 3.5}, "none": {}, "q2": {"a": 0.1}})
    write_run(file, run, tag="ours", header=["ir_metadata:", "  method: x"])
    assert file.read_text() == (
        "# ir_metadata:\n#   method: x\n"
        "q1 Q0 c 1 3.5 ours\nq1 Q0 b 2 1 ours\nq1 Q0 a 3 1 ours\n"
        "q2 Q0 a 1 0.100000001 ours\n"
    )


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    one = Run.from_dict({"q": {"a": 1.0, "b": 2.0}})
    other = Run.from_dict({"q": {"b": 2.0, "a": 1.0}})
    write_run(tmp_path / "one.gz", one, header=["a: b"])
    write_run(tmp_path / "other.gz", other, header=["a: b"])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "other.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.gz", "other.gz"]


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\v\f"), min_size=1
).filter(lambda text: text == text.strip(" ") and not text.startswith("#"))


@given(st.dictionaries(ids, st.dictionaries(ids, finite, min_size=1, max_size=4), max_size=3))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, run: dict) -> None:  # type: ignore[type-arg]
    file = tmp_path_factory.mktemp("round") / "run.gz"
    write_run(file, Run.from_dict(run), header=["# comment", "", "x: 1"])
    assert lists(read_run(file)) == run


def test_trap_6_ids_with_spaces_survive_a_round_trip(file: Path) -> None:
    run = {"q 1": {"a b": 2.0, "a": 1.0}, "q": {"a  c": 1.0}}
    write_run(file, Run.from_dict(run))
    assert lists(read_run(file)) == run


@pytest.mark.parametrize("docid", ["", "a\tb", "a\nb", " a", "a ", "\ud800"])
def test_an_id_that_could_not_be_read_back(file: Path, docid: str) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_run(file, Run.from_dict({"q": {docid: 1.0}}))
    assert not file.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write"):
        write_run(tmp_path / "file" / "run.gz", Run.from_dict({"q": {"a": 1.0}}))


# Qrels -----------------------------------------------------------------------------------


def test_reads_trec_qrels(file: Path) -> None:
    file.write_text("q1 0 a 1\nq1 0 b -1\nq2\t0\t007\t3\n")
    qrels = read_qrels(file)
    assert qrels.qids == ("q1", "q2")
    assert (qrels.of("q1"), qrels.of("q2")) == ({"a": 1, "b": -1}, {"007": 3})
    assert qrels.of("unknown") == {}


def test_reads_beir_tsv_with_spaces_in_ids(tmp_path: Path) -> None:
    file = tmp_path / "test.tsv.gz"
    file.write_bytes(gzip.compress(b"query-id\tcorpus-id\tscore\nq 1\tdoc one\t2\nq 1\tNA\t1.0\n"))
    assert read_qrels(file).of("q 1") == {"doc one": 2, "NA": 1}


def test_tsv_without_header_loses_no_line(file: Path) -> None:
    file.write_text("q1\ta\t2\nq1\tb\t1\n")
    assert read_qrels(file).of("q1") == {"a": 2, "b": 1}


def test_a_judgement_repeated_unchanged_counts_once(file: Path) -> None:
    file.write_text("q1 0 a 1\nq1 0 a 1\n")
    assert read_qrels(file).docids.tolist() == ["a"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("q1\tb", "Expected 3 columns, found 2"),
        ("q1\tb\tc\t1", "Expected 3 columns, found 4"),
        ("q1\tb\t0.5", "relevance is not a whole number: '0.5'"),
        ("q1\tb\tyes", "relevance is not a whole number: 'yes'"),
        ("q1\tb\t1_0", "relevance is not a whole number: '1_0'"),
        ("q1\tb\t3000000000", "relevance is beyond 32 bits: 3000000000"),
        ("q1\tb\t-2147483649", "relevance is beyond 32 bits"),
        ("q1\tb\t1e30", "relevance is beyond 32 bits"),
        ("q1\ta\t2", "Document 'a' has two different judgements"),
    ],
)
def test_a_bad_judgement_is_named(file: Path, line: str, what: str) -> None:
    file.write_text(f"query-id\tcorpus-id\tscore\nq1\ta\t1\n{line}\n")
    with pytest.raises(DataError, match=rf"{what}[\s\S]*\.txt:3"):
        read_qrels(file)


@pytest.mark.parametrize(
    "header",
    ["query-id\tcorpus-id\tscore", "qid\tdocid\tgain", "a\tb\tLabel", "query_id 0 doc relevance"],
)
@pytest.mark.parametrize("before", ["", "\n \n"])
def test_a_header_is_known_by_its_names(file: Path, header: str, before: str) -> None:
    line = "q1 0 d1 2" if header.count(" ") else "q1\td1\t2"
    file.write_text(f"{before}{header}\n{line}\n")
    assert read_qrels(file).of("q1") == {"d1": 2}
    assert read_qrels(file).qids == ("q1",)


def test_a_first_judgement_that_is_broken_is_no_header(file: Path) -> None:
    file.write_text("q1\td1\tone\nq2\td1\t1\n")
    with pytest.raises(DataError, match=r"not a whole number: 'one'[\s\S]*\.txt:1"):
        read_qrels(file)


def test_a_header_stands_only_at_the_top(file: Path) -> None:
    file.write_text("q1\td1\t1\nquery-id\tcorpus-id\tscore\n")
    with pytest.raises(DataError, match=r"'score'[\s\S]*\.txt:2"):
        read_qrels(file)


def test_the_names_of_a_header_may_be_ids(file: Path) -> None:
    file.write_text("qid\tscore\t1\n")
    assert read_qrels(file).of("qid") == {"score": 1}


def test_judgements_of_a_query_that_begins_with_a_hash(file: Path) -> None:
    file.write_text("#1\td1\t2\n#2\td1\t1\n")
    assert read_qrels(file).qids == ("#1", "#2")
