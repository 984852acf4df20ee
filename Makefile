# Two commands matter: `make run` and `make test`. `make help` lists the rest.

ifndef PYTHON
# Tried by running it: a pyenv shim may exist for a Python that does not.
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
endif

RUN := .venv
TEST := .venv-test
DOCS := .venv-docs
LOWEST := .venv-lowest
# Exactly what the lock names, nothing drawn beside it. Pip checks every file against its hash.
INSTALL := -m pip --disable-pip-version-check install --no-input --no-deps --require-hashes
EDITABLE := -m pip --disable-pip-version-check install --no-input --no-deps --no-build-isolation --editable .
WEB := server/web
PAGE := server/static/page/index.html
PAGE_SOURCES := $(shell find $(WEB) \( -name node_modules -o -name .next -o -name out -o -name e2e -o -name tests \) -prune -o \
	-type f ! -name next-env.d.ts ! -name '*.tsbuildinfo' -print)
NODE := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(+(a < 20 || (a === 20 && b < 9)))' \
	>/dev/null 2>&1 && npm --version >/dev/null 2>&1
NO_NODE := Node.js 20.9 or later with npm is missing: the page at / is not built, a plainer one takes its place.
# npm writes the file that is compared when it has installed everything.
NPM := cd $(WEB) && { test node_modules/.package-lock.json -nt package-lock.json || npm ci; } && NEXT_TELEMETRY_DISABLED=1 npm
PAGE_IF_NODE := if $(NODE); then $(MAKE) --no-print-directory web; elif ! $(MAKE) -q $(PAGE); then echo "$(NO_NODE)" >&2; fi
CODE := runtime export server training benchmarks docs examples src tests

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run web web-offline test lint format typecheck tests lowest web-test docs bench wheel lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed 's/:[^#]*##/:/' | awk -F': ' '{printf "make %-11s %s\n", $$1, $$2}'

run: $(RUN)/.done ## serve the built-in model at http://127.0.0.1:8000 (ARGS="--port 8080")
	@$(PAGE_IF_NODE) || echo "The page could not be built: / is the one that is there." >&2
	$(RUN)/bin/vesselrt serve $(ARGS)

web: $(PAGE) ## build the page at / from server/web (needs Node.js)

web-offline: ## build web-offline/, the page that needs no server (needs Node.js; MODEL=/path/to/model.onnx)
	@$(NODE) || { echo "$(NO_NODE)" >&2; exit 1; }
	cd $(WEB)/offline && { test node_modules/.package-lock.json -nt package-lock.json || npm ci --ignore-scripts; }
	$(NPM) run offline -- $(CURDIR)/web-offline $(abspath $(MODEL))

test: lint typecheck tests ## everything that CI checks, in an environment of its own

lint: $(TEST)/.done ## ruff, the arrows between the folders, the Dockerfiles and their scripts
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/lint-imports --no-logo
	$(TEST)/bin/hadolint Dockerfile Dockerfile.trt
	$(TEST)/bin/shellcheck docker/*.sh .ci/run

format: $(TEST)/.done ## let ruff mend what it can
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

typecheck: $(TEST)/.done ## mypy --strict
	$(TEST)/bin/mypy

# With the environment of the tests: the page also asks for what extras do, measurements and DICOM.
web-test: $(TEST)/.done ## lint and test the page, in Debian's Chromium (CHROMIUM=/path/to/another)
	@$(NODE) || { echo "$(NO_NODE)" >&2; exit 1; }
	$(NPM) run check
	$(NPM) test
	@$(MAKE) --no-print-directory web
	@$(MAKE) --no-print-directory web-offline
	export VESSELRT="$(CURDIR)/$(TEST)/bin/vesselrt"; $(NPM) run e2e -- $(ARGS)
	export VESSELRT="$(CURDIR)/$(TEST)/bin/vesselrt"; $(NPM) run e2e -- --config playwright.offline.config.ts

# Two processes, whatever the machine: each test computes on several threads anyway.
tests: $(TEST)/.done ## pytest (ARGS="-k tiling"; ARGS=--cov counts the lines that ran, and takes longer)
	$(TEST)/bin/pytest --numprocesses 2 --dist worksteal --benchmark-disable $(ARGS)

# The lowest releases that pyproject.toml allows, on the lowest Python: what these tests touch works with them. They are
# older than some that they stand on, whose deprecations say nothing of vesselrt.
LOWEST_TESTS := tests/package/test_import.py tests/runtime/backends tests/runtime/output \
	$(addprefix tests/runtime/,engines/test_cache.py test_tiling.py test_segmenter.py test_load.py) \
	$(addprefix tests/runtime/photo/test_,decode.py refused_files.py photograph.py preparation.py) \
	$(addprefix tests/training/data/test_,annotations.py geojson.py tracing.py) \
	$(addprefix tests/training/evaluation/test_,counting.py evaluation.py) \
	$(addprefix tests/server/test_,predict.py refusals.py batch.py client.py)
# The words of the one that is left out are those of a later Starlette.
LOWEST_TESTS_LEFT_OUT := tests/server/test_refusals.py::test_bad_request_gets_one_clear_message[damaged multipart]
lowest: $(LOWEST)/.done ## the tests of runtime and server with the lowest releases allowed (Python 3.11)
	$(LOWEST)/bin/python -m pytest -W ignore::DeprecationWarning $(LOWEST_TESTS) \
		--deselect "$(LOWEST_TESTS_LEFT_OUT)" $(ARGS)

docs: $(DOCS)/.done ## build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet
	@echo "open site/index.html"

bench: $(TEST)/.done ## time vesselrt beside PyTorch with MONAI (ARGS="--device cpu")
	$(TEST)/bin/vesselrt bench --compare $(ARGS)

wheel: $(RUN)/.done ## build dist/vesselrt-*.whl, with the page
	@$(PAGE_IF_NODE)
	rm -rf dist
	$(RUN)/bin/python -m pip --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove the environments and everything that was built
	rm -rf $(RUN) $(TEST) $(LOWEST) $(DOCS) site web-offline build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	rm -rf .import_linter_cache server/static/page server/web/.next server/web/out server/web/node_modules server/web/offline/node_modules
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(PAGE): $(PAGE_SOURCES)
	@$(NODE) || { echo "$(NO_NODE)" >&2; exit 1; }
	$(NPM) run build

# An environment is made anew when its lock changes, so that nothing of the old one stays; a change of pyproject.toml
# (entry point, package list) only installs vesselrt again.
$(RUN)/.lock: requirements/run.txt
$(DOCS)/.lock: requirements/docs.txt
$(RUN)/.lock $(DOCS)/.lock:
	$(call environment,$(@D))
	$(@D)/bin/python $(INSTALL) -r $<
	touch $@

$(LOWEST)/.lock: requirements/lowest.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	{ echo "the lowest releases are those for Python 3.11: run make with PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(call environment,$(LOWEST))
	$(LOWEST)/bin/python $(INSTALL) -r $<
	$(LOWEST)/bin/python -m pip check
	touch $@

# The CPU build of torch first, where the package index has it: the lock is then content with it. Pip would choose the
# CUDA build, which needs several GB of libraries; without them pip check fails.
$(TEST)/.lock: requirements/torch-cpu.txt requirements/dev.txt requirements/torch-cuda.txt
	$(call environment,$(TEST))
	@$(TEST)/bin/python $(INSTALL) -r requirements/torch-cpu.txt 2>/dev/null || echo "No CPU build of torch in the package index."
	$(TEST)/bin/python $(INSTALL) -r requirements/dev.txt
	@$(TEST)/bin/python -m pip check >/dev/null || $(TEST)/bin/python $(INSTALL) -r requirements/torch-cuda.txt
	$(TEST)/bin/python -m pip check
	touch $@

%/.done: %/.lock pyproject.toml
	$*/bin/python $(EDITABLE)
	touch $@

