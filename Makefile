# Needs make and Python 3.11 or newer; everything else is installed into .venv with the pins of constraints.txt.
#   make PYTHON=python3.12 …            another interpreter
#   make test PYTEST_ARGS='-k lanczos'  further arguments for pytest

PYTHON ?= python3
PYTEST_ARGS ?=
OUT ?= results/quickstart

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PINS := pyproject.toml constraints.txt

# A set of extras is installed once, and again when the pins change; each stamp marks one set.
BASE := $(VENV)/.installed
TEST := $(VENV)/.installed-test
LINT := $(VENV)/.installed-lint
DOCS := $(VENV)/.installed-docs
BENCH := $(VENV)/.installed-bench

# Two pips must never write into one environment at the same time.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help quickstart test attack test-browser test-commands test-processors test-processors-short lint docs bench bench-coverage bench-journal bench-memory bench-peers bench-restart bench-scaling bench-warm faults bench-planes theory-table class-tables emergence-tables hyperplane-tables goldilocks-tables picture release-check clean

help:
	@echo "make quickstart    train a small network, measure its Hessian spectrum, print where the page is"
	@echo "make test          run the tests (PYTEST_ARGS='…' is passed on), without those that need a browser"
	@echo "make test-browser  open the page in headless Chromium and check it"
	@echo "make attack        what hostile files, other users, kills and full disks may do, some minutes; best as root"
	@echo "make test-commands whole programs, some minutes: blocks of README and start page, jobs of a service, a lost node"
	@echo "make test-processors tests of the numerics under the kernels that other processors run, about half an hour"
	@echo "make test-processors-short two such settings, a part of the tests, under 3 minutes"
	@echo "make lint          ruff, mypy and the import contracts"
	@echo "make docs          build the documentation into docs/_build/html"
	@echo "make bench         cost of a product in gradients, beside a peer and over Ray workers (Markdown)"
	@echo "make bench-coverage  how often intervals of the estimators hold the truth, 20,000 dimensions (Markdown)"
	@echo "make bench-journal what the journal of a Lanczos step costs beside the step, on resnet20 (Markdown)"
	@echo "make bench-memory  resident memory of each process while 1 GB is imported and measured (Markdown)"
	@echo "make bench-peers   eigenpairs and a density beside other packages, in gradient passes (Markdown)"
	@echo "make bench-restart products and memory of the eigenpairs with 15 vectors at most, and with all (Markdown)"
	@echo "make bench-scaling memory by number of workers, cost of checkpoints and of a pass beside its arithmetic"
	@echo "make bench-warm    products of the eigenpairs of 20 checkpoints, cold and from those of the one before (Markdown)"
	@echo "make faults        kill, stop, starve and cut off whole runs at random moments; are their numbers the same?"
	@echo "make bench-planes  products with random planes, packed trainings and the digits sweep (Markdown)"
	@echo "make theory-table  the tables of docs/theory.md: formulas beside simulations"
	@echo "make emergence-tables  runs, verdicts and figure of docs/results-emergence.md: hours"
	@echo "make hyperplane-tables runs, tables and figure of docs/results-hyperplane.md: hours"
	@echo "make goldilocks-tables runs, tables and figure of docs/results-goldilocks.md: hours"
	@echo "make class-tables  the tables of docs/results-classes.md: class geometry of small networks"
	@echo "make picture       measure and draw the picture of the README anew"
	@echo "make release-check build wheel and sdist, install each into a clean environment, run the quickstart there"
	@echo "make clean         remove .venv, caches and built documentation; results/ is kept"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "distlandscape needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name a newer one, for example: make PYTHON=python3.12 $(or $(MAKECMDGOALS),quickstart)" >&2; \
	  exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(BASE): $(PINS) | $(VENV)/pyvenv.cfg
	@echo "Installing distlandscape and what it runs on (some minutes the first time)"
	@$(PIP) -e .
	@touch $@

$(TEST): $(BASE)
	@echo "Installing what the tests need"
	@$(PIP) -e '.[test]'
	@touch $@

$(LINT): $(BASE)
	@echo "Installing what the lint step needs"
	@$(PIP) -e '.[lint]'
	@touch $@

$(DOCS): $(BASE)
	@echo "Installing what the documentation needs"
	@$(PIP) -e '.[docs]'
	@touch $@

