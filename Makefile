# make help lists the targets. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
STUDY ?= $(or $(SPARSITY_STUDY),tiny)
# 1.9.38 and 1.10.18 were tried; 1.9.38 fails where files come and go in cache/ while it looks there
QUARTO_CLI = 1.10.19

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet install
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export SPARSITY_STUDY := $(STUDY)
export SPARSITY_REHEARSE := $(or $(REHEARSE),$(SPARSITY_REHEARSE))

.DEFAULT_GOAL := help
.PHONY: help setup report preview test mutants torture bench check clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

setup: $(VENV)/.ready $(VENV)/bin/sparsity  ## make .venv with all that is needed; Quarto or the built-in renderer's parts

report: setup  ## run the study and render _output/report.html and .pdf (STUDY=name-or-path for another)
	@$(PY) -m analysis run
	@$(PY) -m analysis render

preview: setup $(VENV)/.builtin  ## show the page while report.qmd is written, each edit in seconds (STUDY=…; Ctrl-C ends it)
	@$(PY) -m analysis preview || [ $$? -eq 130 ]

test: setup $(VENV)/.builtin  ## run all tests, in two processes; the ten slowest are named
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

mutants: setup $(VENV)/.builtin  ## which small mistakes in the code do the tests find? (40 minutes)
	@$(PY) tests/mutants.py

torture: setup $(VENV)/.builtin  ## kill runs, damage the cache, mutate inputs: is all of it borne? (30 minutes; QUICK=1: 3)
	@$(PY) tests/torture.py $(if $(QUICK),--quick) $(ARGS)

bench: setup  ## measure against peers: a table here and benchmarks/results.json
	@$(PY) -m benchmarks

check: setup $(VENV)/.builtin  ## formatter, linter, types; changes nothing
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

clean:  ## remove outputs, cache and environment
	rm -rf _output $(VENV) .quarto .pytest_cache .mypy_cache .ruff_cache
	find cache -mindepth 1 ! -name .gitignore -delete

# what was left half-made is mended or made anew
define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is no Python 3.11 or later: name one, make setup PYTHON=python3.12" >&2; exit 2; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
		echo "$(PYTHON) cannot make $(VENV): install its venv (Debian: apt install python3-venv)," \
			"or name another, make setup PYTHON=python3.12" >&2; exit 2; }
endef

$(VENV)/.ready: requirements.lock requirements-builtin.lock requirements-fonts.lock
	$(environment)
	@echo "installing requirements.lock into $(VENV)"
	@$(PIP) -r requirements.lock
	@$(PIP) -r requirements-fonts.lock >/dev/null 2>&1 \
		|| echo "without requirements-fonts.lock: the PDF names what its fonts have not, as [U+4E2D]"
	@mkdir -p $(VENV)/etc/ipython
	@echo "c.IPKernelApp.log_level = 40  # Quarto prints the kernel's warnings" \
		> $(VENV)/etc/ipython/ipython_kernel_config.py
	@if quarto --version 2>/dev/null | grep -qE '^(1\.(9|[1-9][0-9])|[2-9])\.'; then \
		echo "renderer: Quarto, $$(command -v quarto)"; \
	elif $(PIP) quarto-cli==$(QUARTO_CLI) >/dev/null 2>&1 && quarto --version >/dev/null 2>&1; then \
		echo "renderer: Quarto $(QUARTO_CLI), installed from PyPI"; \
	else \
		echo "renderer: the built-in one, since Quarto 1.9 or later is not on PATH and cannot be had from PyPI here"; \
		$(MAKE) --no-print-directory $(VENV)/.builtin; \
	fi
	@touch $@

# the command of pyproject.toml, on the code of the folder where it is called, as python -m analysis
$(VENV)/bin/sparsity: | $(VENV)/.ready
	@printf '#!/bin/sh\nexec "$${0%%/*}/python" -m analysis "$$@"\n' > $@
	@chmod +x $@

$(VENV)/.builtin: requirements-builtin.lock
	$(environment)
	@$(PIP) -r requirements-builtin.lock
	@touch $@
