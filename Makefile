# Each target makes what it needs, the virtual environment included, and is quick if it is there.
PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 3000
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
SPARK  := $(VENV)/.installed-spark
MODELS := dbt_project/target/manifest.json
UV     := uv==0.13.9
CHECKOV := checkov==3.3.30
# Hadoop's S3A file system, which only a laptop's Spark lacks; its other dependencies are an older Spark's
S3A    := sagemaker-pyspark==1.4.5
LIGHT  := dbt reports datadog ml tableau snowflake local test lint

.DEFAULT_GOAL := help
.PHONY: help extract dev up down models test test-s3 browser java spark bench lint format pins

help:            ## show this list
	@grep -hE '^[a-z0-9-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

extract: $(MODELS) up ## fetch the latest closed hour into PostgreSQL and S3, and build the models
	@$(BIN)/fin-lake extract

dev: $(MODELS) up ## open Dagster's UI, with daemon, on http://127.0.0.1:$(PORT)
	@eval "$$($(BIN)/fin-lake env)" && exec $(BIN)/fin-lake dev -p $(PORT)

up: $(READY)     ## start the local stack: PostgreSQL, S3, Athena, market replay
	@$(BIN)/fin-lake up

down: $(READY)   ## stop the local stack; its data stays in .fin_lake/
	@$(BIN)/fin-lake down

test: $(MODELS) $(SPARK) browser java ## run every test, against a stack of its own
	@$(BIN)/python -m pytest

test-s3: $(READY) ## try the bucket, from credentials to clean-up: the account's, or the local stack's
	@profile="$$($(BIN)/python -c 'from fin_lake.settings import load_settings as s; print(s().profile)' 2>/dev/null)"; \
		test "$$profile" != local || $(BIN)/fin-lake up
	@$(BIN)/python scripts/test_s3_integration.py

bench: $(MODELS) $(SPARK) java ## measure speed and memory, as ratios to the bare work
	@$(BIN)/python -m fin_lake_tests.bench.extract
	@$(BIN)/python -m fin_lake_tests.bench.analytics
	@$(BIN)/python -m fin_lake_tests.bench.indicators
	@$(BIN)/python -m fin_lake_tests.bench.automation
	@$(BIN)/python -m fin_lake_tests.bench.upload
	@$(BIN)/python -m fin_lake_tests.bench.spark

# the tests drive the UI in one; where it cannot be installed, they say so
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
		test "$$(id -u)" = 0 || exit 0; echo "installing Chromium, for the tests of the UI"; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null || true

spark: $(SPARK) java ## install Spark, for the tables that FIN_LAKE_SPARK_FROM_HOURS names

java:
	@command -v java >/dev/null && exit; test "$$(id -u)" = 0 || exit 0; echo "installing Java, for Spark"; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends openjdk-17-jre-headless >/dev/null || true

lint: $(MODELS) $(SPARK) ## check style, types, the account's template, and that Dagster loads the definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cd dbt_project && ../$(BIN)/sqlfluff lint --nocolor
	@$(BIN)/cfn-lint infrastructure/lake.yaml
	@$(BIN)/uv tool run --quiet --python $(BIN)/python --from $(CHECKOV) checkov --framework cloudformation \
		--skip-download --quiet --compact -f infrastructure/lake.yaml
	@$(BIN)/dagster definitions validate -w workspace.yaml --log-level warning

format: $(READY) ## put the code in order
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

$(READY): requirements.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fin_lake needs Python 3.11 or later; name one: make PYTHON=python3.11 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about half a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(SPARK): $(READY) requirements-spark.txt
	@echo "installing Spark into $(VENV) (about a minute)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-spark.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(S3A)
	@touch $@

models: $(MODELS) ## let dbt read its project again

$(MODELS): $(READY) $(shell find dbt_project -type f -not -path '*/target/*' -not -path '*/logs/*')
	@$(BIN)/python -m fin_lake.analytics.prepare
	@touch $@

pins: $(READY)   ## renew the requirements files from setup.cfg
	@$(BIN)/uv pip compile --quiet --upgrade setup.cfg $(LIGHT:%=--extra %) --no-annotate \
		--custom-compile-command "make pins" --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade setup.cfg --extra spark --constraint requirements.txt --no-annotate \
		--custom-compile-command "make pins" --output-file requirements-spark.txt
