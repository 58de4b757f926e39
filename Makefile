# Needs Python >= 3.11 and make, nothing else. Everything it makes stays in this folder.

AIRFLOW = 3.3
PYTHON ?=
ARGS =

CONSTRAINTS_3.3 = constraints.txt
CONSTRAINTS_3.1 = constraints-3.1.txt
CONSTRAINTS = $(CONSTRAINTS_$(AIRFLOW))
ENVIRONMENT = .venv/airflow-$(AIRFLOW)
PY = $(ENVIRONMENT)/bin/python
SOURCES = airflow_provider_looker_segment dags tests docs benchmarks .ci
# The stamp carries the folder's name: a moved or copied checkout makes its own environments.
STAMP := ready-$(shell pwd | cksum | tr ' ' '-')
READY = $(ENVIRONMENT)/$(STAMP)

# pip asks rustc for its version, and rustup's stand-in for rustc writes a file when asked.
export RUSTUP_HOME := $(CURDIR)/.venv/rustup
export PIP_CACHE_DIR := $(CURDIR)/.venv/cache/pip
export UV_CACHE_DIR := $(CURDIR)/.venv/cache/uv
export UV_PYTHON_DOWNLOADS := never
# Who signs for the registry may be known to this machine only; pip asks it, too.
export UV_SYSTEM_CERTS := true
export XDG_CACHE_HOME := $(CURDIR)/.venv/cache
export XDG_CONFIG_HOME := $(CURDIR)/.venv/config
export XDG_DATA_HOME := $(CURDIR)/.venv/data
export TMPDIR := $(CURDIR)/.venv/tmp
export AIRFLOW_HOME := $(CURDIR)/.venv/airflow-home
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport CONDA_PREFIX PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV

.PHONY: help demo ui sandbox test test-all e2e fuzz bench scale lint types docs wheel constraints clean
.DEFAULT_GOAL := help

help: ## print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' Makefile | awk -F'\t' '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo
	@echo 'AIRFLOW=3.1 chooses the oldest supported Airflow, PYTHON=... an interpreter,'
	@echo 'ARGS="..." adds arguments to pytest (test, test-all), bench, scale, sandbox or ui.'

demo: .venv/airflow-3.3/$(STAMP) ## send a Look to Segment through a real Airflow, between local stand-ins
	@.venv/airflow-3.3/bin/python -m airflow_provider_looker_segment.sandbox.demo

ui: $(READY) ## open a whole Airflow between local stand-ins, with its web pages, until Ctrl-C
	@$(PY) -m airflow_provider_looker_segment.sandbox.ui $(ARGS)

sandbox: $(READY) ## serve the stand-ins for Looker and Segment until Ctrl-C
	@$(PY) -m airflow_provider_looker_segment.sandbox $(ARGS)

test: $(READY) ## run the test-suite without its slow part
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

test-all: $(READY) ## run the whole test-suite
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

e2e: $(READY) ## let a headless Chromium do what a person does in the browser, and take pictures
	@sh .ci/e2e $(ENVIRONMENT) $(CONSTRAINTS) $(ARGS)

fuzz: $(READY) ## fuzz the parser of Looker's results for a minute
	$(PY) -m tests.fuzz_rows $(ARGS)

bench: $(READY) ## measure what it costs beside what a user would use instead; ARGS=--full for all sizes
	$(PY) -m benchmarks $(ARGS)

scale: .venv/scale-3.3/$(STAMP) ## kill workers on Postgres, Redis and Celery; ARGS="--rows 1000000" for more rows
	.venv/scale-3.3/bin/python -m benchmarks.scale $(ARGS)

lint: $(READY) ## check style, spelling, docstrings and data files
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(ENVIRONMENT)/bin/codespell $(SOURCES) README.md CHANGELOG.md Makefile setup.cfg
	$(PY) -m interrogate --quiet airflow_provider_looker_segment dags tests
	$(PY) -m check_jsonschema --quiet --check-metaschema airflow_provider_looker_segment/data/schemas/*.json
	$(PY) -m check_jsonschema --quiet --schemafile airflow_provider_looker_segment/data/schemas/destinations.schema.json airflow_provider_looker_segment/data/destinations.json

types: $(READY) ## check types, strictly
	$(PY) -m mypy

docs: $(READY) ## build the documentation into docs/_build/html and run the examples in docstrings
	$(PY) -m sphinx -n -W --keep-going -q -b html docs docs/_build/html
	$(PY) -m pytest -q --doctest-modules airflow_provider_looker_segment

wheel: $(READY) ## build the wheel and try it in an empty environment
	@sh .ci/wheel $(ENVIRONMENT) $(CONSTRAINTS)

constraints: .venv/airflow-3.3/$(STAMP) ## pin again what setup.cfg asks for; existing pins that fit are kept
	@sh .ci/pin constraints.txt 3.3
	@sh .ci/pin constraints-3.1.txt 3.1

clean: ## remove everything that make has made
	rm -rf .venv .demo .ui benchmarks/results build dist docs/_build *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find airflow_provider_looker_segment dags tests docs benchmarks -name __pycache__ -prune -exec rm -rf {} +

.venv/airflow-3.3/$(STAMP): setup.cfg $(CONSTRAINTS_3.3)
	@PYTHON="$(PYTHON)" sh .ci/environment .venv/airflow-3.3 $(CONSTRAINTS_3.3) $@

.venv/scale-3.3/$(STAMP): setup.cfg $(CONSTRAINTS_3.3)
	@PYTHON="$(PYTHON)" sh .ci/environment .venv/scale-3.3 $(CONSTRAINTS_3.3) $@ dev,scale

.venv/airflow-3.1/$(STAMP): setup.cfg $(CONSTRAINTS_3.1)
	@PYTHON="$(PYTHON)" sh .ci/environment .venv/airflow-3.1 $(CONSTRAINTS_3.1) $@
