# Two commands matter: `make run` and `make test`. `make help` lists the rest.

ifndef PYTHON
# Tried by running it: a pyenv shim may exist for a Python that does not.
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
endif

RUN := .venv
TEST := .venv-test
# Exactly what the lock names, nothing drawn beside it. Pip checks every file against its hash.
INSTALL := -m pip --disable-pip-version-check install --no-input --no-deps --require-hashes
EDITABLE := -m pip --disable-pip-version-check install --no-input --no-deps --no-build-isolation --editable .
CODE := runtime export server training benchmarks src tests

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test lint format typecheck tests bench wheel lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed 's/:[^#]*##/:/' | awk -F': ' '{printf "make %-10s %s\n", $$1, $$2}'

run: $(RUN)/.done ## serve the built-in model at http://127.0.0.1:8000 (ARGS="--port 8080")
	$(RUN)/bin/vesselrt serve $(ARGS)

test: lint typecheck tests ## everything that CI checks, in an environment of its own

lint: $(TEST)/.done ## ruff, the arrows between the folders, the Dockerfile and its scripts
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/lint-imports --no-logo
	$(TEST)/bin/hadolint Dockerfile.trt
	$(TEST)/bin/shellcheck docker/*.sh .ci/run

format: $(TEST)/.done ## let ruff mend what it can
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

typecheck: $(TEST)/.done ## mypy --strict
	$(TEST)/bin/mypy

tests: $(TEST)/.done ## pytest with coverage (ARGS="-k tiling")
	$(TEST)/bin/pytest --cov --cov-report=term $(ARGS)

bench: $(TEST)/.done ## time vesselrt beside PyTorch with MONAI (ARGS="--device cpu")
	$(TEST)/bin/vesselrt bench --compare $(ARGS)

wheel: $(RUN)/.done ## build dist/vesselrt-*.whl
	rm -rf dist
	$(RUN)/bin/python -m pip --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

clean: ## remove the environments and everything that was built
	rm -rf $(RUN) $(TEST) build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	rm -rf .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made anew when its lock changes, so that nothing of the old one stays; a change of pyproject.toml
# (entry point, package list) only installs vesselrt again.
$(RUN)/.lock: requirements/run.txt
	$(call environment,$(RUN))
	$(RUN)/bin/python $(INSTALL) -r $<
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
	$(COMPILE) requirements/build.in pyproject.toml --output-file build/run.txt >/dev/null
	$(COMPILE) requirements/build.in requirements/dev.in pyproject.toml --extra dev --constraint build/run.txt \
		--output-file build/dev.txt >/dev/null
	$(COMPILE) requirements/build.in pyproject.toml --extra tensorrt --constraint build/dev.txt \
		--output-file build/trt.txt >/dev/null
	@{ echo '# make lock: what `make run` installs, on every platform.'; cat build/run.txt; } >requirements/run.txt
	@{ echo '# make lock: what `make test` installs. On Linux its torch is the CUDA build and needs torch-cuda.txt; where'; \
	echo '# torch-cpu.txt was installed before, as make does, torch stays as it is. Install with --no-deps.'; \
	awk '/^[^ ]/ {cuda = /$(CUDA)/} !cuda; /^torch==/ {print "    $(TORCH_CPU) \\"}' build/dev.txt; } >requirements/dev.txt
	@{ echo '# make lock: what the image of Dockerfile.trt installs.'; cat build/trt.txt; } >requirements/trt.txt
	@{ echo '# make lock: the libraries that the CUDA build of torch needs, and the CPU build does not.'; \
	awk '/^[^ ]/ {cuda = /$(CUDA)/} cuda' build/dev.txt; } >requirements/torch-cuda.txt
