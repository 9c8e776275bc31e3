# make demo: from nothing to a validated observer and its report. make test: the tests. make faults, make fuzz: kills and signals at many instants, hostile inputs. make benchmark: docs/performance.md. Needs Python 3.11 or newer, with pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test faults fuzz lint benchmark clean

demo: $(READY)
	$(BIN)/observer experiment box --out runs/box
	@echo "The report is runs/box/report.html"

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not slow"

# Every command broken off five times by SIGKILL and five times by a signal, at random instants; some 20 minutes.
faults: $(READY)
	FAULTS=5 $(BIN)/python -m pytest tests/faults

# Hostile inputs of every entry point, others each time; some 20 minutes.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --count 200 --seed $$(date +%s)

benchmark: $(READY)
	$(BIN)/python -m benchmarks.kernels

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

# Repeated only when the dependencies change.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
