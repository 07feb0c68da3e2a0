PYTHON ?= python

.PHONY: check lint test slow soak format index

check: lint test

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	lint-imports

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m slow

soak:
	$(PYTHON) -m pytest -m soak

index:
	$(PYTHON) -m limbeck.recipes.registry_index

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
