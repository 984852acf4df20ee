"""What an import brings with it, and the public names."""

import subprocess
import sys
from pathlib import Path

import pytest

import vesselrt

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "monai", "onnx", "matplotlib", "skimage", "scipy", "shapely", "yaml"}
WEB = {"fastapi", "starlette", "uvicorn"}
OTHERS = {"vesselrt.cli", "vesselrt.server", "vesselrt.training", "vesselrt.export", "vesselrt.benchmarks"}
OPTIONAL = {"vesselrt.runtime.cuda", "vesselrt.runtime.cache"}  # their libraries are an extra of their own

PUBLIC = [
    "Box",
    "Client",
    "DataError",
    "DeviceError",
    "EngineError",
    "ExportError",
    "FieldOfViewError",
    "ForkError",
    "ImageDecodeError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "Info",
    "Limits",
    "Manifest",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "OptionError",
    "Scale",
    "Segmentation",
    "Segmenter",
    "SegmenterClosedError",
    "VesselrtError",
    "__version__",
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


def test_public_names() -> None:
    assert vesselrt.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(vesselrt, name)] == []


def test_version_is_the_installed_one() -> None:
    assert f'version = "{vesselrt.__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8")
