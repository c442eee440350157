# Everything that a person runs. As root on Debian 12 each target sets up what it needs first.

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
ROOT  := $(if $(filter 0,$(shell id -u)),yes)

# On Debian the system's own Python; elsewhere, any that is new enough.
PYTHON ?= $(if $(ROOT),/usr/bin/python3,python3)
comma  := ,
EXTRAS := $(if $(ROOT),agent$(comma)dev,dev)

# What is compiled is kept: hundreds of processes start from it, some in an emulated machine.
export PYTHONDONTWRITEBYTECODE :=

# A file's tests share what they set up, so they stay together. The longest files begin first.
# Many of them wait for other processes, so there are three of pytest's for two cores.
CORES := $(shell nproc 2>/dev/null || echo 2)
PARALLEL := --numprocesses $(shell expr \( $(CORES) \* 3 + 1 \) / 2) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-neutron chaos lint bench clean setup system

help:
	@echo "make demo         a running VM moves over hosts with different network backends (root)"
	@echo "make demo ALL=1   the same for all 20 ordered pairs of the five hosts (root)"
	@echo "make demo FLEET=1 eight VMs keep their network while hosts are emptied, changed, filled and levelled (root)"
	@echo "make test         everything is tested; what needs root is left out, and said, without root"
	@echo "make test-neutron Kedge on a real Neutron, which is installed beside it (root)"
	@echo "make chaos        what a migration depends on is killed at its steps (root); LONG=1 for every step, and a storm of 20 VMs"
	@echo "make lint         ruff, mypy --strict and the import rules"
	@echo "make bench        the figures in docs/performance.md (root)"
	@echo "make clean        remove the lab, the virtual environment and the caches"

demo: setup
	@$(if $(ROOT),,echo "The demo makes namespaces and virtual hosts: run it as root."; exit 1)
	@$(BIN)/python -m kedge.lab.demo $(if $(ALL),--all) $(if $(FLEET),--fleet)

test: setup lint
ifdef ROOT
	@KEDGE_NO_SKIPS=1 $(BIN)/pytest -m "not lab" $(PARALLEL) $(PYTEST)
	@echo "== in the lab: real libvirtd, QEMU and switches, one test after the other"
	@KEDGE_NO_SKIPS=1 $(BIN)/pytest -m lab $(PYTEST)
else
	@echo "Without root the tests in the lab (real libvirtd, QEMU, Open vSwitch) are left out, and those that mount or boot."
	@$(BIN)/pytest -m "not lab and not root" $(PARALLEL) $(PYTEST)
endif

test-neutron: setup
	@$(if $(ROOT),,echo "Neutron and the lab are set up and started by root: run it as root."; exit 1)
	@scripts/neutron.sh
	@KEDGE_TEST_NEUTRON=1 KEDGE_NO_SKIPS=1 $(BIN)/pytest tests/neutron $(PYTEST)

chaos: setup
	@$(if $(ROOT),,echo "Chaos kills parts of a lab of namespaces: run it as root."; exit 1)
	@$(BIN)/python -m kedge.lab.chaos $(if $(LONG),--long)

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-cache
	@$(if $(ROOT),$(BIN)/mypy,echo "mypy checks the agent against libvirt's bindings, which only root sets up here: left out")

bench: setup
	@$(if $(ROOT),,echo "The benchmarks use the lab: run them as root."; exit 1)
	@$(BIN)/python -m benchmarks.run

setup: $(if $(ROOT),system) $(VENV)/.ready-$(EXTRAS)

system:
	@scripts/setup.sh

$(VENV)/.ready-$(EXTRAS): pyproject.toml
	@echo "== virtual environment in $(VENV) ($(EXTRAS))"
	@$(PYTHON) -c 'import sys; sys.exit("Kedge needs Python 3.11 or later, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	@if [ -n "$(ROOT)" ] && [ -x $(BIN)/python ]; then $(BIN)/python -m kedge lab down; fi
	@rm -rf $(VENV) .venv-neutron .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist src/*.egg-info
