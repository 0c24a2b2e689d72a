# make setup       environment for working on this project, in .venv
# make demo        a hub to try, on this machine; Ctrl-C ends it
# make test        everything (what .ci/run runs); make test-quick: less than two minutes
# make bench       what it costs, beside the bare child spawner and wrapspawner
# make help        all targets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
HUB5 := .venv-hub5
BENCH := .venv-bench
JUPYTERHUB5 := 5.5.4
PYTHONS := 3.10 3.13
REPORTS := build/reports
PYTEST_ARGS ?=

PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
# What an editable install copies.
DATA := $(shell find $(wildcard plugins/*/etc plugins/*/share) -type f)
PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))
INSTALL = pip install --quiet --constraint constraints.txt --build-constraint constraints.txt
STEP := @scripts/step.sh
NODE_PROXY := .tools/node_modules/.bin/configurable-http-proxy

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# uv brings its own certificates; companies' proxies need the machine's.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

# Only `suites` runs targets beside each other.
ifndef BESIDE
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:
.PRECIOUS: .venv-py%/.stamp
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick lint format types imports docs unit hub hub5 browser engine \
	jupyterhub-suite test-matrix packages test-pythons suites list-reports chaos chaos-kills chaos-hubs bench constraints clean

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environments ---

$(UV): constraints.txt
	@echo "==> environment $(VENV)"
	@scripts/system_packages.sh venv "$(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@touch $@

# Without --quiet: uv shows progress bars, and this is what a newcomer looks at.
$(VENV)/.stamp-demo: $(UV) $(PROJECTS) $(DATA) constraints.txt
	@echo "==> packages for the demo"
	@$(UV) $(subst --quiet,,$(INSTALL)) --python $(BIN)/python -e '.[demo]' $(PLUGINS)
	@touch $@

$(VENV)/.stamp-dev: $(UV) $(PROJECTS) $(DATA) constraints.txt
	$(STEP) "packages for development" \
		$(UV) $(INSTALL) --python $(BIN)/python -e '.[demo,testing]' $(PLUGINS) --group dev
	@touch $(VENV)/.stamp-demo $@

# The same pins but for JupyterHub, and the oldest Python where there is one.
$(HUB5)/.stamp: $(VENV)/.stamp-dev
	@rm -rf $(HUB5)
	@$(UV) venv --quiet --python "$$($(BIN)/python scripts/find_python.py 3.10 || echo $(BIN)/python)" $(HUB5)
	@sed 's/^jupyterhub==.*/jupyterhub==$(JUPYTERHUB5)/' constraints.txt > $(HUB5)/constraints.txt
	$(STEP) "packages for JupyterHub $(JUPYTERHUB5)" \
		$(UV) $(subst --constraint constraints.txt,--constraint $(HUB5)/constraints.txt,$(INSTALL)) \
		--python $(HUB5)/bin/python -e '.[demo,testing]' $(PLUGINS) --group test
	@touch $@

.venv-py%/.stamp: $(VENV)/.stamp-dev
	@rm -rf $(@D)
	@$(UV) venv --quiet --python "$$($(BIN)/python scripts/find_python.py $*)" $(@D)
	$(STEP) "packages for Python $*" \
		$(UV) $(INSTALL) --python $(@D)/bin/python -e '.[demo,testing]' $(PLUGINS) --group test
	@touch $@

# Of its own: other environments are tested without the peers that it is measured against.
# Compiled as pip does it, or else the first imports would be measured slow.
$(BENCH)/.stamp: $(VENV)/.stamp-dev
	@rm -rf $(BENCH)
	@$(UV) venv --quiet --python $(BIN)/python $(BENCH)
	$(STEP) "packages for benchmarks" \
		$(UV) $(INSTALL) --compile-bytecode --python $(BENCH)/bin/python -e . $(PLUGINS) --group bench
	@touch $@

$(NODE_PROXY):
	@scripts/system_packages.sh node
	@mkdir -p .tools && echo '*' > .tools/.gitignore
	$(STEP) "node proxy (for internal SSL)" \
		npm install --silent --no-audit --no-fund --no-package-lock --prefix .tools configurable-http-proxy@5
	@touch $@

