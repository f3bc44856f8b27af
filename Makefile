# A machine with Python 3.11+ (venv module) and make is enough: everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet --quiet install

.PHONY: help demo quick test coverage test-slow test-lowest mutations lint schema release-check clean

help:
	@echo "make demo       try intctl on loopback providers; nothing outside this folder is touched"
	@echo "make quick      lint, and the tests that need no database and no process (seconds)"
	@echo "make test       the tests (PostgreSQL comes from a wheel)"
	@echo "make coverage   the tests with line and branch coverage"
	@echo "make test-slow  the long fuzz and chaos runs"
	@echo "make test-lowest  the tests with the lowest versions that pyproject.toml allows"
	@echo "make mutations  break the agent's protocol on purpose: each break must fail a test (ONLY=word)"
	@echo "make lint       ruff (rules and format), mypy --strict, the import contracts and the CI workflow"
	@echo "make schema     write schema.sql from the models and migrations"
	@echo "make release-check  compare version, changelog, tag, working tree and wheel"
	@echo "make clean      remove .venv and everything built"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "intctl requires Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(PY)
	@echo "Installing intctl ..."
	@$(PIP) -e '.[sandbox]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(PY)
	@echo "Installing intctl and the requirements of the tests ..."
	@$(PIP) -e '.[test,sandbox]'
	@touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/.test
	@echo "Installing the linters ..."
	@$(PIP) -e '.[test,sandbox,lint]'
	@touch $@

demo: $(VENV)/.demo
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" intctl sandbox run -- sh examples/demo.sh

# More workers than two cores, because many tests wait. The keyring's own tests must cover all of it.
PYTEST := -m pytest -n 4 --dist worksteal
test: $(VENV)/.test
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest tests/test_keyring.py >/dev/null
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --include=intctl/keyring.py --fail-under=100 >/dev/null \
	  || { echo "intctl/keyring.py must be covered to 100 %" >&2; exit 1; }
	@$(PY) $(PYTEST)

# These tests use no database and no process and wait for nothing, so two workers keep two cores busy. The tests of
# the JSON Schema are left out: they take as long as all others here.
QUICK := contrib health manifest providers render \
  $(addprefix metrics/test_,maintenance.py percentiles.py timeline.py) \
  $(addprefix probes/test_,guard.py masking.py sigv4.py texts.py trace.py) \
  $(addprefix test_,architecture.py commit_subjects.py docs.py imports.py keyring.py mutations.py release.py text.py)
quick: lint
	@$(PY) -m pytest -n 2 --dist worksteal $(addprefix tests/,$(QUICK)) --ignore tests/manifest/test_schema.py

coverage: $(VENV)/.test
	@$(PY) -m coverage erase
	@$(PY) -m coverage run $(PYTEST)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

test-slow: $(VENV)/.test
	@$(PY) -m pytest -m "slow or hypothesis" --hypothesis-profile=long

LOWEST := import tomllib; \
  wanted = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]; \
  print(*(one.replace(">=", "==") for one in wanted))
test-lowest:
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.test
	@.venv-lowest/bin/python -m pip --quiet --quiet install $$(.venv-lowest/bin/python -c '$(LOWEST)')
	@$(MAKE) --no-print-directory VENV=.venv-lowest test

mutations: $(VENV)/.test
	@$(PY) tests/mutate.py --only '$(ONLY)'

lint: $(VENV)/.lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

schema: $(VENV)/.test
	@$(PY) -m intctl.schema.ddl >schema.sql.new && mv schema.sql.new schema.sql

release-check: $(VENV)/.lint
	@$(PY) .ci/release_check.py $(TAG)

clean:
	@rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
