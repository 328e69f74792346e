# Everything runs from .venv, which is made on first use and updated when pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One stamp for each extra, named after the content of pyproject.toml: a newer date alone installs nothing.
SUM := $(firstword $(shell cksum < pyproject.toml))
RUN := $(VENV)/run-$(SUM)
DEV := $(VENV)/dev-$(SUM)
E2E := $(VENV)/e2e-$(SUM)
FUZZ := $(VENV)/fuzz-$(SUM)
RELEASE := $(VENV)/release-$(SUM)

# Tests in these folders start real programs; the others are the unit tests.
SLOW_FOLDERS := tests/system tests/e2e tests/apps tests/conformance tests/faults

# What ruff's ASYNC rules lack: cancellation swallowed, await in finally, yield inside a nursery.
FLAKE8_ASYNC := ASYNC100,ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC113,ASYNC119

# It takes 0.2 to 0.8 s a file, so it is given those alone in which it may find something, and that
# have changed since all were found to be good.
ASYNC_WORDS := async |await |BaseException|Cancelled|except:
ASYNC_GOOD := $(VENV)/async-$(firstword $(shell cat pyproject.toml Makefile | cksum))

PY_FILES := find . -name '*.py' -not -path './.*' -not -path './build/*' -not -path '*/node_modules/*'

PYTEST := $(BIN)/python -bb -m pytest

.PHONY: demo check test apps busy lint unit lowest pythons format bench compare conformance fuzz references line long-line lines soak watch coverage release screenshots

# Shares the app on TARGET, or a small one of our own, until Ctrl-C; LAN=1: in this network, too.
# While Python itself starts, a Ctrl-C would be a traceback: it counts from the demo's first line on.
demo: $(RUN)
	@trap '' INT; $(BIN)/python examples/demo.py $(if $(LAN),--lan) $(TARGET)

check: lint unit  ## what every commit passes, in less than 90 s

test: lint $(E2E)  ## check and everything else
	$(PYTEST) --ignore=tests/apps

# In environments of their own, in .venv-apps: what they ask for cannot stand beside ours. The first
# test of an environment installs it, and may take 600 s: that is no news for faulthandler.
apps: $(DEV) $(E2E)  ## apps and clients that nobody here wrote; ten minutes
	$(PYTEST) tests/apps -o faulthandler_timeout=590

# What fails here and not in `make test` waits for the wrong thing. faulthandler only prints.
busy: $(DEV) $(E2E)  ## everything beside four endless loops, with limits three times as long; half an hour
	$(BIN)/python -m tests.tools.busy $(PYTEST) --ignore=tests/apps -o faulthandler_timeout=174

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@touch $(ASYNC_GOOD).new
	$(PY_FILES) $(if $(wildcard $(ASYNC_GOOD)),-newer $(ASYNC_GOOD)) -print0 | \
	  xargs -0 -r grep --null -lE '$(ASYNC_WORDS)' | \
	  xargs -0 -r -P 0 -n 10 $(BIN)/python -m flake8_async --enable=$(FLAKE8_ASYNC)
	@mv $(ASYNC_GOOD).new $(ASYNC_GOOD)
	$(BIN)/mypy

UNIT := $(addprefix --ignore=,$(SLOW_FOLDERS))

unit: $(DEV)
	$(PYTEST) -n auto $(UNIT) -m "not slow and not alone"
	$(PYTEST) $$(grep -rl --include='*.py' 'mark\.alone' tests) -m "alone and not slow"

# The newest are what a new .venv has.
lowest:  ## the unit tests with the lowest versions that pyproject.toml allows, in a .venv of their own
	@mkdir -p build
	@$(PYTHON) -m tests.tools.lowest > build/lowest.txt
	PIP_CONSTRAINT=$(CURDIR)/build/lowest.txt $(MAKE) unit VENV=.venv-lowest

# pyenv's count. Its shim of a version that is not chosen answers, but runs nothing.
pythons:  ## the unit tests by each newer Python that is found here, in a .venv of its own
	@for version in 3.12 3.13; do \
	  for found in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python none; do \
	    "$$found" -c '' 2>/dev/null && break; \
	  done; \
	  if [ "$$found" = none ]; then echo "Python $$version: not found, not tried"; \
	  else $(MAKE) unit PYTHON="$$found" VENV=.venv-$$version || exit 1; fi; \
	done

