# make help              this list
# make demo [TASK=toy]   optimise an example, write its video and pictures
# make test              lint, types and the tests that CI runs
# make test-slow         the tests that take minutes
# make format            format the code and sort its imports
# make docs              build the site with the API reference in build/site
# make lowest            the tests, on the lowest versions that setup.cfg allows, in .venv-lowest
# make gallery           run the commands of docs/gallery.md and draw its pictures again; an hour
# make tuning            tune every method on the tasks of configs/tuned (hours; goes on where it was)
# make comparison [JOBS=2]  every method, tuned, on Rosenbrock and textures (hours; goes on where it was)
# make profiles         the default and its peers on the development half of the zoo (an hour; goes on where it was)
# make paper [PRESET=cpu]  the paper's tables, figures and report in runs/paper-PRESET (goes on where it was)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TASK ?= toy
PRESET ?= smoke
JOBS ?= 1
BIN := .venv/bin
LOWEST := .venv-lowest/bin

METHODS = $(shell $(BIN)/zg list methods --plain | paste -sd,)

# The extras that a task needs; the other tasks need none.
EXTRAS := $(if $(filter texture% caustic% mlp spline_vae,$(TASK)),tasks)
EXTRAS += $(if $(filter brdf cornell_box mesh% material_encoder,$(TASK)),mitsuba)
EXTRAS += $(if $(filter led_display wicker,$(TASK)),blender)

PIP := -m pip install -q --disable-pip-version-check -c constraints.txt
# A file of tests stays in one process, for its fixtures are made once.
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-slow format docs lowest gallery lint tuning comparison profiles paper

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: .venv/installed $(EXTRAS:%=.venv/installed-%)
	$(BIN)/zg fit --config configs/$(TASK).yaml

test: lint
	$(BIN)/python $(PYTEST)

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

lowest: .venv-lowest/installed
	$(LOWEST)/python $(PYTEST) tests/zg tests/tasks tests/baselines

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

gallery: .venv/installed-all
	$(BIN)/python docs/draw_gallery.py

tuning: .venv/installed-all
	$(BIN)/zg tune --tasks toy,rosenbrock,rosenbrock10,texture,mlp,caustic,texture32 --methods $(METHODS) --trials 24 \
		--jobs 2

comparison: .venv/installed-all
	$(BIN)/zg compare --tasks rosenbrock,rosenbrock10,texture32,texture --methods $(METHODS) --settings tuned \
		--max-renders 50000 --max-seconds 60 --seeds 5 --jobs $(JOBS) --out runs/comparison

profiles: .venv/installed-benchmarks
	$(BIN)/python -m benchmarks.profiles zoo --half development --instances 1 2 3

paper: .venv/installed-all
	$(BIN)/zg paper --preset $(PRESET) --jobs 2 --out runs/paper-$(PRESET)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch goes first: asked for by other packages, pip would look for its newest build.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) torch
	$(BIN)/python $(PIP) -e .
	touch $@

# An extra of setup.cfg.
.venv/installed-%: .venv/installed
	$(BIN)/python $(PIP) -e '.[$*]'
	touch $@

# torch is at its lower bound in constraints.txt too; the build that is there satisfies uv.
.venv-lowest/installed: .venv/installed-test
	$(BIN)/uv venv -q --clear --seed --python $(BIN)/python .venv-lowest
	$(LOWEST)/python $(PIP) --no-deps torch
	$(BIN)/uv pip install -q --python $(LOWEST)/python --resolution lowest-direct -e '.[test]'
	touch $@
