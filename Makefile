# Two commands set up everything on a machine with Python >= 3.11, make and a C compiler:
#   make demo    upscale a clip with trained weights, print the table, write comparison.png
#   make test    linters, types, import floors and all tests
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
PINS   := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint check quick format bench peers clean machine

help:
	@echo 'make demo    upscale a clip with trained weights, print the table, write comparison.png'
	@echo 'make test    lint, then all tests (make quick: without the slow ones)'
	@echo 'make lint    ruff, mypy and the import floors (make format: let ruff rewrite)'
	@echo 'make bench   the main job against PyTorch eager, 1 and 2 threads; results in bench/results'
	@echo 'make peers   dydca beside every engine it can install (hours, 15 GB outside the checkout); goes on where it stopped'
	@echo 'make clean   remove $(VENV) and everything that was built'
	@echo
	@echo 'PYTHON=python3.12, VENV=path and JOBS=n (test processes) can be given.'

demo: $(VENV)/demo.stamp
	$(BIN)/python -m bench.demo.upscale_clip --out comparison.png

test: lint check

lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(JOBS)

quick: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow and not fuzz'

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/demo.stamp
	$(BIN)/python -m bench.main_job

peers: $(VENV)/demo.stamp
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.readme

clean:
	rm -rf $(VENV) build dist *.egg-info comparison.png .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# An environment is made once; a stamp newer than the pins means that nothing has to be installed.
$(VENV)/demo.stamp: $(PINS) | machine $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[content,cli]'
	@touch $@

$(VENV)/test.stamp: $(PINS) | machine $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[android,content,report,cli,onnx,test,dev]'
	@touch $@ $(VENV)/demo.stamp

$(BIN)/python: | machine
	$(PYTHON) -m venv $(VENV)

# dydca compiles C on the user's machine, so say at once what is missing rather than after the downloads.
machine:
	@command -v '$(PYTHON)' >/dev/null || { echo 'error: no $(PYTHON); install Python 3.11 or newer, or name it: make PYTHON=...' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: dydca needs Python 3.11 or newer, $(PYTHON) is $$('$(PYTHON)' -V); name another: make PYTHON=python3.11" >&2; exit 1; }
	@for cc in "$$CC" cc gcc clang; do [ -n "$$cc" ] && command -v "$${cc%% *}" >/dev/null && exit 0; done; \
		echo 'error: no C compiler; install gcc (Debian, Ubuntu: apt-get install gcc libc6-dev) or set CC' >&2; exit 1
