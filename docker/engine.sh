#!/bin/sh
# Usage: docker/engine.sh VENV TARGET ENGINE
# vesselrt itself, the engine of its built-in model for TARGET, and then nothing that only made them.
set -eu
venv=$1 target=$2 engine=$3

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

pip install --no-deps --no-build-isolation .
mkdir -p "$(dirname "$engine")"
"$venv/bin/vesselrt" compile fundus --target "$target" --out "$engine"

# The exit code says that the file is whole; that it computes in FP16 is asked for here.
found=$("$venv/bin/vesselrt" engine info "$engine")
printf '%s\n' "$found" | grep -Eq '^ +engine .* for sm[0-9]+ in fp16$' || {
    echo "$engine: not an FP16 engine for one kind of GPU: $found" >&2
    exit 1
}

pip uninstall --yes onnx ml-dtypes setuptools
pip check
# A fifth of the environment, and only ever the faster of two ways to run on a processor: `--device cpu` takes the other.
pip uninstall --yes openvino openvino-telemetry pip
