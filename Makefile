# make demo     the whole road on synthetic data, in a few minutes
# make test     the tests, in a few minutes on two cores
# make test-slow  the tests that take long: the demo and its figures, which way up networks begin, by seed, the road of
#               make results on synthetic data, the export of a student that ships, the web page in a browser, the pack
#               for a GPU, crowds of uploads, and the wheel
# make check    linters and types
# make docs     the documentation as a site in build/site; any warning is an error
# make results  every result from the corpus in data/corpus, in days; what is done stays done. On synthetic data, in
#               a minute or two: make results LIST=benchmarks/tiny/results.yaml
# make gpu-pack code and the corpus in data/corpus in one file of less than 64 MiB, for a GPU machine (docs/gpu.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIST ?= benchmarks/real/results.yaml
PACK ?= runs/gpu-pack
CORPUS ?= data/corpus
READY := $(VENV)/.ready

.PHONY: demo test test-slow check docs results gpu-pack install clean

demo: install
	$(BIN)/sordino demo

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=15

test-slow: install
	$(BIN)/python -m pytest -n 2 -m slow --durations=15

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

results: install
	$(BIN)/python benchmarks/results.py $(LIST)

gpu-pack: install
	$(BIN)/python benchmarks/gpu_pack.py $(PACK) --corpus $(CORPUS)

install: $(READY)

# torch first, so that what depends on it takes this one and looks no further.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("sordino needs Python 3.11 or newer: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist
