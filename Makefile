# Everything needs only python3 (3.11 to 3.13) with venv, or uv; what is missing is installed into .venv.
UV := $(shell command -v uv 2>/dev/null || echo .bootstrap/bin/uv)
BIN := .venv/bin

# Bytecode is kept as an installed program has it, whatever the surroundings say: start times are part of the product.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo examples test check types quick bench format clean

setup: .venv/.ready

.bootstrap/bin/uv:
	python3 -m venv .bootstrap
	.bootstrap/bin/pip install --quiet uv

.venv/.ready: pyproject.toml $(if $(findstring .bootstrap,$(UV)),.bootstrap/bin/uv)
	test -x $(BIN)/python || $(UV) venv --quiet --python ">=3.11,<3.14" .venv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --editable . --group dev
	touch .venv/.ready

demo: setup  ## the main job on real data: every flight that left New York in 2013
	$(BIN)/legato --project examples/flights run
	@$(BIN)/legato --project examples/flights query "select airline, sum(flights)::int as flights, \
	round(100 * sum(on_time_share * arrived) / sum(arrived), 1) as 'on time %', \
	round(sum(mean_dep_delay * departed) / sum(departed), 1) as 'mean departure delay, min' \
	from carrier_performance group by airline order by 3 desc"
	@echo
	@echo "Next, in examples/flights (with .venv/bin/legato):"
	@echo "  legato run +report                   nothing runs, and it says why"
	@echo "  python break_day.py 2013-03-05       send a broken day; then: legato run, legato why flights@2013-03-05"
	@echo "  legato versions flights@2013-03-05   what was published; legato rollback goes back"
	@echo "  legato dev                           by itself: every 30 s a headline, each file in corrections/, each call of a webhook"
	@echo "  legato status, legato list, legato show delays, legato query \"select ...\", legato --help"

examples: setup  ## the examples with flows, each against a server of its own on this machine
	@set -e; for demo in examples/*/demo.py; do echo; echo "== $$demo"; $(BIN)/python $$demo; done

check: setup  ## all that is fast: format, lint, types, layers, sizes, unit, kernel and plan tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	+$(MAKE) --no-print-directory --jobs=2 types quick  # types take one core for as long as the tests take two

types: setup
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

quick: setup
	$(BIN)/pytest -m quick -n 2 tests

test: check  ## every test, the long rings too
	$(BIN)/pytest -m "not quick and not timing" -n 3 --dist worksteal --durations=15 tests
	$(BIN)/pytest -m timing tests
	$(BIN)/python -m benchmarks --short

bench: setup  ## figures beside their floors, measured in the same run
	$(BIN)/python -m benchmarks

format: setup
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

clean:
	rm -rf .venv .bootstrap examples/*/.legato
