# make demo, make test: each works alone on a fresh machine (Python 3.11 or later; root or sudo for the system's packages).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that tests run in, each file's in one: files that take longest first (tests/conftest.py), not those of most tests.
# One more than the cores that continuous integration has: tests wait for other programs for a quarter of their time.
TESTERS := 3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test lint bench conformance samples lock sbom docs images clean

# The virtual environment, with the project and what its checks need. LOCKED=1, for continuous integration and releases: just
# the versions of requirements/dev.txt, each file by its hash.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
ifdef LOCKED
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
else
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev --editable .
endif
	$(BIN)/python -m compileall -q auditor
	touch $@

# $(call install,PROGRAM:PACKAGE …): the packages of the programs that are not there.
define install
@missing=; for one in $(1); do command -v $${one%%:*} >/dev/null 2>&1 || missing="$$missing $${one##*:}"; done; \
  [ -z "$$missing" ] || { command -v apt-get >/dev/null 2>&1 && $(SUDO) apt-get update -qq && \
    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || \
  echo "not installed:$$missing"
endef

# tshark brings dumpcap, which captures live. Nothing but live capture, requests inside TLS and cross-checks needs it.
.PHONY: system
system:
	$(call install,tshark:tshark)

# Other ways to capture, other TLS clients, a browser for the report, and what reads it as it is printed.
.PHONY: programs
programs:
	$(call install,tshark:tshark tcpdump:tcpdump openssl:openssl gnutls-cli:gnutls-bin curl:curl chromium:chromium pdftotext:poppler-utils)

demo: $(VENV)/ready system
	@$(BIN)/audit pcap captures/office.pcapng --topology captures/site.toml --out results/demo
	@$(BIN)/audit report results/demo
	@echo "The tables are in results/demo; notebooks/quickstart.ipynb shows what to do with them."

test: $(VENV)/ready programs lint
	$(BIN)/python -m pytest --only-listed-skips -n $(TESTERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks.run

# Inputs made wrong for hours: half of them by structure, half guided by coverage where atheris can be installed. What
# crashes is kept in tests/fuzz/kept, and tested from then on.
HOURS ?= 2
.PHONY: fuzz
fuzz: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --group fuzz || echo "atheris cannot be installed here"
	nice $(BIN)/python -m tests.fuzz --minutes $$(( $(HOURS) * 30 ))
	nice $(BIN)/python -m tests.fuzz.guided --minutes $$(( $(HOURS) * 30 ))

# How the cost grows with each thing that an adversary may put into an input.
.PHONY: growth
growth: $(VENV)/ready
	$(BIN)/python -m benchmarks.growth

# Other tools' answers on the public corpus (AUDITOR_CORPUS): cells compared, equal, explained, wrong. With TSHARK=PROGRAM, what
# that tshark says of the same captures (the corpus has the answers of 4.0; Wireshark 4.4 and later dissect more).
conformance: $(VENV)/ready
	$(BIN)/python -m tests.conformance $(if $(TSHARK),--tshark $(TSHARK))

# Made again from scratch: samples have new keys each time.
samples: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable ".[samples]"
	$(BIN)/python captures/make_samples.py
	$(BIN)/python captures/make_stories.py

# What requirements/ locks, from whatever index is configured for uv; it names none.
lock: $(VENV)/ready
	$(BIN)/python -m pip install --quiet uv
	for one in "run" "dev --group dev"; do set -- $$one; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-header \
	    $${2:+$$2 $$3} --output-file requirements/$$1.txt pyproject.toml || exit 1; done

# A release: the wheel and its bill of materials, from locked packages (LOCKED=1).
sbom: $(VENV)/ready
	rm -rf dist
	$(BIN)/python -m build --quiet --wheel --no-isolation --outdir dist
	$(BIN)/python requirements/sbom.py dist/*.whl > dist/sbom.cdx.json

docs: $(VENV)/ready
	$(BIN)/python docs/generate.py

# The pictures of the README: pages of the samples, as Chromium shows them.
images: $(VENV)/ready programs
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf $(VENV) results dist build .mypy_cache .ruff_cache .pytest_cache
