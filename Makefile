# make demo: set up and run the demonstration.   make test: lint, types and the whole suite.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types suite bench claims clean

demo: .venv/demo
	$(BIN)/narrows demo

test: lint types suite

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test
	$(BIN)/mypy

suite: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

bench: .venv/bench
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file || exit 1; done

claims: .venv/demo
	$(BIN)/narrows claims --all

.venv/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	touch $@

.venv/demo: .venv/pip pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

.venv/test: .venv/demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group lint --group test
	touch $@

.venv/bench: .venv/test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	touch $@

clean:
	rm -rf .venv runs
