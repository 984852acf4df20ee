"""A model repository for NVIDIA's Triton: the network as one model, and beside it one that takes photographs."""

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from vesselrt.runtime.engines.enginefile import FLAVOUR_NAMES, is_engine, read_engine
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.server.triton_model import MANIFEST_FILE

NETWORK_SUFFIX = "-network"
_BATCH = 4
"""Windows of one request to the network, and of the batches that Triton makes of several."""

_PHOTOGRAPHS = """\
# Photographs in, maps out: vesselrt's own preparation and tiling. The network is {network}, in the next folder.
name: "{name}"
backend: "python"
max_batch_size: 0
input [
  {{ name: "file" data_type: TYPE_STRING dims: [ 1 ] optional: true }},
  {{ name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] optional: true }},
  {{ name: "threshold" data_type: TYPE_FP32 dims: [ 1 ] optional: true }}
]
output [
  {{ name: "probability" data_type: TYPE_UINT8 dims: [ {maps} ] }},
  {{ name: "mask" data_type: TYPE_BOOL dims: [ {maps} ] }}
]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
parameters {{ key: "network" value {{ string_value: "{network}" }} }}
parameters {{ key: "network_output" value {{ string_value: "{output}" }} }}
parameters {{ key: "network_batch" value {{ string_value: "{batch}" }} }}
"""
_NETWORK = """\
# Windows of prepared photographs in, probabilities out; {name} asks it.
name: "{network}"
platform: "{platform}"
max_batch_size: {batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {channels}, {side}, {side} ] }} ]
output [ {{ name: "{output}" data_type: {answer} dims: [ {classes}, {side}, {side} ] }} ]
dynamic_batching {{ }}
"""
_CODE = '''\
"""Triton's Python backend finds its class here."""
from vesselrt.server.triton_model import TritonPythonModel  # noqa: F401
'''


def write_triton_repository(model: str | Path | None, folder: Path, instances: int = 2) -> list[Path]:
    """Adds a model file, or an engine file of TensorRT, to the repository `folder`; the two folders that were made.

    `instances`: photographs that are prepared at once. Both folders are whole or not there.

    Raises ModelNotFoundError, ModelError, EngineError, OptionError for an engine that Triton can't run or a folder that
    is already there, OSError.
    """
    path = find_model_file(model)
    manifest, network = _engine_facts(path) if is_engine(path) else _model_facts(path)
    name, classes = manifest.name, len(manifest.classes)
    values = {
        **asdict(network),
        "name": name,
        "network": name + NETWORK_SUFFIX,
        "classes": classes,
        "channels": manifest.channel_count,
        "maps": "-1, -1" if classes == 1 else f"{classes}, -1, -1",
        "instances": instances,
    }
    files = {
        f"{name}{NETWORK_SUFFIX}/config.pbtxt": _NETWORK.format(**values),
        f"{name}/config.pbtxt": _PHOTOGRAPHS.format(**values),
        f"{name}/1/model.py": _CODE,
        f"{name}/1/{MANIFEST_FILE}": manifest.model_dump_json(indent=1) + "\n",
    }
    targets = [folder / (name + NETWORK_SUFFIX), folder / name]
    for target in targets:
        if target.exists():
            raise OptionError(f"{target} is already there. Remove it, or write to another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vesselrt-", dir=folder) as whole:
        for file, text in files.items():
            place = Path(whole, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
        version = Path(whole, name + NETWORK_SUFFIX, "1")
        version.mkdir()
        network.write_file(path, version)
        for target in targets:  # the photographs' model last: it needs the other
            Path(whole, target.name).rename(target)
    return targets


@dataclass(frozen=True)
class _Network:
    """What the network's config says of it."""

    platform: str
    output: str
    answer: str
    """Type of the output."""
    side: int
    """Of a window in pixels; -1: any."""
    batch: int
    plan: bytes | None = None
    """Of an engine."""

    def write_file(self, path: Path, version: Path) -> None:
        """The file as Triton wants it in a version's folder."""
        if self.plan is None:
            shutil.copyfile(path, version / "model.onnx")
        else:
            (version / "model.plan").write_bytes(self.plan)


def _model_facts(path: Path) -> tuple[Manifest, _Network]:
    manifest = read_manifest(path)
    side = manifest.tile.size if manifest.tile.fixed else -1
    return manifest, _Network("onnxruntime_onnx", "probability", "TYPE_FP32", side, _BATCH)


def _engine_facts(path: Path) -> tuple[Manifest, _Network]:
    engine = read_engine(path)
    header = engine.header
    if header.flavour != "tensorrt":
        raise OptionError(
            f"{path} was made by {FLAVOUR_NAMES[header.flavour]} {header.version}. Triton runs plans of TensorRT "
            "itself: write the ONNX model file, or compile it with the TensorRT release of your Triton."
        )
    if header.profile.batch[0] > 1:
        raise OptionError(f"{path} takes no batch under {header.profile.batch[0]}. Compile it for batches from 1 on.")
    network = _Network(
        "tensorrt_plan", "probability levels", "TYPE_UINT8", header.profile.tile, header.profile.batch[2], engine.plan
    )
    return engine.manifest, network
