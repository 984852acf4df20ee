"""What TensorRT refuses, and the kernels that it compiles. TensorRT and the GPU are fakes."""

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import TILE, Context, FakeTensorRt, backend_of, engine_of, windows

from vesselrt.runtime.engines.enginefile import proof_from_probability, proof_window
from vesselrt.runtime.errors import DeviceError, EngineError
from vesselrt.runtime.modelfile import read_manifest


def test_tensorrt_has_what_is_asked_of_it() -> None:
    """The stand-ins above have no name that the real ones lack."""
    real = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")
    for stand_in, kind in ((Context, real.IExecutionContext), (FakeTensorRt, real)):
        names = {name for name in vars(stand_in) if not name.startswith("_")}
        assert {name for name in names if not hasattr(kind, name)} <= {"network", "complain", "does"}
    assert hasattr(real.DataType, "UINT8")
    assert hasattr(real.TensorIOMode, "INPUT")
    assert hasattr(real.ExecutionContextAllocationStrategy, "USER_MANAGED")
    assert hasattr(real.DynamicShapesKernelSpecializationStrategy, "EAGER")
    for kind, names in {
        real.Runtime: {"deserialize_cuda_engine", "get_engine_validity", "engine_header_size"},
        real.ICudaEngine: {"num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"}
        | {"create_runtime_config", "create_execution_context"},
        real.IRuntimeConfig: {"set_execution_context_allocation_strategy", "create_runtime_cache", "set_runtime_cache"}
        | {"dynamic_shapes_kernel_specialization_strategy"},
        real.IRuntimeCache: {"serialize", "deserialize"},
    }.items():
        assert {name for name in names if not hasattr(kind, name)} == set()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("plan", r"^TensorRT for RTX 1\.2\.3\.4 does not load the engine: no plan\. Compile the model again\.$"),
        ("config", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no config\. Compile the model again\.$"),
        ("cache", r"^TensorRT for RTX 1\.2\.3\.4 can't keep kernels: no cache\."),
        ("set cache", r"^TensorRT for RTX 1\.2\.3\.4 can't keep kernels: no set cache\."),
        ("context", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no context\."),
        ("profile", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no profile\."),
        ("shape", r"^TensorRT for RTX 1\.2\.3\.4 takes no windows of shape \(1, 1, 32, 32\): no shape\."),
        ("address", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no address\."),
        ("run", r"^TensorRT for RTX 1\.2\.3\.4 can't run the engine: no run\."),
        ("result", r"^this RTX 2080 Ti gives other probabilities .* 256 of 256 differ by more than 0\.05\. .*f32\.$"),
    ],
)
def test_an_engine_that_does_not_do_what_it_should(broken: str, message: str) -> None:
    trt = FakeTensorRt(FakeCuda(), broken=broken)
    with pytest.raises(EngineError, match=message):
        backend_of(trt)
    assert trt.cuda.in_use == 0


def test_tensorrt_that_does_not_start() -> None:
    trt = FakeTensorRt(FakeCuda(), broken="runtime")
    with pytest.raises(DeviceError, match=r"^TensorRT for RTX 1\.2\.3\.4 does not start: no runtime\. See nvidia-smi"):
        backend_of(trt)


def test_an_output_of_more_channels_is_refused_before_it_is_written(trt: FakeTensorRt) -> None:
    trt.output_channels = 2
    with pytest.raises(EngineError, match=r"^of windows of shape \(1, 1, 32, 32\) the engine gives \(1, 2, 32, 32\)\."):
        backend_of(trt)
    assert not any(call.startswith("run") for call in trt.cuda.calls)
    assert trt.cuda.in_use == 0


def test_an_engine_of_several_classes_has_room_for_each(trt: FakeTensorRt) -> None:
    trt.output_channels = 3
    backend = backend_of(trt, engine_of(classes=("artery", "vein", "disc")))
    (sent,) = windows(3)
    (answer,) = backend.infer([sent])
    np.testing.assert_array_equal(answer, np.concatenate([255 - sent, (255 - sent) >> 1, (255 - sent) >> 2], axis=1))
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_wrong_class_is_found_by_the_proof(trt: FakeTensorRt) -> None:
    trt.output_channels = 2
    proof = bytes(2 * len(engine_of().header.proven))
    with pytest.raises(EngineError, match=r"^this RTX 2080 Ti gives other probabilities .* of 512 differ by more than"):
        backend_of(trt, engine_of(classes=("artery", "vein"), proof=proof.hex()))


def test_an_engine_that_gives_no_bytes(trt: FakeTensorRt) -> None:
    trt.output = "float"
    with pytest.raises(EngineError, match=r"^the engine does not take and give bytes\. Compile the model again"):
        backend_of(trt)


def test_a_few_steep_places_may_be_off_and_not_more(trt: FakeTensorRt) -> None:
    proof = bytearray(proof_from_probability(255 - proof_window(1, TILE)).tobytes())
    for place in range(5):
        proof[place] ^= 0x80
    backend_of(trt, engine_of(proof=proof.hex()))
    proof[5] ^= 0x80
    with pytest.raises(EngineError, match=r"6 of 256 differ by more than 0\.05\."):
        backend_of(trt, engine_of(proof=proof.hex()))


def test_kernels_are_compiled_once(trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kernels = tmp_path / "new" / "a.kernels"
    backend_of(trt, kernels=kernels)
    assert kernels.read_bytes() == trt.kernels
    assert caplog.messages == ["compiling kernels for this GPU, once"]
    caplog.clear()
    written = kernels.stat().st_mtime_ns
    backend_of(trt, kernels=kernels)
    assert caplog.messages == []
    assert kernels.stat().st_mtime_ns == written


def test_kernels_that_do_not_serve_are_compiled_again(
    trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernels = tmp_path / "a.kernels"
    kernels.write_bytes(b"kernels for sm86")
    backend_of(trt, kernels=kernels)
    assert kernels.read_bytes() == trt.kernels
    assert "kernels of another GPU or driver, or damaged" in caplog.text


def test_kernels_that_can_not_be_kept_only_cost_time(
    trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    backend = backend_of(trt, kernels=tmp_path / "file" / "a.kernels")
    assert len(list(backend.infer(windows(1)))) == 1
    assert "compiled kernels are not kept" in caplog.text


def test_kernels_that_tensorrt_does_not_give_only_cost_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = backend_of(FakeTensorRt(FakeCuda(), broken="serialize"), kernels=tmp_path / "a.kernels")
    assert len(list(backend.infer(windows(1)))) == 1
    assert "compiled kernels are not kept" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_graph_that_is_compiled_gives_the_bytes_of_the_model(inversion: Path) -> None:
    """What the compiler appends does what `to_bytes` does."""
    from vesselrt.export.engine import deployed
    from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend

    session = onnxruntime.InferenceSession(
        deployed(onnx.load(inversion), 256).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    window = np.arange(256 * 256).astype(np.uint8).reshape(1, 1, 256, 256)
    (levels,) = session.run(None, {"image": window})
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, next(OnnxRuntimeBackend(inversion, "f32", 1).infer([window])))
    assert read_manifest(inversion).precision == "f32"