define environment
@test -n "$(PYTHON)" || { echo "vesselrt needs Python 3.11 or later: install it, or run make with PYTHON=/path/to/python" >&2; exit 1; }
"$(PYTHON)" -m venv --clear $(1)
endef

# Locks hold for every platform and for Python 3.11 and later. They name no index: pip's own settings choose it.
COMPILE := $(TEST)/bin/uv --no-config pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-header --no-annotate --upgrade
CUDA := ^(nvidia-|cuda-toolkit|triton==)

# The CPU build is another file than PyPI's under the same pin: its hash is kept by hand in torch-cpu.txt.
lock: TORCH_CPU = $(shell grep -o -- '--hash=.*' requirements/torch-cpu.txt)
lock: | $(TEST)/.done ## resolve requirements/*.txt anew
	mkdir -p build
	$(COMPILE) requirements/build.in pyproject.toml --extra serve --output-file build/run.txt >/dev/null
	$(COMPILE) requirements/build.in requirements/dev.in pyproject.toml --extra dev --constraint build/run.txt \
		--output-file build/dev.txt >/dev/null
	$(COMPILE) requirements/build.in pyproject.toml --extra serve --extra tensorrt --constraint build/dev.txt \
		--output-file build/trt.txt >/dev/null
	$(COMPILE) requirements/build.in requirements/lowest.in pyproject.toml --resolution lowest-direct \
		$(addprefix --extra ,serve client evaluate engines) --output-file build/lowest.txt >/dev/null
	$(COMPILE) requirements/build.in requirements/docs.in pyproject.toml --extra serve --constraint build/run.txt \
		--output-file build/docs.txt >/dev/null
	@{ echo '# make lock: what `make run` installs, on every platform.'; cat build/run.txt; } >requirements/run.txt
	@{ echo '# make lock: what `make test` installs. On Linux its torch is the CUDA build and needs torch-cuda.txt; where'; \
	echo '# torch-cpu.txt was installed before, as make does, torch stays as it is. Install with --no-deps.'; \
	awk '/^[^ ]/ {cuda = /$(CUDA)/} !cuda; /^torch==/ {print "    $(TORCH_CPU) \\"}' build/dev.txt; } >requirements/dev.txt
	@{ echo '# make lock: what the image of Dockerfile.trt installs.'; cat build/trt.txt; } >requirements/trt.txt
	@{ echo '# make lock: what `make docs` builds the site with.'; cat build/docs.txt; } >requirements/docs.txt
	@{ echo '# make lock: what `make lowest` tests, the lowest releases that pyproject.toml allows.'; \
	cat build/lowest.txt; } >requirements/lowest.txt
	@{ echo '# make lock: the libraries that the CUDA build of torch needs, and the CPU build does not.'; \
	awk '/^[^ ]/ {cuda = /$(CUDA)/} cuda' build/dev.txt; } >requirements/torch-cuda.txt
