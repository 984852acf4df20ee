#!/bin/sh
# Usage: docker/requirements.sh VENV
# An environment with what requirements/trt.txt names, file by file against its hash, and nothing beside it.
set -eu
venv=$1

python3 -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --no-input --no-deps --require-hashes \
    -r requirements/trt.txt
