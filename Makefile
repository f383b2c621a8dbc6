# Two commands: `make demo` shows what it does, `make test` runs every check. Both set up everything.

PYTHON ?= $(shell for v in python3.11 python3.12 python3.13 python3; do \
	command -v $$v >/dev/null && $$v -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v $$v; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AUDIT := demo.db

.PHONY: demo test lint types house tests coverage docs clean setup

# Hundreds of processes start in the tests: without bytecode each would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "onpurpose needs Python 3.11 or newer with venv: apt install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "installing what onpurpose stands on into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	@BIN=$(BIN) AUDIT=$(AUDIT) CASES="$(CASES)" sh examples/demo.sh

test: lint types house docs coverage

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples

types: $(READY)
	$(BIN)/mypy

house: $(READY)
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -d $(VENV)/site

# The whole suite, its coverage measured; core and lang must be covered to the last branch. Three runs side by side,
# of about as much work: tests of browsers and of processes mostly wait. What two of them print is shown in the end.
# Not traced are the tests that run the product in other processes, which coverage does not see, and the laws of the
# decision, which reach nothing that the tables do not: to trace a law takes as long again as to try it.
TRACED := $(BIN)/python -m coverage run -m pytest
PAGES := tests/browser tests/demo tests/adapters tests/mail tests/slack tests/transcripts tests/webhook
UNTRACED := tests/service tests/core/test_purposes_laws.py tests/core/test_theorem.py
BESIDE := tests/server tests/agents tests/cli tests/docs tests/ledger

coverage: $(READY)
	@rm -f .coverage .coverage.*
	@$(TRACED) $(PAGES) >$(VENV)/pages.log 2>&1 & pages=$$!; \
	{ $(BIN)/python -m pytest $(UNTRACED); untraced=$$?; $(TRACED) $(BESIDE) && test $$untraced -eq 0; } \
		>$(VENV)/beside.log 2>&1 & beside=$$!; \
	$(TRACED) $(addprefix --ignore=,$(PAGES) $(UNTRACED) $(BESIDE)); rest=$$?; \
	wait $$pages; pages=$$?; wait $$beside; beside=$$?; cat $(VENV)/pages.log $(VENV)/beside.log; \
	test $$rest -eq 0 -a $$pages -eq 0 -a $$beside -eq 0
	@$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report --include='src/onpurpose/core/*,src/onpurpose/lang/*' --fail-under=100
	@$(BIN)/python -m coverage report | tail -n 1

clean:
	rm -rf $(VENV) .coverage .coverage.* site $(AUDIT)*
