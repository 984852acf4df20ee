"""`vesselrt triton`: what it writes is what Triton reads, and gives what the library gives.

Triton itself is not run: its protocol buffer parses the configuration, and a stand-in for the module that only its
Python backend has runs the network by ONNX Runtime.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from engines import engine_of, manifest_of
from serving import PHOTO
from typer.testing import CliRunner

import vesselrt
from vesselrt.cli import app
from vesselrt.runtime.engines.enginefile import Engine, Profile
from vesselrt.runtime.errors import OptionError
from vesselrt.server.triton_repository import write_triton_repository

NUMPY = {"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32, "TYPE_BOOL": np.bool_}


def parsed(folder: Path) -> Any:
    """config.pbtxt by Triton's own schema. `tritonclient.grpc` itself can't be imported without grpcio."""
    (home,) = importlib.import_module("tritonclient").__path__
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(home, "grpc", "model_config_pb2.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text_format = importlib.import_module("google.protobuf.text_format")
    return text_format.Parse((folder / "config.pbtxt").read_text("utf-8"), module.ModelConfig())


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class TritonError(Exception):
    def message(self) -> str:
        return str(self)


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.tensors, self._error = output_tensors or [], error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError:
        assert self._error is not None
        return self._error


@pytest.fixture
def triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """triton_python_backend_utils, as far as it is asked; it checks windows by the network's configuration."""
    repository = tmp_path / "repository"

    class Request:
        def __init__(
            self, model_name: str, requested_output_names: list[str], inputs: list[Tensor], preferred_memory: str
        ) -> None:
            self.folder, self.outputs, self.inputs = repository / model_name, requested_output_names, inputs
            assert preferred_memory == "CPU"

        def exec(self) -> Response:
            config = parsed(self.folder)
            (given,), (declared,), (made,) = self.inputs, config.input, config.output
            windows = given.as_numpy()
            assert given.name() == declared.name
            assert windows.shape[0] <= config.max_batch_size
            assert all(side in (-1, got) for side, got in zip(declared.dims, windows.shape[1:], strict=True))
            try:
                session = onnxruntime.InferenceSession(self.folder / "1" / "model.onnx")
            except Exception as error:  # noqa: BLE001 - as Triton hands on whatever its backends raise
                return Response(error=TritonError(str(error)))
            return Response([Tensor(made.name, session.run(self.outputs, {declared.name: windows})[0])])

    module = ModuleType("triton_python_backend_utils")
    vars(module).update(
        Tensor=Tensor, InferenceRequest=Request, InferenceResponse=Response, TritonError=TritonError,
        PreferredMemory=lambda kind: kind, TRITONSERVER_MEMORY_CPU="CPU",
        get_input_tensor_by_name=lambda request, name: next((t for t in request.inputs if t.name() == name), None),
        get_output_tensor_by_name=lambda answer, name: next(t for t in answer.tensors if t.name() == name),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def asked(*outputs: str, **inputs: Any) -> Any:
    tensors = [Tensor(name, array) for name, array in inputs.items()]
    return SimpleNamespace(inputs=tensors, requested_output_names=lambda: list(outputs))


def started(repository: Path, name: str) -> Any:
    """The Python model, by the code that was written."""
    folder = repository / name
    code = folder / "1" / "model.py"
    scope: dict[str, Any] = {}
    exec(compile(code.read_text("utf-8"), str(code), "exec"), scope)
    model = scope["TritonPythonModel"]()
    config = parsed(folder)
    parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
    given = {"model_config": json.dumps({"parameters": parameters}), "model_repository": str(folder)}
    model.initialize({**given, "model_version": "1"})
    return model


def test_a_photograph_gives_what_the_library_gives(triton: ModuleType, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    done = CliRunner().invoke(app, ["triton", "fundus", "-o", str(repository)])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(repository / "fundus-network"), str(repository / "fundus")]
    assert sorted(path.name for path in repository.iterdir()) == ["fundus", "fundus-network"]
    with vesselrt.load(device="cpu:onnxruntime", precision="f32") as segmenter:
        expected = segmenter.segment(PHOTO)
    model = started(repository, "fundus")
    encoded = np.array([PHOTO], object)
    (whole, part, other, bad, none) = model.execute(
        [
            asked("probability", "mask", file=encoded),
            asked("mask", file=encoded, threshold=np.array([0.8], np.float32)),
            asked("probability", image=expected.image),
            asked("mask", file=np.array([b"nothing"], object)),
            asked("mask"),
        ]
    )
    assert [tensor.name() for tensor in whole.tensors] == ["probability", "mask"]
    for tensor, declared in zip(whole.tensors, parsed(repository / "fundus").output, strict=True):
        assert tensor.as_numpy().dtype == NUMPY[text_type(declared)]
        assert tensor.as_numpy().ndim == len(declared.dims)
    assert np.array_equal(whole.tensors[0].as_numpy(), expected.probability)
    assert np.array_equal(whole.tensors[1].as_numpy(), expected.mask())
    assert np.array_equal(part.tensors[0].as_numpy(), expected.mask(float(np.float32(0.8))))
    assert np.array_equal(other.tensors[0].as_numpy(), expected.probability)
    assert bad.error().message().startswith("not an image: it begins with b'nothing'")
    assert none.error().message().startswith("expected one of the inputs file")
    (repository / "fundus-network" / "1" / "model.onnx").unlink()
    (broken,) = model.execute([asked("mask", file=encoded)])
    assert broken.error().message().startswith("Triton could not run fundus-network: ")
    model.finalize()


def text_type(declared: Any) -> str:
    name: str = declared.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[declared.data_type].name
    return name


def test_an_engine_of_tensorrt_becomes_a_plan(tmp_path: Path) -> None:
    engine_of(flavour="tensorrt", version="11.1.0", profile=Profile(tile=64, batch=(1, 2, 8))).write(
        tmp_path / "x.engine"
    )
    network, photographs = write_triton_repository(tmp_path / "x.engine", tmp_path / "repository", instances=3)
    assert (network / "1" / "model.plan").read_bytes() == b"the plan of an engine"
    config = parsed(network)
    assert (config.name, config.platform, config.max_batch_size) == ("tiny-network", "tensorrt_plan", 8)
    assert list(config.input[0].dims) == [1, 64, 64]
    assert (text_type(config.input[0]), text_type(config.output[0])) == ("TYPE_UINT8", "TYPE_UINT8")
    assert parsed(photographs).instance_group[0].count == 3


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, r"was made by TensorRT for RTX 1\.2\.3\.4\. Triton runs plans of TensorRT"),
        ({"flavour": "tensorrt", "profile": Profile(tile=64, batch=(2, 2, 4))}, "takes no batch under 2"),
    ],
)
def test_an_engine_that_triton_can_not_run_is_refused(known: dict[str, Any], message: str, tmp_path: Path) -> None:
    engine_of(**known).write(tmp_path / "x.engine")
    with pytest.raises(OptionError, match=message):
        write_triton_repository(tmp_path / "x.engine", tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fundus").mkdir()
    with pytest.raises(OptionError, match=r"fundus is already there\. Remove it, or write to another folder\.$"):
        write_triton_repository(None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fundus"]
    assert list((tmp_path / "fundus").iterdir()) == []


def test_classes_are_the_first_axis_of_the_maps(tmp_path: Path) -> None:
    known = engine_of(flavour="tensorrt").header.model_dump(exclude={"format", "plan_size", "plan_sha256"})
    known["proof"] *= 2
    manifest = manifest_of(precision="fp16", classes=["artery", "vein"])
    Engine.of(b"plan", manifest, **known).write(tmp_path / "x.engine")
    network, photographs = map(parsed, write_triton_repository(tmp_path / "x.engine", tmp_path / "repository"))
    assert list(network.output[0].dims) == [2, 64, 64]
    assert [list(output.dims) for output in photographs.output] == [[2, -1, -1], [2, -1, -1]]
