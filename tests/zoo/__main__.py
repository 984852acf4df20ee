"""Runs networks through every stage; writes docs/networks.json, and with it the table of docs/tested-networks.md.

Exit status 1: a stage failed, or was refused where that is no known limit of a library.
"""

import argparse
import json
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import cpu_name, usable_cores
from vesselrt.runtime.photo.decoding import read_photo
from zoo.networks import NETWORKS, ZooNetwork
from zoo.stages import STAGES, Row, run_network, unexpected
from zoo.table import write_table

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "server" / "web" / "assets" / "sample.jpg"
RESULTS = REPOSITORY / "docs" / "networks.json"
PAGE = REPOSITORY / "docs" / "tested-networks.md"
_LIBRARIES = (
    *("torch", "onnx", "onnxruntime", "openvino", "nncf", "tensorrt-rtx-cu13"),
    *("segmentation-models-pytorch", "timm", "monai", "torchvision", "dynamic-network-architectures", "transformers"),
)


def main() -> int:
    """Each row is written when its network is through: what was stopped goes on from there."""
    parser = argparse.ArgumentParser(prog="python -m zoo", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; default: all that are not in the file")
    parser.add_argument("--all", action="store_true", help="those that are in the file too")
    parser.add_argument("--table", action="store_true", help="run none; write the table of what is in the file")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--photo", type=Path, default=SAMPLE, help="calibrates INT8, and is segmented")
    arguments = parser.parse_args()
    found = [] if arguments.table else _run(_chosen(arguments), arguments.results, read_photo(arguments.photo).pixels)
    if arguments.results == RESULTS:
        write_table(RESULTS, PAGE)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def _chosen(arguments: argparse.Namespace) -> list[ZooNetwork]:
    if arguments.names:
        return [network for network in NETWORKS if network.title.startswith(tuple(arguments.names))]
    known = {} if arguments.all else read_rows(arguments.results)
    return [network for network in NETWORKS if network.title not in known]


def _run(networks: list[ZooNetwork], results: Path, photograph: Image) -> list[str]:
    """Returns what was not expected."""
    torch.set_num_threads(usable_cores())
    found = []
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            row = run_network(network, photograph, Path(folder))
        print(network.title, json.dumps({stage: row[stage] for stage in STAGES if stage in row}), flush=True)
        write_rows({**read_rows(results), network.title: row}, results)  # read again: another run may work on others
        found += unexpected(row, network)
    return found


def read_rows(results: Path) -> dict[str, Row]:
    """Name of each network that is through → its row."""
    known = json.loads(results.read_text("utf-8"))["networks"] if results.is_file() else []
    return {f"{row['library']} {row['network']}": row for row in known}


def write_rows(rows: dict[str, Row], results: Path) -> None:
    """In the order of the matrix, with what they were made by."""
    ordered = [rows[network.title] for network in NETWORKS if network.title in rows]
    report = {"schema": 1, "machine": _machine(), "versions": _versions(), "networks": ordered}
    with atomic_write(results) as name:
        name.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _machine() -> dict[str, Any]:
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    return {"processor": cpu_name(), "cores": usable_cores(), **versions}


def _versions() -> dict[str, str]:
    found = {name: list(metadata.distributions(name=name)) for name in _LIBRARIES}
    return {name: distributions[0].version for name, distributions in found.items() if distributions}


if __name__ == "__main__":
    sys.exit(main())
