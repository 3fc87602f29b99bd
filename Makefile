# make demo and make test set themselves up; everything lives in .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup demo test check lint tables clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/vggbench params
	$(BIN)/vggbench eval D@random --width 0.0625 --data sample --limit 48 --scales 256 384 512 --dense --multicrop

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup
	$(BIN)/pytest

check: lint test

tables: setup
	$(BIN)/vggbench params --output tables/parameters.md
	$(BIN)/vggbench params --output tables/parameters.csv

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
