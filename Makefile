PYTHON ?= python3.11
INSTALLED = .venv/installed

.PHONY: install demo test fuzz clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)
	.venv/bin/curate demo build/demo

test: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest

fuzz: $(INSTALLED)
	.venv/bin/python -m tests.fuzz --files 20000 --minutes 10

clean:
	rm -rf .venv build
