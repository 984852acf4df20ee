"""ONNX Runtime on a GPU: a session on the processor stands in for the one there."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fake_tensorrt import FakeTensorRt

from vesselrt.runtime import devices
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.modelfile import read_manifest, sha256
from vesselrt.runtime.segmenter import load


@pytest.fixture
def onnxruntime_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """onnxruntime-gpu as far as it is asked: what a session was made with."""
    made: dict[str, Any] = {"starts": True}
    real = onnxruntime.InferenceSession

    class Session(real):  # type: ignore[misc, valid-type]
        def __init__(self, path: Path, options: Any = None, providers: Any = None) -> None:
            made["providers"] = providers
            super().__init__(path, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"] if made["starts"] else ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    return made


def test_onnxruntime_on_cuda(gpu_machine: FakeTensorRt, inversion: Path, onnxruntime_gpu: dict[str, Any]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    with load(inversion, device="cuda:onnxruntime", precision="f32") as segmenter:
        assert str(segmenter.info) == f"cuda (RTX 2080 Ti), f32, onnxruntime {onnxruntime.__version__}"
        np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert onnxruntime_gpu["providers"] == [
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
    ]


def test_onnxruntime_whose_gpu_fails(
    gpu_machine: FakeTensorRt, inversion: Path, onnxruntime_gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered\nand where")

    with load(inversion, device="cuda:onnxruntime") as segmenter:
        monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fails)
        with pytest.raises(DeviceError, match=r"^the RTX 2080 Ti failed: CUDA failure 700: .* was encountered$"):
            segmenter.segment(np.full((40, 40, 3), 99, np.uint8))


def test_onnxruntime_that_falls_back_to_the_processor_is_refused(
    gpu_machine: FakeTensorRt, inversion: Path, onnxruntime_gpu: dict[str, Any]
) -> None:
    onnxruntime_gpu["starts"] = False
    with pytest.raises(DeviceError, match=r"^onnxruntime-gpu .* can't start CUDA here\. It needs CUDA and cuDNN: pip"):
        load(inversion, device="cuda:onnxruntime")


class Plugin:
    """The module onnxruntime_ep_nv_tensorrt_rtx, and ONNX Runtime's list of devices."""

    def __init__(self, *, starts: bool = True, serves: bool = True) -> None:
        self.starts, self.serves, self.devices = starts, serves, list[SimpleNamespace]()
        self.options: dict[str, str] = {}
        self.entries: dict[str, str] = {}

    def get_ep_name(self) -> str:
        return "NvTensorRTRTXExecutionProvider"

    def get_library_path(self) -> str:
        return "plugin.so"

    def register(self, name: str, path: str) -> None:
        assert (name, path) == ("onnxruntime_ep_nv_tensorrt_rtx", "plugin.so")
        if not self.starts:
            raise RuntimeError("libcuda.so.1: cannot open shared object file\nand more")
        if self.serves:
            self.devices.append(SimpleNamespace(ep_name=self.get_ep_name()))

    def session_options(self) -> Any:
        def add(devices: list[Any], options: dict[str, str]) -> None:
            assert devices == self.devices[:1]
            self.options = options

        return SimpleNamespace(add_provider_for_devices=add, add_session_config_entry=self.entries.__setitem__)


takes_plugins = pytest.mark.skipif(not hasattr(onnxruntime, "get_ep_devices"), reason="onnxruntime before 1.23")


def use_plugin(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def session(path: Path, options: Any = None, providers: Any = None) -> Any:
        plain = None if isinstance(options, SimpleNamespace) else options
        return real(path, plain, providers=providers or ["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: plugin.devices)
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", plugin.register)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)


@takes_plugins
def test_onnxruntime_with_the_plug_in(
    gpu_machine: FakeTensorRt, inversion: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = Plugin()
    use_plugin(plugin, monkeypatch)
    read = read_manifest(inversion)  # with real options, before they are replaced
    monkeypatch.setattr(devices, "read_manifest", lambda path: read)
    monkeypatch.setattr(onnxruntime, "SessionOptions", plugin.session_options)
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    for _ in range(2):  # the plug-in is registered once
        with load(inversion, device="cuda:onnxruntime-rtx") as segmenter:
            assert segmenter.info.backend == "onnxruntime with tensorrt_rtx"
            np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert len(plugin.devices) == 1
    kernels = tmp_path / "cache" / f"onnxruntime-{sha256(inversion)[:32]}"
    assert kernels.is_dir()
    assert plugin.options == {
        "nv_profile_min_shapes": "image:1x1x4x4",
        "nv_profile_opt_shapes": "image:1x1x32x32",
        "nv_profile_max_shapes": "image:4x1x32x32",
        "nv_runtime_cache_path": str(kernels),
    }
    assert plugin.entries == {"session.disable_cpu_ep_fallback": "1"}


@takes_plugins
def test_onnxruntime_with_the_plug_in_and_no_place_for_its_kernels(
    gpu_machine: FakeTensorRt,
    inversion: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin = Plugin()
    use_plugin(plugin, monkeypatch)
    read = read_manifest(inversion)
    monkeypatch.setattr(devices, "read_manifest", lambda path: read)
    monkeypatch.setattr(onnxruntime, "SessionOptions", plugin.session_options)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "file" / "cache"))
    load(inversion, device="cuda:onnxruntime-rtx").close()
    assert "nv_runtime_cache_path" not in plugin.options
    assert "compiled kernels are not kept, the next start compiles them again: the cache of engines" in caplog.text


def test_onnxruntime_that_takes_no_plug_ins(
    gpu_machine: FakeTensorRt, inversion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", Plugin())
    monkeypatch.delattr(onnxruntime, "get_ep_devices", raising=False)
    with pytest.raises(
        DeviceError, match=r"^onnxruntime .* takes no plug-ins\. Run: pip install 'onnxruntime>=1\.23'$"
    ):
        load(inversion, device="cuda:onnxruntime-rtx")


@takes_plugins
@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Plugin(starts=False), r"^onnxruntime_ep_nv_tensorrt_rtx does not start here: libcuda\.so\.1: .* file$"),
        (
            Plugin(serves=False),
            r"^onnxruntime_ep_nv_tensorrt_rtx finds no GPU that it serves: an RTX card of the Turing",
        ),
    ],
)
def test_a_plug_in_that_does_not_serve(
    gpu_machine: FakeTensorRt, inversion: Path, monkeypatch: pytest.MonkeyPatch, plugin: Plugin, message: str
) -> None:
    use_plugin(plugin, monkeypatch)
    with pytest.raises(DeviceError, match=message):
        load(inversion, device="cuda:onnxruntime-rtx")
