# make demo [TASK=toy]   optimise an example, write its video and pictures
# make test              lint, types and the tests that CI runs
# make test-slow         the tests that take minutes
# make gallery           run the commands of docs/gallery.md and draw its pictures anew; an hour
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TASK ?= toy
BIN := .venv/bin

.PHONY: demo test test-slow gallery lint

demo: .venv/installed
	$(BIN)/zg fit --config configs/$(TASK).yaml

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

gallery: .venv/installed
	$(BIN)/python docs/draw_gallery.py

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
