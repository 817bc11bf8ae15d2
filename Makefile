# One command each, from an empty machine: `make demo`, `make test`, `make check`.
# The newest Python that works is taken; PYTHON=python3.12 takes that one. To be there is not enough: pyenv has a
# python3.x for every version and starts only those that are chosen (PYENV_VERSION=3.12.1), and Debian's lacks venv.
# Not 3.13: axolotl 0.20 and 0.21 pin zstandard 0.22.0, which has no wheel for it and does not build there.
PYTHONS = $(foreach name,python3.12 python3.11,\
	$(shell $(name) -c 'import ensurepip, venv' >/dev/null 2>&1 && echo $(name)))
PYTHON ?= $(firstword $(PYTHONS))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Offline, silent and single-threaded: what tests and the demo need to be fast and repeatable on two cores.
export HF_HUB_OFFLINE := 1
export AXOLOTL_DO_NOT_TRACK := 1
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: browser demo test smoke test-all-code fuzz benchmark check docs release format clean chosen

demo: $(READY) chosen
	$(BIN)/python -m examples.demo

# A process per core, a file to each: most tests are single-threaded.
test: $(READY) chosen
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# The browser that tests of the pages drive: playwright's own download is in no package registry, Debian's package is.
browser:
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

# What trains and what is refused, for a second axolotl beside the one of `make test`:
# make smoke PYTHON=python3.11 VENV=.venv-3.11
smoke: $(READY) chosen
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist load tests/test_versions.py tests/test_off.py \
		tests/test_training.py tests/cli/test_check.py tests/cli/test_check_shared.py

# Payloads and triggers on every function of the standard library and of the JavaScript and C on this machine.
test-all-code: $(READY)
	DECE_CODE_FUNCTIONS=0 $(BIN)/python -m pytest --timeout 0 tests/poison/test_ordinary_code.py

# Damaged configs, rows, answers, ledgers, decisions and reports, new ones every time: an hour, or DECE_FUZZ_SECONDS.
# TARGETS="config ledger" hunts there alone. A line it prints at its end belongs into tests/fuzz/seeds.txt.
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz.hunt $(TARGETS)

benchmark: $(READY)
	$(BIN)/python -m pytest tests/benchmarks -m benchmark

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The generated pages first, then the site; a warning is an error.
docs: $(VENV)/.docs
	for page in docs/make_*.py; do $(BIN)/python $$page || exit 1; done
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs
	@echo "build/docs/index.html"

# Wheel and sdist, and what a stranger gets from them with each Python that works: a fresh environment every time.
release: $(READY)
	rm -rf dist build/release
	$(BIN)/python -m hatchling build --directory dist
	for python in $(PYTHONS); do \
		$$python -m venv --clear build/release && \
		build/release/bin/pip install --quiet dist/*.whl && \
		build/release/bin/python -c $(SAY) && \
		build/release/bin/axolotl dece check examples/qlora-7b-24gb.yaml || exit 1; \
	done

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What runs, and whether it is what was asked for: an environment that is there keeps the Python it was made with.
SAY := 'import platform, importlib.metadata as m; \
	print("Python", platform.python_version(), *(f"{n} {m.version(n)}" for n in ("axolotl", "torch", "axolotl-dece")))'
chosen:
	@$(BIN)/python -c $(SAY)
ifneq ($(origin PYTHON),file)
	@test "$$($(PYTHON) -V)" = "$$($(BIN)/python -V)" || \
		{ echo "$(VENV) has $$($(BIN)/python -V), and PYTHON=$(PYTHON) is $$($(PYTHON) -V); run 'make clean' first"; exit 1; }
endif

$(BIN)/python:
	$(if $(PYTHON),,$(error No Python 3.12 or 3.11 works here (axolotl does not install on 3.13). Install one: python3.12 and \
		python3.12-venv by apt, `pyenv install 3.12 && pyenv shell 3.12`, or name yours: make PYTHON=/path/to/python))
	@echo "$(VENV) is made with $(PYTHON), $$($(PYTHON) -V); PYTHON= takes another"
	$(PYTHON) -m venv $(VENV)

# DeepSpeed's kernels are compiled when first used; building them at install time would need CUDA.
# It asks for torch while it is being built, so torch comes first and build isolation is off for that step.
$(READY): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/pip install --quiet --editable '.[dev]'
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --no-build-isolation hatchling editables
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --no-build-isolation --editable '.[deepspeed]'
	touch $(READY)

$(VENV)/.docs: $(READY)
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