watch: $(DEV)  ## runs the unit tests that a change concerns, each time a file is saved
	@$(BIN)/python -m tests.tools.watch

coverage: $(DEV)  ## which lines and branches of ours no unit test runs
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q $(UNIT) -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# Each is installed where nothing else is, by what an installer takes from the index.
release: $(RELEASE)  ## sdist and wheel in dist/, each installed anew and asked for its version; uploads nothing
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	@for made in dist/*.whl dist/*.tar.gz; do \
	  rm -rf dist/installed && $(PYTHON) -m venv dist/installed && \
	  dist/installed/bin/pip install --quiet $$made && \
	  (cd dist/installed && bin/tunnel-server --version && bin/tunnel-client --version) || exit 1; \
	done
	@rm -rf dist/installed; ls -l dist

screenshots: $(DEV) $(E2E)  ## the README's pictures, in docs/pictures; look at them
	$(BIN)/python -m tests.tools.screenshots

# What takes too long for every commit: Autobahn's cases 9, 12 and 13.
conformance: $(DEV) $(E2E)
	AUTOBAHN_CASES='9.* 12.* 13.*' $(PYTEST) -s tests/conformance/test_autobahn.py

# The tables of docs/conformance.md: nginx, HAProxy and Caddy go through the same cases.
references: $(DEV)
	$(BIN)/python -m tests.conformance.references

# The fuzz targets by coverage, each for SECONDS; TARGET=bodies for one. docs/fuzzing.md says more.
SECONDS ?= 60
FUZZED = $(or $(TARGET),$(shell $(BIN)/python -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)'))
fuzz: $(DEV) $(FUZZ)
	@for target in $(FUZZED); do $(BIN)/python -m tests.fuzz $$target $(SECONDS) || exit 1; done

# Answers of apps, as they are read here, by http.client and by curl; SECONDS, and SEED=2 for others.
compare: $(DEV)
	$(BIN)/python -m tests.fuzz.compared_answers $(SECONDS) $(SEED)

# How quick small things stay beside downloads on a slow line; as root, a minute.
line: $(DEV)
	$(BIN)/python -m tests.faults.slow_line 40 10 20

# How much of a fast and long line one stream fills; as root, a minute.
long-line: $(DEV)
	$(BIN)/python -m tests.faults.long_line 100 100 10

# Wi-Fi, mobile, changing and lossy lines, in shares of a plain connection; as root, an hour and more.
# ROWS=jitter for some, RULE=name for a rule of tests/faults/lines/rules.py, ROUNDS=9 for more pairs.
RULE ?= landed
lines: $(DEV)
	$(BIN)/python -m tests.faults.lines --rows '$(ROWS)' --rule $(RULE) $(if $(ROUNDS),--rounds $(ROUNDS))

# 10 GB through capture, which may take no more memory than 1 GB does; then faults at random under a
# load, without root, which fails if something was lost that no fault allows.
MINUTES ?= 20
SEED ?= 1
soak: $(DEV)
	$(BIN)/python -m tests.tunnel_client.inspector.capture.traffic 32 10000
	$(BIN)/python -m tests.faults.soak $(MINUTES) $(SEED)

# The table of benchmarks/README.md; ARGS="--rounds 2 --measures gets" for a part of it.
bench: $(DEV) | benchmarks/peers/node_modules
	$(BIN)/python -m benchmarks $(ARGS)

# A peer that cannot be installed is named by the benchmark, and skipped.
benchmarks/peers/node_modules:
	-cd benchmarks/peers && npm ci --ignore-scripts

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(RUN): | $(BIN)/python
	@rm -f $(VENV)/run-*
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV) $(E2E) $(FUZZ) $(RELEASE): $(VENV)/%-$(SUM): | $(BIN)/python
	@rm -f $(VENV)/$*-*
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

# Debian's python3 has the venv module but not ensurepip, so both are asked for.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'This needs Python 3.11 or newer, such as: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'Python cannot make a virtual environment here: sudo apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
