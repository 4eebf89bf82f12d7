# make demo, make test: each works alone on a fresh machine (Python 3.11 or later; root or sudo for the system's packages).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test lint bench conformance samples docs clean

# The virtual environment, with the project and what its checks need.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev --editable .
	$(BIN)/python -m compileall -q auditor
	touch $@

# tshark brings dumpcap, which captures live. Nothing but live capture and cross-checks needs it.
.PHONY: system
system:
	@command -v tshark >/dev/null 2>&1 || { command -v apt-get >/dev/null 2>&1 && \
	  { $(SUDO) apt-get update -qq; $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tshark >/dev/null; }; } \
	  || echo "tshark is not installed: live capture and cross-checks will be skipped"

# The report is tested in a real browser.
.PHONY: browser
browser:
	@command -v chromium >/dev/null 2>&1 || { command -v apt-get >/dev/null 2>&1 && \
	  { $(SUDO) apt-get update -qq; $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; } \
	  || echo "chromium is not installed: tests of the report in a browser will be skipped"

demo: $(VENV)/ready system
	@$(BIN)/audit pcap captures/office.pcapng --topology captures/site.toml --out results/demo
	@$(BIN)/audit report results/demo
	@echo "The tables are in results/demo; notebooks/quickstart.ipynb shows what to do with them."

test: $(VENV)/ready system browser lint
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks.run

# Other tools' answers on the public corpus (AUDITOR_CORPUS): cells compared, equal, explained, wrong.
conformance: $(VENV)/ready
	$(BIN)/python -m tests.conformance

# Made again from scratch: samples have new keys each time.
samples: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable ".[samples]"
	$(BIN)/python captures/make_samples.py

docs: $(VENV)/ready
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) results dist build .mypy_cache .ruff_cache .pytest_cache
