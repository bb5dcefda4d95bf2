.PHONY: check lint test

check: lint test

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

test:
	python -m pytest
