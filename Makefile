PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
STAMP := $(VENV)/.installed

.PHONY: demo test install lint docs linkcheck dist wheel-test bench bench-exactness soak peers test-peers browser-test clean

demo: $(CORE)
	$(BIN)/noisewalk demo --out demo

# Two processes of one thread each: the tests are many and small.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The page and the report in a real browser: Debian's chromium. Without one they are skipped, and say so.
browser-test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/app/test_serve.py tests/report/test_in_browser.py

install: $(STAMP)

# What the demo needs. The tests' packages and weights come on top.
$(CORE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $(CORE)

$(STAMP): $(CORE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/noisewalk priors get terrain128
	$(BIN)/noisewalk priors get faces64
	$(BIN)/noisewalk priors get lpips-alex
	$(BIN)/noisewalk priors get lpips-vgg
	touch $(STAMP)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint src/noisewalk

# The site, from the pages of docs/ and the notebooks, which are run. A warning or a wrong link is an error.
docs: $(CORE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html site build/site
	$(BIN)/python site/links.py build/site

# Whether the other hosts that the pages link to answer. Needs a network.
linkcheck: $(CORE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -q -b linkcheck -D nb_execution_mode=off site build/linkcheck

# The wheel and the source archive.
dist: install
	$(BIN)/python -m build --no-isolation --outdir dist .

# Builds them, installs the wheel in an empty environment elsewhere, and runs it there.
wheel-test: install
	$(BIN)/python .ci/wheel_test.py

DATA ?= /usr/share/datasets/fashion-mnist

PEERS := .venv-peers

# A second environment for benchmarks and tests against other libraries, which need torchvision: 5.5 GB, several minutes.
peers: $(PEERS)/.installed

$(PEERS)/.installed: constraints-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints-peers.txt torch torchvision
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints-peers.txt azula deepinv lpips torch-fidelity open-clip-torch pytest
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints-peers.txt --editable '.[features,arviz]'
	$(PEERS)/bin/noisewalk priors get lpips-alex
	$(PEERS)/bin/noisewalk priors get lpips-vgg
	touch $@

test-peers: peers
	$(PEERS)/bin/python -m pytest tests/operators/test_deepinv.py tests/evaluate/metrics

bench: install
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/quality.py --images $(DATA)/t10k-images-idx3-ubyte.gz
	$(BIN)/python benchmarks/prior_quality.py --student fashion32 --teacher fashion32-edm --train $(DATA)/train-images-idx3-ubyte.gz --test $(DATA)/t10k-images-idx3-ubyte.gz

bench-exactness: install peers
	$(BIN)/python benchmarks/exactness.py gaussian
	$(BIN)/python benchmarks/exactness.py warp
	$(BIN)/python benchmarks/exactness.py mixture --out benchmarks/mixture.json
	$(PEERS)/bin/python benchmarks/peers.py --out benchmarks/peers.json

# The slow tests. NOISEWALK_KILLS is the number of processes that are killed, 100 unless given.
soak: install
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) dist build
