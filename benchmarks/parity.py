"""Same weights, same real candidates, float32: our scores beside an independent implementation's.

    python benchmarks/parity.py --data DIR --python rerankers=/path/to/python ...

DIR holds trec-dl19-passage-top100 in BEIR layout with runs/BM25.trec.gz. Every peer runs in an
environment of its own, named by --python PEER=INTERPRETER (several times); without it, in this
one. A peer that is not named and cannot be imported is left out, and said so. Checkpoints are
those of the tests, made from transformers' configs with a seed; where a real one can be had from a
package (all-MiniLM-L6-v2's body under a random head, SmolLM2-135M), it is used.

Lists are the first candidates of BM25 for the first queries; orders are compared by score, and a
difference in order counts only where the peer's two scores differ by more than 1e-5.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).with_name("peers")
sys.path.insert(0, str(ROOT / "tests"))
TIE = 1e-5


@dataclass(frozen=True)
class Case:
    """One checkpoint that both sides read. script: of the peer, with its options."""

    peer: str
    package: str
    model: str
    family: str
    make: Callable[[Path], Path | None]
    script: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()


def minilm(folder: Path) -> Path:
    """all-MiniLM-L6-v2's body under a random head of one label."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from jrv3_eval.checkpoint import open_checkpoint
    from jrv3_eval.device import quiet_loading

    source = open_checkpoint("package:all-MiniLM-L6-v2").folder
    torch.manual_seed(0)
    with quiet_loading():
        model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return folder


def smollm2(folder: Path) -> Path | None:
    from smollm2 import smollm2_folder

    return smollm2_folder()


