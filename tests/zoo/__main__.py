"""Runs networks through every stage; writes docs/networks.json, and with it the table of docs/tested-networks.md."""

import argparse
import json
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.photo.decoding import read_photo
from zoo.networks import NETWORKS
from zoo.stages import STAGES, Row, run_network
from zoo.table import write_table

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "server" / "web" / "assets" / "sample.jpg"
RESULTS = REPOSITORY / "docs" / "networks.json"
PAGE = REPOSITORY / "docs" / "tested-networks.md"
_LIBRARIES = (
    *("torch", "onnx", "onnxruntime", "openvino", "nncf", "tensorrt-rtx-cu13"),
    *("segmentation-models-pytorch", "timm", "monai", "torchvision", "dynamic-network-architectures", "transformers"),
)


def main() -> None:
    """Each row is written when its network is through: what was stopped goes on from there."""
    parser = argparse.ArgumentParser(prog="python -m zoo", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; default: all that are not in the file")
    parser.add_argument("--photo", type=Path, default=SAMPLE, help="calibrates INT8, and is segmented")
    arguments = parser.parse_args()
    asked = [network for network in NETWORKS if network.title.startswith(tuple(arguments.names))]
    chosen = asked if arguments.names else [network for network in NETWORKS if network.title not in read_rows()]
    photograph = read_photo(arguments.photo).pixels
    torch.set_num_threads(usable_cores())
    for network in chosen:
        with tempfile.TemporaryDirectory() as folder:
            row = run_network(network, photograph, Path(folder))
        print(network.title, json.dumps({stage: row[stage] for stage in STAGES if stage in row}), flush=True)
        write_rows({**read_rows(), network.title: row})  # read again: another run may work on others
    write_table(RESULTS, PAGE)


def read_rows() -> dict[str, Row]:
    """Name of each network that is through → its row."""
    known = json.loads(RESULTS.read_text("utf-8"))["networks"] if RESULTS.is_file() else []
    return {f"{row['library']} {row['network']}": row for row in known}


def write_rows(rows: dict[str, Row]) -> None:
    """In the order of the matrix, with what they were made by."""
    ordered = [rows[network.title] for network in NETWORKS if network.title in rows]
    report = {"schema": 1, "machine": _machine(), "versions": _versions(), "networks": ordered}
    with atomic_write(RESULTS) as name:
        name.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _machine() -> dict[str, Any]:
    return {"processor": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _LIBRARIES}


if __name__ == "__main__":
    main()
