#!/bin/sh
# Usage: docker/requirements.sh VENV [FILE]
# An environment with what FILE, by default requirements/trt.txt, names, file by file against its hash, and nothing beside it.
set -eu
venv=$1 file=${2:-requirements/trt.txt}

python3 -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --no-input --no-deps --require-hashes \
    -r "$file"