def decoder(architecture: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from models_causal import write_decoder

        return write_decoder(folder, architecture)

    return make


def xlm_roberta(folder: Path) -> Path:
    from models_encoders import write_xlmr

    return write_xlmr(folder)


def pylate(folder: Path) -> Path:
    from models_late import write_pylate

    return write_pylate(folder)


BGE = (("truncation", "only_second"),)
CASES = (
    Case(
        "sentence-transformers",
        "sentence-transformers",
        "MiniLM-L6 body, random head",
        "cross-encoder",
        minilm,
        ("sentence_transformers_cross_encoder.py",),
    ),
    Case(
        "rerankers",
        "rerankers",
        "MiniLM-L6 body, random head",
        "cross-encoder",
        minilm,
        ("rerankers_cross_encoder.py",),
    ),
    Case(
        "flagembedding",
        "FlagEmbedding",
        "random XLM-R (as bge-reranker-v2-m3)",
        "cross-encoder",
        xlm_roberta,
        ("flag_rerankers.py", "--kind", "encoder", "--max-length", "128"),
        (*BGE, ("max_length", "128")),
    ),
    Case(
        "flagembedding",
        "FlagEmbedding",
        "random Gemma (as bge-reranker-v2-gemma)",
        "causal",
        decoder("GemmaForCausalLM"),
        ("flag_rerankers.py", "--kind", "decoder", "--max-length", "256"),
        (("max_length", "256"),),
    ),
    Case(
        "flagembedding",
        "FlagEmbedding",
        "SmolLM2-135M, template bge-reranker-v2-gemma",
        "causal",
        smollm2,
        ("flag_rerankers.py", "--kind", "decoder"),
        (("template", "bge-reranker-v2-gemma"),),
    ),
    Case(
        "pylate",
        "pylate",
        "random BERT, PyLate's layout",
        "late-interaction",
        pylate,
        ("pylate_maxsim.py",),
    ),
    Case(
        "mxbai-rerank",
        "mxbai-rerank",
        "random Qwen2 (as mxbai-rerank-v2)",
        "causal",
        decoder("Qwen2ForCausalLM"),
        ("mxbai_v2.py", "--max-length", "300"),
        (("max_length", "300"),),
    ),
    Case(
        "mxbai-rerank",
        "mxbai-rerank",
        "SmolLM2-135M, template mxbai-rerank-v2",
        "causal",
        smollm2,
        ("mxbai_v2.py", "--max-length", "1024"),
        (("template", "mxbai-rerank-v2"), ("max_length", "1024")),
    ),
)


def portable(made: Path, folder: Path) -> Path:
    """A copy that older versions of transformers read the same way; weights are linked."""

    def linked(source: str, target: str) -> None:
        if source.endswith(".safetensors"):
            Path(target).symlink_to(Path(source).resolve())
        else:
            shutil.copy(source, target)

    shutil.copytree(made, folder, copy_function=linked)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    xlmr = config["model_type"] == "xlm-roberta"  # whose own class puts a pair together
    tokenizer["tokenizer_class"] = "XLMRobertaTokenizerFast" if xlmr else "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    if rope := config.get("rope_parameters"):
        config["rope_theta"] = rope["rope_theta"]  # else they take their default
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def lists(data: Path, queries: int, depth: int) -> list[dict[str, Any]]:
    """Real lists: {"qid", "query", "documents"}, in BM25's order."""
    from jrv3_eval.trec import read_run

    folder = data / "trec-dl19-passage-top100"
    run = read_run(folder / "runs" / "BM25.trec.gz")
    ranked = {
        qid: [
            run.docids[i] for i in sorted(range(start, end), key=lambda i: -run.scores[i])[:depth]
        ]
        for qid, start, end in zip(run.qids, run.offsets[:-1], run.offsets[1:], strict=True)
    }
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {d["_id"]: d["text"] for d in map(json.loads, lines)}
    asked = map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    found = []
    for query in asked:
        documents = [texts[str(docid)] for docid in ranked[query["_id"]]]
        found.append({"qid": query["_id"], "query": query["text"], "documents": documents})
    return found[:queries]


def ours(case: Case, folder: Path, work: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    from jrv3_eval.rerankers import RankingRequest, open_reranker

    settings = {"device": "cpu", "dtype": "float32", **dict(case.settings)}
    reranker = open_reranker(f"{case.family}:{folder}", settings)
    return reranker.score(
        [RankingRequest(w["qid"], w["query"], tuple(w["documents"])) for w in work]
    )


def theirs(case: Case, python: str, folder: Path, pairs: Path) -> list[np.ndarray]:
    to = pairs.with_name("scores.json")
    script, *options = case.script
    command = [python, str(PEERS / script), "--checkpoint", str(folder), "--pairs", str(pairs)]
    done = subprocess.run(
        [*command, "--to", str(to), *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{case.peer} failed:\n{done.stderr[-3000:]}")
    return [np.asarray(scores, np.float32) for scores in json.loads(to.read_text())]


def versions(python: str, package: str) -> str:
    code = (
        "from importlib.metadata import version as v;"
        f"print('{package}', v('{package}') + ', transformers', v('transformers'))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def same_order(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether no two documents that `right` tells apart change places."""
    order = np.argsort(-left, kind="stable")
    along = right[order]
    return bool(np.all(np.diff(along) <= TIE))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=INTERPRETER")
    parser.add_argument("--only", default="", help="peers, separated by commas")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--depth", type=int, default=50)
    arguments = parser.parse_args()
    pythons = dict(entry.split("=", 1) for entry in arguments.python)
    work = lists(arguments.data, arguments.queries, arguments.depth)
    print("| peer | model | family | pairs | largest difference | lists in the same order |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        if arguments.only and case.peer not in arguments.only.split(","):
            continue
        python = pythons.get(case.peer, sys.executable)
        with tempfile.TemporaryDirectory() as root:
            label = versions(python, case.package)
            made = case.make(Path(root) / "made") if label else None
            if made is None:
                print(f"| {case.peer} | {case.model} | {case.family} | not installed | - | - |")
                continue
            folder = portable(made, Path(root) / "checkpoint")
            pairs = Path(root) / "pairs.json"
            pairs.write_text(json.dumps(work), encoding="utf-8")
            peer, own = theirs(case, python, folder, pairs), ours(case, folder, work)
        largest = max(float(np.abs(a - b).max()) for a, b in zip(own, peer, strict=True))
        same = sum(same_order(a, b) for a, b in zip(own, peer, strict=True))
        count = sum(len(scores) for scores in own)
        print(
            f"| {label} | {case.model} | {case.family} | {count} | {largest:.1e} | "
            f"{same} of {len(own)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
