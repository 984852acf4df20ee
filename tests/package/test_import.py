"""What an import brings with it, and the public names."""

import subprocess
import sys
from pathlib import Path

import pytest

import vesselrt

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "monai", "onnx", "matplotlib", "skimage", "scipy", "shapely", "yaml"}
WEB = {"fastapi", "starlette", "uvicorn"}
OTHERS = {"vesselrt.cli", "vesselrt.server", "vesselrt.training", "vesselrt.export", "vesselrt.benchmarks"}
OPTIONAL = {  # their libraries are extras
    "vesselrt.runtime.engines.cuda",
    "vesselrt.server.grpc.gateway",
    "vesselrt.server.grpc.inference_pb2",
    "vesselrt.server.ray",
}

PUBLIC = [
    "Answer",
    "AsyncClient",
    "Box",
    "CalibreEquivalents",
    "Client",
    "DataError",
    "DeviceError",
    "Disc",
    "EngineError",
    "ExportError",
    "FieldOfViewError",
    "ForkError",
    "Frame",
    "ImageDecodeError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "Info",
    "Limits",
    "Manifest",
    "ManifestError",
    "Measurements",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "OptionError",
    "Quality",
    "Scale",
    "Segmentation",
    "Segmenter",
    "SegmenterClosedError",
    "VesselMeasures",
    "VesselrtError",
    "__version__",
    "frames",
    "load",
    "models",
]


def modules_of(folder: str) -> list[str]:
    """Import names of every module under a top-level folder."""
    files = (file.relative_to(ROOT).with_suffix("") for file in (ROOT / folder).rglob("*.py"))
    names = {"vesselrt." + ".".join(file.parts).removesuffix(".__init__") for file in files}
    return sorted(names - OPTIONAL)


def loaded_by(names: list[str]) -> set[str]:
    """Every module that a fresh interpreter holds after it imported `names`."""
    code = "import importlib, sys; [*map(importlib.import_module, sys.argv[1:])]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("names", "forbidden"),
    [
        (["vesselrt"], HEAVY | WEB | OTHERS | {"openvino", "typer", "httpx"}),
        (["vesselrt.cli"], HEAVY | WEB | OTHERS - {"vesselrt.cli"} | {"openvino"}),
        (modules_of("runtime"), HEAVY | WEB | OTHERS),
        (modules_of("server"), HEAVY | OTHERS - {"vesselrt.server"}),
    ],
    ids=["vesselrt", "cli", "runtime", "server"],
)
def test_import_brings_nothing_heavy(names: list[str], forbidden: set[str]) -> None:
    assert loaded_by(names) & forbidden == set()


def test_an_opencv_that_was_torn_apart_is_told_with_what_mends_it() -> None:
    """As it is when one of two of its wheels was removed: a folder cv2 without code."""
    code = (
        "import importlib.util\n"
        "from importlib.machinery import ModuleSpec\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: ModuleSpec(name, None) if name == 'cv2' else find(name)\n"
        "import vesselrt.runtime\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "ImportError: OpenCV is not whole: cv2 is a folder without its code. Its wheels overwrite each"
    )
    assert last.endswith("opencv-python-headless; pip install opencv-python-headless")


def test_without_the_web_framework_the_library_works_and_the_server_says_what_installs_it() -> None:
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'multipart', 'python_multipart', 'prometheus_client',"
        " 'pydantic_settings'): sys.modules[name] = None\n"
        "import numpy, vesselrt\n"
        "with vesselrt.load(device='cpu:onnxruntime') as loaded:\n"
        "    assert loaded.segment(numpy.full((80, 80, 3), 99, 'uint8')).mask().shape == (80, 80)\n"
        "from vesselrt.cli import main\n"
        "sys.argv = ['vesselrt', 'serve']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = "error: the server needs packages that are not installed. Run: pip install 'vesselrt[serve]'"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, expected)


def test_public_names() -> None:
    assert vesselrt.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(vesselrt, name)] == []


def test_version_is_the_installed_one() -> None:
    assert f'version = "{vesselrt.__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8")
