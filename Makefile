# make demo and make test set themselves up; everything lives in .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup demo test thorough check lint tables counted-tables docs-site pages figures dist sample-nets miniature probe caltech clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	touch $@

demo: setup
	$(BIN)/vggbench quickstart

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

test: setup
	$(BIN)/pytest

# Those that take seconds each, the pages among them.
thorough: setup
	$(BIN)/pytest -m thorough

check: lint test thorough docs-site dist

# The first four are counts and published figures, which a test compares with what is here; the sample takes half an hour.
tables: setup counted-tables
	for form in md csv; do $(BIN)/vggbench compare A A-LRN B C D E --data sample --scales 256 384 512 --center \
	  --tencrop --dense --multicrop --all --output tables/sample.$$form || exit 1; done
	for form in md csv; do $(BIN)/vggbench compare A D E --data sample --scales 256 384 --center --dense --all \
	  --metrics calibration --output tables/calibration.$$form && \
	  $(BIN)/vggbench fuse A D E --data sample --scales 256 384 --dense --metrics calibration \
	  --output tables/calibration-fused.$$form || exit 1; done
	$(BIN)/python -c "from pathlib import Path; from vggbench.sample.pictures import contact_sheet as write; \
	  write(Path('tables/sample.jpg'))"

counted-tables: setup
	for form in md csv; do \
	  $(BIN)/vggbench reproduce 1 --published --output tables/configurations.$$form && \
	  $(BIN)/vggbench params --output tables/parameters.$$form && \
	  $(BIN)/vggbench params --cost --output tables/cost.$$form && \
	  $(BIN)/vggbench reproduce 2 3 4 5 6 7 11 --published --output tables/paper.$$form || exit 1; done

# The site, in build/site: warnings are errors, and nothing may be fetched or lead nowhere.
docs-site: setup
	rm -rf build/site
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site
	VGGBENCH_SITE=build/site $(BIN)/pytest -n0 -q -m slow tests/test_site.py

# Writes what commands print now into README and the pages of docs/.
pages: setup
	VGGBENCH_UPDATE_PAGES=1 $(BIN)/pytest -q -m thorough -k page_shows tests/test_pages.py

figures: setup
	set -e; for script in docs/figures/*.py; do $(BIN)/python $$script; done

# The package as it would be published, in build/dist.
dist: setup
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/twine check --strict build/dist/*

# The six nets in the package, trained on the sample's own pictures: about ten minutes on two cores. First A, by the
# paper's recipe but for batch, dropout and epochs; then all six start as that A and train alike, at a tenth of the rate.
SAMPLE_NETS := vggbench/sample/nets
SAMPLE_RUNS := build/sample-nets
SAMPLE_RECIPE := --data sample --width 0.0625 --train-scale 256-512 --batch-size 32 --dropout 0.2 --patience 6 \
  --normalise mean --half --runs $(SAMPLE_RUNS)

sample-nets: setup
	mkdir -p $(SAMPLE_NETS) $(SAMPLE_RUNS)
	$(BIN)/vggbench train A $(SAMPLE_RECIPE) --epochs 24 --output $(SAMPLE_RUNS)/A.safetensors
	set -e; for net in A A-LRN B C D E; do \
	  $(BIN)/vggbench train $$net $(SAMPLE_RECIPE) --epochs 4 --rate 0.001 --from A@$(SAMPLE_RUNS)/A.safetensors \
	    --init identity --output $(SAMPLE_NETS)/$$net.safetensors; done

# Within an hour on two cores; killed, it carries on.
miniature: setup
	$(BIN)/python tables/miniature.py

# Descriptors of the sample's D and a linear SVM: about five minutes on two cores; killed, it carries on.
probe: setup
	$(BIN)/python tables/probe.py

# The convolutions of Oxford's D on photographs: hours on two cores, two minutes on a large GPU. CONVOLUTIONS is a file of
# them (docs/howto/transfer.md says where one is), CALTECH a folder with train/ and val/ of Caltech-101's classes.
caltech: setup
	mkdir -p build/caltech
	$(BIN)/python tables/caltech_probe.py build/caltech --net $(CONVOLUTIONS) --data $(CALTECH)
	$(BIN)/python tables/caltech.py $(CONVOLUTIONS) $(CALTECH)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