setup: $(VENV)/.stamp-dev ## environment for working on this project, in .venv

demo: $(VENV)/.stamp-demo ## a hub to try, on this machine (DEMO_ARGS='--port 8123'); Ctrl-C ends it
	@$(BIN)/multiplespawner demo $(DEMO_ARGS)

# --- checks ---

test: lint types imports docs jupyterhub-suite suites ## everything

test-quick: setup ## lint, types and unit tests: less than two minutes
	@scripts/system_packages.sh postgresql
	$(STEP) "lint" $(BIN)/ruff check --quiet .
	$(STEP) "types" $(BIN)/mypy
	$(STEP) "unit tests" $(BIN)/python -m pytest -q \
		-m "not hub and not browser and not packages and not engine and not slow and not chaos and not playbook" \
		$(PYTEST_ARGS)

lint: setup ## ruff: rules and format
	$(STEP) "lint" $(BIN)/ruff check .
	$(STEP) "format" $(BIN)/ruff format --check .

format: setup ## ruff: repair what can be repaired
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

types: setup ## mypy --strict
	$(STEP) "types" $(BIN)/mypy

imports: setup ## import-linter: which module may import which
	$(STEP) "imports" $(BIN)/lint-imports

docs: setup ## documentation, into docs/_build/html
	$(STEP) "docs" $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

unit: setup ## unit and property tests
	@scripts/system_packages.sh sshd
	@scripts/system_packages.sh postgresql
	$(STEP) "unit tests" $(BIN)/python -m pytest -q --junitxml $(REPORTS)/unit.xml \
		-m "not hub and not browser and not packages and not engine" $(PYTEST_ARGS)

hub: setup $(NODE_PROXY) ## tests against real JupyterHubs
	@scripts/system_packages.sh sshd
	@scripts/system_packages.sh postgresql
	$(STEP) "hub tests" $(BIN)/python -m pytest -q --junitxml $(REPORTS)/hub.xml \
		-m "hub and not browser and not packages and not engine" $(PYTEST_ARGS)

hub5: $(HUB5)/.stamp $(NODE_PROXY) ## the essential ones against JupyterHub 5
	@scripts/system_packages.sh sshd
	$(STEP) "hub tests on JupyterHub $(JUPYTERHUB5)" $(HUB5)/bin/python -m pytest -q \
		--junitxml $(REPORTS)/hub5.xml -m "essential and not browser and not engine" $(PYTEST_ARGS)

jupyterhub-suite: setup $(NODE_PROXY) ## JupyterHub's own tests around MultipleSpawner
	$(STEP) "JupyterHub's tests around MultipleSpawner" \
		$(BIN)/python tests/jupyterhub_suite/run.py jupyterhub-suite

test-matrix: setup $(HUB5)/.stamp $(NODE_PROXY) ## the same on both JupyterHubs, with and without SSL: 45 minutes
	$(STEP) "JupyterHub's tests with and without MultipleSpawner" \
		$(BIN)/python tests/jupyterhub_suite/matrix.py $(BIN)/python $(HUB5)/bin/python

browser: setup ## tests with a real browser
	@scripts/system_packages.sh chromium
	$(STEP) "browser tests" $(BIN)/python -m pytest -q --junitxml $(REPORTS)/browser.xml \
		-m browser $(PYTEST_ARGS)

# What the small cloud's machines, Debian 12 with Python 3.11, install without a network.
build/wheels/.stamp: $(VENV)/.stamp-dev
	@mkdir -p $(@D)
	@printf 'jupyterhub\njupyterlab\n' | $(UV) pip compile --quiet --constraint constraints.txt \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		- --output-file $(@D)/requirements.txt
	$(STEP) "wheels for machines" $(BIN)/python -m pip download --quiet --no-deps \
		--python-version 3.11 --only-binary :all: --dest $(@D) --requirement $(@D)/requirements.txt
	@touch $@

engine: setup build/wheels/.stamp ## tests with a real Docker engine, which is started where none runs
	@scripts/system_packages.sh docker
	@scripts/system_packages.sh chromium
	@scripts/docker_engine.sh
	$(STEP) "image of the small cloud's machines" $(BIN)/python -m multiplespawner_core.testing.machine_image
	$(STEP) "engine tests" $(BIN)/python -m pytest -q --junitxml $(REPORTS)/engine.xml \
		-m engine $(PYTEST_ARGS)

