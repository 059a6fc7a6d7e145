# What an operator or a developer types. `make help` lists it. Everything is idempotent.
export PATH := $(PATH):/usr/sbin:/sbin
PY := .venv/bin/python
HOSTS ?= 3
KEEP ?=
PYTEST_ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help setup setup-lab venv demo test test-engines engines test-wireguard guest test-etcds etcds pythons check lint bench chaos soak faults lab-up lab-down
.PHONY: mutants lock audit deb rpm image wheel zipapp checksums docs reference man clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

setup: ## install what is missing: system packages with Docker (apt, as root; nothing is started) and .venv
	@sh integration/setup.sh

setup-lab:
	@sh integration/setup.sh lab

venv:
	@sh integration/setup.sh venv

demo: setup-lab ## three hosts, an etcd, containers, faults; KEEP=1 leaves it up
	@KEEP=$(KEEP) $(PY) -m integration demo

test: setup ## everything: lint, types, layers and all tests (root; namespaces, real etcds, a real Docker)
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	sh tests/run.sh $(PY) $(PYTEST_ARGS) || status=1; \
	exit $$status

engines: ## fetch newer Docker engines (Debian's 26.1 and 28.5, 60 MB each) to the user's cache; unpacked, not installed
	@sh integration/hosts/engines/fetch.sh

test-engines: setup engines ## the tests on newer Docker engines and a booted Debian 13, and the long ones
	@sh tests/run.sh $(PY) -m more_engines tests/engines tests/docker tests/package tests/docs tests/ansible tests/systemd $(PYTEST_ARGS)

guest: ## build a kernel with WireGuard and ipip to the user's cache (User-Mode Linux; 13 minutes of a processor, once)
	@sh integration/guest/build.sh

test-wireguard: setup-lab ## what needs WireGuard or ipip in the kernel, in a guest that has them; no /dev/kvm, nothing is loaded here
	@sh integration/guest/run.sh $(CURDIR)/$(PY) -m pytest -q -p no:cacheprovider -m guest tests/guest $(PYTEST_ARGS)

etcds: ## fetch the etcds of Debian 12, 13 and forky (3.4.23, 3.5.16, 3.5.30) to the user's cache; unpacked, not installed
	@sh integration/etcd/fetch.sh

test-etcds: setup etcds ## what is promised of an etcd, and of the embedded store beside it, on each of those
	@status=0; for etcd in $${FLANPY_ETCDS:-$${XDG_CACHE_HOME:-$$HOME/.cache}/flanpy/etcds}/*; do \
	  echo "== $$($$etcd/etcd --version | head -n 1)"; \
	  FLANPY_ETCD=$$etcd sh tests/run.sh $(PY) tests/contract/test_store.py tests/contract/test_store_faults.py tests/store/session \
	    tests/storeserver/test_same_as_etcd.py $(PYTEST_ARGS) || status=1; \
	done; exit $$status

pythons: ## fetch the Pythons of newer Debians (3.13 and 3.14, 20 MB each) to the user's cache; unpacked, not installed
	@sh integration/pythons/fetch.sh

check: venv ## lint, types, layers and the tests that need neither root nor an etcd, on every Python found (PYTHON=... on that alone)
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	sh tests/check.sh $(PYTEST_ARGS) || status=1; \
	exit $$status

lint: venv
	@status=0; \
	.venv/bin/ruff check -q || status=1; \
	.venv/bin/ruff format -q --check || status=1; \
	.venv/bin/mypy || status=1; \
	.venv/bin/lint-imports --no-logo || status=1; \
	exit $$status

mutants: venv ## change a module one thing at a time and list what no test notices (MODULE=flanpy/plan/border.py)
	@$(PY) -m tests.mutants $(MODULE) $(MUTANTS_ARGS)

bench: setup-lab ## the figures, as a table, JSON and a plot under bench/results
	@$(PY) -m bench $(BENCH_ARGS)

faults: setup-lab ## every fault for as long as it takes (an hour and more), and one table of all; FAULTS_ARGS='--family kernel'
	@$(PY) -m integration faults --long $(FAULTS_ARGS)

chaos: setup-lab ## random faults on five hosts for five minutes, judged; CHAOS_ARGS='--seed 7 --seconds 60 --backend udp'
	@$(PY) -m integration chaos $(CHAOS_ARGS)

soak: setup-lab ## ten minutes among 1,000 peers that come and go: memory, files, threads stay flat; SOAK_ARGS='--minutes 20 --inside'
	@$(PY) -m integration soak $(SOAK_ARGS)

lock: ## write deploy/locks again: every package at its version of constraints.txt, with the hashes of its files
	@sh deploy/locks/make.sh

audit: ## ask for known vulnerabilities of what is locked; says so where the database is out of reach
	@sh deploy/locks/audit.sh

deb: ## a Debian package with all that flanpy needs, for Python 3.11 to 3.14: dist/flanpy_VERSION_ARCH.deb (DEB_ARCH=arm64)
	@sh deploy/debian/build.sh dist

rpm: ## the same as an RPM package: dist/flanpy-VERSION-1.MACHINE.rpm
	@sh deploy/rpm/build.sh dist

image: ## a container image, as root and without a registry: dist/flanpy-image-VERSION-ARCH.tar.gz (DEB_ARCH=arm64)
	@sh deploy/image/build.sh dist

wheel: venv ## a Python wheel: dist/flanpy-VERSION-py3-none-any.whl
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)} \
	$(PY) -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . && ls dist/flanpy-*.whl

zipapp: ## flanpyctl as one file, for hosts on which nothing is to be installed: dist/flanpyctl-VERSION-cp3N-MACHINE.pyz
	@sh deploy/zipapp/build.sh dist

checksums: ## SHA256SUMS of what is in dist, signed if SIGNING_KEY names an SSH key
	@sh deploy/checksums.sh dist

docs: venv ## the documentation as web pages: docs/_build/html/index.html; a warning fails it
	@.venv/bin/sphinx-build -W --keep-going -q -b html docs docs/_build/html && echo docs/_build/html/index.html

reference: venv ## write docs/reference again from the code
	@$(PY) -m tests.monitoring.record && $(PY) -m docs.generate reference

man: venv ## the manual pages, made from the code: build/man
	@rm -rf build/man && $(PY) -m docs.generate man build/man && ls build/man

lab-up: setup-lab ## build a lab and leave it up (HOSTS=3)
	@$(PY) -m integration up --hosts $(HOSTS)

lab-down: ## remove the labs left up
	@[ ! -x $(PY) ] || $(PY) -m integration down

clean: lab-down ## remove the labs left up, the virtualenv and all caches
	@rm -rf .venv .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist docs/_build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
