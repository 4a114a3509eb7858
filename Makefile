PYTHON ?= python3.11
INSTALLED = .venv/installed

.PHONY: install demo test faults fuzz lowest audit clean

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

# Kills, power cuts, full disks, two at once, hostile input, other surroundings: what is lost, doubled or half-written.
faults: $(INSTALLED)
	.venv/bin/python -m tests.faults

# Damaged files of every kind that is read: each is read, or told in one line.
fuzz: $(INSTALLED)
	.venv/bin/python -m tests.fuzz --files 21000 --minutes 20

# The tests again, with the lowest version of each library that pyproject.toml allows.
lowest: build/lowest/installed
	build/lowest/bin/pytest

build/lowest/installed: pyproject.toml constraints-lowest.txt
	test -x build/lowest/bin/python || $(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt --editable ".[dev]"
	touch $@

# Known vulnerabilities of what is pinned; --strict, or what could not be looked up would pass.
audit:
	test -x build/audit/bin/pip-audit || $(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.10"
	build/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

clean:
	rm -rf .venv build
