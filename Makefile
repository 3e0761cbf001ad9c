.PHONY: quickstart demo test browser quality style signatures bench reliability docs package clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := src demo training_scripts tests benchmarks pipelines docs
PROSE := $(wildcard *.md) .github .ci/run Makefile setup.cfg
QUICKSTART := runs/ddgan-digits
# The versions to install; an empty file for the newest.
CONSTRAINTS ?= constraints.txt

$(VENV)/.installed: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[dev]"
	touch $@

# Trains handwritten digits on the CPU, then looks at them from a new process.
quickstart: $(VENV)/.installed
	$(BIN)/accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		training_scripts/train_ddgan.py --recipe ddgan-digits --output_dir $(QUICKSTART)
	$(BIN)/python training_scripts/evaluate.py $(QUICKSTART) --dataset_name digits --num_samples 1000 --output_dir $(QUICKSTART)/evaluation

# Shows a model on a page in the browser: the one of the package, or `make demo MODEL=somebody/model`.
MODEL ?= ddgan-fashion-mnist
demo: $(VENV)/.installed
	$(BIN)/gan-diffusion demo $(MODEL)

# In as many processes as there are cores; a test that fails can be run alone with `python -m pytest`.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal

# The page in a real browser, for which Chromium or Chrome must be installed.
browser: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[browser]"
	$(BIN)/python -m pytest tests/browser/demo_page.py

quality: $(VENV)/.installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/flake8 src training_scripts benchmarks
	$(BIN)/codespell $(SOURCES) $(PROSE)
	$(BIN)/pyright --pythonpath $(BIN)/python

style: $(VENV)/.installed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Records the public interface, after a change that is meant.
signatures: $(VENV)/.installed
	$(BIN)/python tests/public_signatures.py

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench_ddgan.py
	$(BIN)/python benchmarks/bench_diffusion_gan.py
	$(BIN)/python benchmarks/bench_spi_gan.py
	$(BIN)/python benchmarks/bench_fastgan.py
	$(BIN)/python benchmarks/bench_noising.py

# Damages, forges and kills, and counts how that ends; takes hours.
reliability: $(VENV)/.installed
	$(BIN)/python tests/reliability/damaged_checkpoints.py
	$(BIN)/python tests/reliability/hostile_checkpoints.py
	$(BIN)/python tests/reliability/hostile_folders.py
	$(BIN)/python tests/reliability/hostile_pickles.py
	$(BIN)/python tests/reliability/damaged_pipelines.py
	$(BIN)/python tests/reliability/crash_points.py
	$(BIN)/python tests/reliability/random_kills.py
	$(BIN)/python tests/reliability/exit_of_two_processes.py

# The documentation as a site in build/site; a link that leads nowhere is an error. `$(BIN)/mkdocs serve` shows it.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

package: $(VENV)/.installed
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist src/*.egg-info
