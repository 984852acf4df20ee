"""What the tests share: generated photographs with exact truth, and the real ones where they are."""

import ctypes
import math
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import vesselrt  # noqa: F401 - before a test imports OpenVINO or ONNX Runtime itself: it silences both

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Image (H, W, 3) uint8 RGB and its truth (H, W) bool."""

REPOSITORY = Path(__file__).resolve().parent.parent
RETINA = np.array([188, 92, 46], np.float32)  # RGB of a lit retina
BLOOD = np.array([0.75, 0.45, 0.80], np.float32)  # share of each colour that a vessel lets through


def pytest_configure() -> None:
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # a background job of a shell: what it starts would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is compiled is not kept in the cache of whoever runs the tests, nor taken from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VESSELRT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_root" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("gpu") and not has_gpu():
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
        if item.get_closest_marker("slow") and not os.environ.get("SLOW_TESTS"):
            item.add_marker(pytest.mark.skip(reason="takes minutes and downloads: set SLOW_TESTS=1"))


@cache
def has_gpu() -> bool:
    """Asks the driver itself: a library with CUDA support is no GPU."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return bool(driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0)


@pytest.fixture
def end_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str]]:
    """`end_of(main, *arguments)`: a command's exit code or last words, and what it said on the error stream."""

    def end(main: Callable[[], None], *arguments: str) -> tuple[object, str]:
        monkeypatch.setattr("sys.argv", ["command", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, capsys.readouterr().err

    return end


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds CHASE_DB1 and HRF; a test that asks for it carries the marker `data`."""
    root = Path(os.environ.get("VESSELRT_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / "CHASE_DB1").is_dir():
        pytest.skip(f"no CHASE_DB1 in {root}: name the folder of the photographs in VESSELRT_DATA")
    return root


@pytest.fixture(scope="session")
def fundus_photo() -> Callable[[int, int, int], Photo]:
    """`fundus_photo(height, width, seed)`: a photograph that was never taken, and which of its pixels are vessel."""
    return draw_fundus


@pytest.fixture(scope="session")
def fundus_jpeg() -> bytes:
    """A generated photograph of 320 x 288 pixels (height x width) as JPEG."""
    image, _ = draw_fundus(320, 288, seed=0)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return encoded.tobytes()


def draw_fundus(height: int, width: int, seed: int) -> Photo:
    """The same arguments give the same photograph: a lit disc on black, an optic disc, vessels that branch from it."""
    random = np.random.default_rng(seed)
    radius = 0.47 * min(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across, down = (columns - width / 2) / radius, (rows - height / 2) / radius
    inside = across**2 + down**2 <= 1

    nerve = (width / 2 + radius * random.choice([-0.4, 0.4]), height / 2 + radius * random.uniform(-0.1, 0.1))
    truth = _vessels((height, width), nerve, radius, random) & inside

    slope = random.uniform(-0.15, 0.15, 2)
    light = 1.05 - 0.35 * (across**2 + down**2) + slope[0] * across + slope[1] * down
    distance = np.hypot(columns - nerve[0], rows - nerve[1]) / (0.14 * radius)
    glow = 0.5 * np.exp(-(distance**2))
    # A lens never shows a vessel's edge sharp: the truth is what was drawn, the picture is blurred.
    blood = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 0.6)[..., None]
    picture = RETINA * (light + glow)[..., None] * (1 - blood * (1 - BLOOD))
    picture = np.where(inside[..., None], picture, 3) + random.normal(0, 2.5, (height, width, 3))
    return np.clip(picture.round(), 0, 255).astype(np.uint8), truth


def _vessels(
    shape: tuple[int, int], start: tuple[float, float], radius: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """(H, W) bool: curves that leave `start` in all directions, fork, and grow thinner down to one pixel."""
    canvas = np.zeros(shape, np.uint8)
    widest = max(1.0, radius / 28)
    growing = [(*start, angle, widest * random.uniform(0.6, 1)) for angle in np.arange(8) * math.tau / 8]
    step = max(2.0, radius / 25)
    while growing:
        x, y, angle, thickness = growing.pop()
        for _ in range(random.integers(6, 14)):
            angle += random.normal(0, 0.16)
            end = (x + step * math.cos(angle), y + step * math.sin(angle))
            cv2.line(canvas, (round(x), round(y)), (round(end[0]), round(end[1])), 1, max(1, round(thickness)))
            x, y = end
        if thickness > 1 and math.hypot(x - shape[1] / 2, y - shape[0] / 2) < radius:
            growing += [(x, y, angle + turn * random.uniform(0.2, 0.6), thickness * 0.72) for turn in (-1, 1)]
    return canvas.astype(bool)