$(BENCH): $(TEST)
	@echo "Installing the packages to measure beside"
	@$(PIP) -e '.[bench]'
	@touch $@

quickstart: $(BASE)
	$(BIN)/distlandscape quickstart --out $(OUT)

# Tests that start a Ray mostly wait, and share one: they run in a process of their own beside the others.
# 5 is pytest's word for "no test was chosen", which PYTEST_ARGS may do to one of the two.
test: $(TEST)
	@$(BIN)/python -m pytest --durations=15 -m "ray and not browser and not commands and not attack" $(PYTEST_ARGS) > .pytest-ray.log 2>&1 & beside=$$!; \
	$(BIN)/python -m pytest --durations=15 -n 2 --dist loadgroup -m "not ray and not browser and not commands and not attack" $(PYTEST_ARGS); first=$$?; \
	wait $$beside; second=$$?; cat .pytest-ray.log; rm -f .pytest-ray.log; \
	for code in $$first $$second; do case $$code in 0|5) ;; *) exit $$code ;; esac; done

# CHROMIUM may name the browser; otherwise the first one found on the path is handed to the tests.
test-browser: $(TEST)
	@browser="$${CHROMIUM:-$$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"; \
	if [ -z "$$browser" ]; then \
	  echo "No Chromium was found. Install one (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM=/its/path." >&2; \
	  exit 1; \
	fi; \
	CHROMIUM="$$browser" $(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

test-commands: $(TEST)
	$(BIN)/python -m pytest -n 0 -m commands $(PYTEST_ARGS)

# As root the tests that need another user or a disk of their own run too; the others are skipped and named.
attack: $(TEST)
	$(BIN)/python -m pytest -n 0 -rs tests/security $(PYTEST_ARGS)

test-processors: $(TEST)
	$(BIN)/python -m tests.processors

test-processors-short: $(TEST)
	$(BIN)/python -m tests.processors --short

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "Built docs/_build/html/index.html"

bench: $(TEST)
	$(BIN)/python tests/benchmarks/bench.py

bench-coverage: $(TEST)
	$(BIN)/python -m tests.benchmarks.coverage

bench-journal: $(TEST)
	$(BIN)/python -m tests.benchmarks.journal

bench-memory: $(TEST)
	$(BIN)/python -m tests.benchmarks.memory

bench-peers: $(BENCH)
	$(BIN)/python -m tests.benchmarks.peers

bench-restart: $(TEST)
	$(BIN)/python -m tests.benchmarks.thick_restart

bench-scaling: $(TEST)
	$(BIN)/python -m tests.benchmarks.scaling

bench-warm: $(TEST)
	$(BIN)/python -m tests.benchmarks.warm_start

faults: $(TEST)
	$(BIN)/python -m tests.faults

bench-planes: $(TEST)
	$(BIN)/python -m tests.benchmarks.planes

theory-table: $(TEST)
	$(BIN)/python -m tests.benchmarks.theory

emergence-tables: $(TEST)
	$(BIN)/python -m tests.benchmarks.emergence results/emergence
	$(BIN)/python -m tests.benchmarks.emergence results/emergence --tables results/emergence/emergence.png

hyperplane-tables: $(TEST)
	$(BIN)/python -m tests.benchmarks.hyperplane results/hyperplane
	$(BIN)/python -m tests.benchmarks.hyperplane results/hyperplane --tables results/hyperplane/hyperplane.png

goldilocks-tables: $(TEST)
	$(BIN)/python -m tests.benchmarks.goldilocks results/goldilocks
	$(BIN)/python -m tests.benchmarks.goldilocks results/goldilocks --tables results/goldilocks/goldilocks.png

class-tables: $(TEST)
	$(BIN)/python -m tests.benchmarks.classes

picture: $(BASE)
	@out=$$(mktemp -d) && $(BIN)/distlandscape quickstart --out "$$out" && \
	cp "$$out"/quickstart-*/figures/density.png docs/_static/spectrum.png; code=$$?; rm -rf "$$out"; exit $$code

# In environments of its own, below a temporary folder; nothing is installed into .venv.
release-check:
	PYTHON="$(PYTHON)" sh tests/release.sh

clean:
	rm -rf $(VENV) build dist docs/_build docs/jupyter_execute
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find distlandscape tests -name __pycache__ -type d -prune -exec rm -rf {} +
