PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test install lint bench soak clean

demo: install
	$(BIN)/noisewalk demo --out demo

test: install
	$(BIN)/python -m pytest

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/noisewalk priors get terrain128
	$(BIN)/noisewalk priors get faces64
	touch $(STAMP)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint src/noisewalk

DATA ?= /usr/share/datasets/fashion-mnist

bench: install
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/quality.py --images $(DATA)/t10k-images-idx3-ubyte.gz
	$(BIN)/python benchmarks/prior_quality.py --student fashion32 --teacher fashion32-edm --train $(DATA)/train-images-idx3-ubyte.gz --test $(DATA)/t10k-images-idx3-ubyte.gz

soak: install
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV)
