# make demo    simulate, train, embed, decode, select, export, and show it; everything lands in demo/
# make test    lint and the whole test suite
# Both do all set-up themselves, in .venv, and again only after pyproject.toml or constraints.txt changed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := $(shell find csrc -type f)
TOUR := build/tour

.PHONY: setup demo test lint bench gpu tour oracle system
.DEFAULT_GOAL := setup

setup: system $(VENV)/compiled

# PyQt6 is the binding that napari will keep; make demo QT_API=pyqt5 chooses the other.
demo: export QT_API ?= pyqt6
demo: setup
	@$(BIN)/napari-sbackprop demo --output demo

# One failure hides no other; the closing line is that of the whole suite, on PyQt5.
test: setup
	@status=0; $(MAKE) --no-print-directory lint || status=1; \
	QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(BIN)/python -m pytest -q -m gui || status=1; \
	QT_API=pyqt5 PYTEST_QT_API=pyqt5 $(BIN)/python -m pytest -q || status=1; \
	exit $$status

lint: $(VENV)/installed
	@status=0; $(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check --output-format concise . || { status=1; echo "some files are not formatted: run ruff format"; }; \
	$(BIN)/mypy || status=1; \
	exit $$status

bench: setup
	@$(PIP) install --quiet --constraint constraints.txt --group bench || echo "going on without cryoDRGN" >&2
	@rm -rf build/bench && mkdir -p build/bench
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/operation.py
	@$(BIN)/python benchmarks/closed_form.py
	@$(BIN)/python benchmarks/step.py > build/bench/step.json && cat build/bench/step.json
	@$(BIN)/python benchmarks/scaling.py build/bench/step.json -o build/bench/scaling.png || echo "going on without the plot" >&2
	@$(BIN)/python benchmarks/training.py --output build/bench
	@$(BIN)/python benchmarks/decode.py build/bench/run
	@$(BIN)/python benchmarks/latents.py build/bench/run build/bench/set/particles.star
	@xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python benchmarks/explorer.py build/bench/run
	@$(BIN)/python benchmarks/quality.py
	@$(BIN)/python benchmarks/files.py

# The first hour on an NVIDIA GPU: goals beside figures, in about ten minutes.
gpu: setup
	@mkdir -p build && $(BIN)/python benchmarks/gpu.py > build/gpu.json

# Its data are made once; make tour QT_API=pyqt5 takes it on the other binding.
tour: export QT_API ?= pyqt6
tour: setup $(TOUR)/trained
	@xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python benchmarks/tour.py $(TOUR)/run $(TOUR)/particles/particles.star

$(TOUR)/particles/particles.star: | $(VENV)/compiled
	@rm -rf $(TOUR)/particles
	@$(BIN)/napari-sbackprop simulate $(TOUR)/particles --particles 3000 --box 96 --pixel-size 3

$(TOUR)/trained: $(TOUR)/particles/particles.star
	@rm -rf $(TOUR)/run
	@$(BIN)/napari-sbackprop train $< $(TOUR)/run --latent-size 4 --basis-size 8 --epochs 3
	@$(BIN)/napari-sbackprop embed $(TOUR)/run
	@touch $@

oracle: setup
	@.ci/system-packages relion
	@$(PIP) install --quiet --constraint constraints.txt --group oracle
	@QT_API=pyqt5 PYTEST_QT_API=pyqt5 $(BIN)/python -m pytest -q -m oracle --ignore tests/data/test_dialects.py
	@$(BIN)/python -m pytest -q --hypothesis-profile=thousand tests/data/test_dialects.py

system:
	@.ci/system-packages

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: apt install python3-venv)." >&2; exit 1; }

# torch first: it is the one that all others must fit.
$(VENV)/installed: pyproject.toml constraints.txt | system $(VENV)/bin/python
	@echo "installing into $(VENV) (2.5 GB, some minutes)"
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@$(PIP) install --quiet --constraint constraints.txt torch
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[pyqt5,pyqt6,models,movie]" --group dev
	@touch $@

$(VENV)/compiled: $(VENV)/installed $(SOURCES)
	@$(BIN)/napari-sbackprop compile || echo "going on in plain PyTorch, which is slower" >&2
	@touch $@