packages: setup ## wheels, installed into empty environments
	$(STEP) "package tests" $(BIN)/python -m pytest -q --junitxml $(REPORTS)/packages.xml \
		-m packages $(PYTEST_ARGS)

FOUND_PYTHONS = $(foreach v,$(PYTHONS),$(if $(shell $(BIN)/python scripts/find_python.py $(v)),$(v)))
ON_PYTHONS = $(addprefix unit-on-,$(FOUND_PYTHONS))
SAY_MISSING = for v in $(filter-out $(FOUND_PYTHONS),$(PYTHONS)); do echo "==> Python $$v: not found, not tested"; done

test-pythons: setup ## unit tests on the oldest and the newest Python
	@$(SAY_MISSING)
	@$(MAKE) --no-print-directory --keep-going $(ON_PYTHONS)

SUITES = hub hub5 unit browser $(ON_PYTHONS) engine packages

# The longest first. What apt-get brings is brought before: only one of it can run.
suites: setup ## all tests of ours, two suites at a time
	@$(SAY_MISSING)
	@for p in sshd postgresql chromium node docker; do scripts/system_packages.sh $$p || exit; done
	@echo "==> two at a time, each is shown when it has ended: $(SUITES)"
	@$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync=target BESIDE=1 $(SUITES)

# The oldest one is left to hub5 for what is slow: there it runs whole hubs.
unit-on-%: .venv-py%/.stamp
	@scripts/system_packages.sh postgresql
	$(STEP) "unit tests on Python $*" .venv-py$*/bin/python -m pytest -q \
		--junitxml $(REPORTS)/python$*.xml \
		-m "not hub and not browser and not packages and not engine and not chaos and not playbook and not once \
		$(if $(filter $*,$(firstword $(PYTHONS))),and not slow)" $(PYTEST_ARGS)

list-reports: # what .ci/run expects to find
	@echo unit hub hub5 jupyterhub-suite browser engine packages $(addprefix python,$(FOUND_PYTHONS))

# --- the rest ---

chaos: setup ## ten thousand schedules of a hub that is killed anywhere: half an hour
	$(STEP) "chaos" env CHAOS_SCHEDULES=10000 \
		$(BIN)/python -m pytest -q tests/chaos/test_schedules.py $(PYTEST_ARGS)

chaos-kills: setup ## five hundred with hubs that are processes, ended by SIGKILL
	$(STEP) "chaos of processes" env KILL_SCHEDULES=500 \
		$(BIN)/python -m pytest -q tests/chaos/test_kills.py $(PYTEST_ARGS)

chaos-hubs: setup ## three hundred with whole JupyterHubs, whose servers run on machines
	@scripts/system_packages.sh sshd
	$(STEP) "chaos of hubs" env HUB_SCHEDULES=300 \
		$(BIN)/python -m pytest -q tests/chaos/test_whole.py $(PYTEST_ARGS)

mutations: setup ## each rule removed in turn: what breaks, into docs/mutations.md; a quarter of an hour
	@env PYTHONPATH=.:tests $(BIN)/python -m mutations

bench: $(BENCH)/.stamp ## what it costs, beside its peers: an hour (BENCH_ARGS='starts --rounds 10')
	@$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

# No index, path or comment goes into the file: it must read the same on every machine.
constraints: $(UV) ## choose the newest versions of everything, into constraints.txt
	@env -u UV_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_DEFAULT_INDEX -u UV_FIND_LINKS \
		$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links \
		$(PROJECTS) scripts/constraints.in --all-extras --group dev --group bench \
		$(patsubst plugins/%/pyproject.toml,--no-emit-package multiplespawner-%,$(wildcard plugins/*/pyproject.toml)) \
		--no-emit-package multiplespawner-core --output-file constraints.txt
	@! grep -nE '://|^-|^\.|@ ' constraints.txt
	@echo "$$(wc -l < constraints.txt) pins in constraints.txt"

clean: ## remove everything that make made
	@rm -rf $(VENV) .venv-* .tools build dist docs/_build .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
