# Two commands: `make run` and `make test`. Both build what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export HF_HUB_OFFLINE ?= 1

.PHONY: run test test-slow test-gpu faults check format fuse-tiny grow-digits transfer-tiny bench clean setup

setup: $(STAMP)

$(STAMP): pyproject.toml packaging/constraints.txt packaging/setup/check-system.sh
	@bash packaging/setup/check-system.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@bash packaging/setup/install-torch.sh $(BIN)/python
	$(BIN)/python -m pip install --quiet -c packaging/constraints.txt -e '.[gui,nvidia,dev]'
	@touch $@

run: $(STAMP)
	@bash packaging/setup/run.sh $(BIN)

test: $(STAMP)
	@bash packaging/setup/check-qt.sh offscreen
	$(BIN)/python -m pytest -m "not slow and not gpu" --ignore=tests/gui $(ARGS)
	QT_QPA_PLATFORM=offscreen bash packaging/setup/test-window.sh $(BIN)/python -m "not slow and not gpu" $(ARGS)

test-slow: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m "slow and not gpu" $(ARGS)

# The long form: hundreds of kills and accidents, thousands of damaged files; some ten minutes.
faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults -m "slow" -q $(ARGS)

test-gpu: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m "gpu" $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A stream of five digit tasks over three seeds, with every baseline.
grow-digits: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/grow_digits.py $(ARGS)

# Two tiny LLaVA models, trained, fused and measured; some five minutes.
fuse-tiny: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuse_tiny.py $(ARGS)

transfer-tiny: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/transfer_arithmetic.py $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache deltaworks-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
