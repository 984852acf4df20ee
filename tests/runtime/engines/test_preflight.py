"""What keeps a machine from running an engine: GPU, driver, TensorRT's release and its verdict."""

import sys
from typing import Any

import pytest
from engines import Driver, engine_of, fake_library, needs_tensorrt

from vesselrt.runtime import hardware
from vesselrt.runtime.engines import preflight
from vesselrt.runtime.errors import (
    DeviceError,
)
from vesselrt.runtime.hardware import Gpu, find_gpu


def test_the_gpu_is_what_the_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_load_driver", Driver)
    assert find_gpu() == Gpu("GeForce RTX 2080 Ti", "sm75")
    monkeypatch.setattr(hardware, "_load_driver", lambda: Driver(name=b"RTX 5090", capability=(12, 0)))
    assert find_gpu() == Gpu("RTX 5090", "sm120")


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (None, r"^no NVIDIA driver here \(.+ is missing\)\. Install it; give a container its GPU with: --gpus all$"),
        (Driver(start=100), r"^the NVIDIA driver finds no GPU here\. See nvidia-smi and CUDA_VISIBLE_DEVICES\.$"),
        (Driver(start=803), r"^the NVIDIA driver does not start \(CUDA error 803\)\. See nvidia-smi"),
    ],
)
def test_no_gpu_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch, driver: Any, message: str) -> None:
    monkeypatch.setattr(hardware, "_load_driver", lambda: driver)
    with pytest.raises(DeviceError, match=message):
        find_gpu()


def obstacles_here(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, library: Any) -> list[str]:
    monkeypatch.setattr(hardware, "_load_driver", lambda: driver)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library)
    return preflight.find_obstacles(engine_of())


@pytest.mark.parametrize("validity", [0, 1])
def test_nothing_is_in_the_way(monkeypatch: pytest.MonkeyPatch, validity: int) -> None:
    seen: list[bytes] = []
    assert obstacles_here(monkeypatch, Driver(), fake_library((validity, 0), seen=seen)) == []
    assert seen == [b"the plan"]


def test_everything_that_is_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = obstacles_here(monkeypatch, Driver(name=b"H200", capability=(9, 0)), None)
    assert found == [
        "The GPU here (H200) is sm90, the engine is for sm75, sm86. Run: vesselrt compile --target sm90",
        "TensorRT for RTX is not installed. Run: pip install 'tensorrt-rtx-cu13==1.2.3.4'",
    ]


def test_whether_an_engine_runs_on_another_gpu_is_tensorrts_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    hopper = Driver(name=b"H100", capability=(9, 0))
    assert obstacles_here(monkeypatch, hopper, fake_library((1, 0))) == []
    assert obstacles_here(monkeypatch, hopper, fake_library((2, 2))) == [
        (
            "The GPU here (H100) is sm90, the engine is for sm75, sm86. TensorRT for RTX builds none for sm90. "
            "Run there: vesselrt compile --builder tensorrt"
        ),
        "TensorRT for RTX refuses it: it was made for other GPUs.",
    ]
    ampere = Driver(name=b"A100", capability=(8, 0))
    assert obstacles_here(monkeypatch, ampere, fake_library((2, 2))) == [
        "The GPU here (A100) is sm80, the engine is for sm75, sm86. Run: vesselrt compile --target sm80",
        "TensorRT for RTX refuses it: it was made for other GPUs.",
    ]


def test_no_driver_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    (found,) = obstacles_here(monkeypatch, None, fake_library((2, 0), seen=seen))
    assert found.startswith("no NVIDIA driver here")
    assert seen == []


def test_another_release_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = obstacles_here(monkeypatch, Driver(), fake_library(version="1.2.3.5"))
    assert found == (
        "TensorRT for RTX here is 1.2.3.5, the engine needs exactly 1.2.3.4. Compile the model again, or run: "
        "pip install 'tensorrt-rtx-cu13==1.2.3.4'"
    )


@pytest.mark.parametrize(
    ("diagnostics", "reasons"),
    [
        (4, "the NVIDIA driver is too old: install a newer one"),
        (1 | 32, "it was made by another release; the plan is malformed"),
        (0, "no reason given"),
    ],
)
def test_what_tensorrt_refuses(monkeypatch: pytest.MonkeyPatch, diagnostics: int, reasons: str) -> None:
    found = obstacles_here(monkeypatch, Driver(), fake_library((2, diagnostics)))
    assert found == [f"TensorRT for RTX refuses it: {reasons}."]


@needs_tensorrt
def test_the_diagnostics_have_the_names_of_the_installed_release() -> None:
    import tensorrt_rtx

    assert set(preflight._REASONS) == set(tensorrt_rtx.EngineInvalidityDiagnostics.__members__)
