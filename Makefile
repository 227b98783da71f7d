# The two commands of the README are `make demo` and `make test`; each makes its own virtual environment.
PYTHON ?= python3
VENV ?= .venv
PYTEST ?= -n auto
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo demo-teams test test-faults test-faults-nightly test-histories eval pictures lint format install bench lab clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not ((3,11) <= sys.version_info[:2] <= (3,13)))' || \
	  { echo "Gatehouse needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/gatehouse demo $(DEMO)

# The same company with a local Microsoft Teams beside the Slack.
demo-teams: $(STAMP)
	$(BIN)/gatehouse demo --teams $(DEMO)

# Everything CI checks: lint, types, import rules, then the tests.
test: lint
	@command -v chromium >/dev/null || \
	  echo "note: no Chromium found, so the browser tests are left out; Debian: apt-get install chromium fonts-noto-color-emoji"
	$(BIN)/python -m pytest $(PYTEST)

# Every call of the approval loop fails once in every way: docs/reliability.md.
test-faults: $(STAMP)
	$(BIN)/python -m tests.faults.everything $(FAULTS)

# The same with a real process and SIGKILL at each call, on SQLite and on PostgreSQL. KILLS="--sample 100 --database sqlite"
test-faults-nightly: $(STAMP)
	$(BIN)/python -m tests.faults.sigkill $(KILLS)

# Two real replicas under attack, judged offline: docs/reliability.md. HISTORIES="--rounds 50 --seconds 30 --keep FOLDER"
test-histories: $(STAMP)
	$(BIN)/python -m tests.histories.run $(HISTORIES)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Figures of docs/performance.md; N findings (default 100000).
bench: $(STAMP)
	$(BIN)/python -m tests.bench.ingest $(BENCH)

# The main cards on both platforms: docs/cards. PICTURES="new fixed"
pictures: $(STAMP)
	$(BIN)/python -m tests.tools.pictures $(PICTURES)

# Questions about posture, scored: docs/ask.md. EVAL="--questions FILE"
eval: $(STAMP)
	$(BIN)/python -m tests.bench.eval $(EVAL)

# All playbooks against the real scanner: docs/playbooks.md.
lab: $(STAMP)
	$(BIN)/python -m tests.lab.scan $(LAB)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache build dist *.egg-info
