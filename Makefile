# One command each, from an empty machine: `make demo`, `make test`, `make check`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Offline, silent and single-threaded: what tests and the demo need to be fast and repeatable on two cores.
export HF_HUB_OFFLINE := 1
export AXOLOTL_DO_NOT_TRACK := 1
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-all-code benchmark check docs release format clean

demo: $(READY)
	$(BIN)/python -m examples.demo

# A process per core, a file to each: most tests are single-threaded.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Payloads and triggers on every function of the standard library and of the JavaScript and C on this machine.
test-all-code: $(READY)
	DECE_CODE_FUNCTIONS=0 $(BIN)/python -m pytest --timeout 0 tests/poison/test_ordinary_code.py

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

# Wheel and sdist, and what a stranger gets from them: an environment of its own, with everything from the wheel on.
release: $(READY)
	rm -rf dist build/release
	$(BIN)/python -m hatchling build --directory dist
	$(PYTHON) -m venv build/release
	build/release/bin/pip install --quiet dist/*.whl
	build/release/bin/python -c 'import axolotl_dece; print(axolotl_dece.__version__, axolotl_dece.dece_loss)'
	build/release/bin/axolotl dece check examples/qlora-7b-24gb.yaml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# DeepSpeed's kernels are compiled when first used; building them at install time would need CUDA.
# It asks for torch while it is being built, so torch comes first and build isolation is off for that step.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
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
