# make demo [TASK=toy]   optimise an example, write its video and pictures
# make test              lint, types and the tests that CI runs
# make test-slow         the tests that take minutes
# make gallery           run the commands of docs/gallery.md and draw its pictures anew; an hour
# make tuning            tune every method on the tasks of configs/tuned (hours; goes on where it was)
# make comparison [JOBS=2]  every method, tuned, on Rosenbrock and textures (hours; goes on where it was)
# make paper [PRESET=cpu]  the paper's tables, figures and report in runs/paper-PRESET (goes on where it was)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TASK ?= toy
PRESET ?= smoke
JOBS ?= 1
BIN := .venv/bin

METHODS = $(shell $(BIN)/zg list methods --plain | paste -sd,)

.PHONY: demo test test-slow gallery lint tuning comparison paper

demo: .venv/installed
	$(BIN)/zg fit --config configs/$(TASK).yaml

test: lint  # a file stays in one process, for its fixtures are made once
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

gallery: .venv/installed
	$(BIN)/python docs/draw_gallery.py

tuning: .venv/installed
	$(BIN)/zg tune --tasks toy,mlp,caustic --methods $(METHODS) --trials 24 --jobs 2
	$(BIN)/zg tune --tasks rosenbrock,rosenbrock10,texture32,texture --methods $(METHODS) --trials 24 \
		--max-renders 10000 --jobs 2

comparison: .venv/installed
	$(BIN)/zg compare --tasks rosenbrock,rosenbrock10,texture32,texture --methods $(METHODS) --settings tuned \
		--max-renders 50000 --max-seconds 60 --seeds 5 --jobs $(JOBS) --out runs/comparison

paper: .venv/installed
	$(BIN)/zg paper --preset $(PRESET) --jobs 2 --out runs/paper-$(PRESET)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch goes first: asked for by other packages, pip would look for its newest build.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
