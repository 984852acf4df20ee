"""The folders, the package list and the links are one import name: they change together."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("runtime", "export", "server", "training", "benchmarks")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES: list[str] = SETTINGS["tool"]["setuptools"]["packages"]
BESIDE = {"vesselrt.cli": "src/vesselrt/cli"}  # knows every folder of the house, and stands in none
FOLDERS: dict[str, str] = SETTINGS["tool"]["setuptools"]["package-dir"]


def found_packages() -> set[str]:
    """Import names of all folders that hold Python files."""
    folders = {file.parent.relative_to(ROOT) for top in HOUSE for file in (ROOT / top).rglob("*.py")}
    return {"vesselrt", *BESIDE} | {"vesselrt." + ".".join(folder.parts) for folder in folders}


def test_every_folder_with_python_files_is_a_listed_package() -> None:
    assert set(PACKAGES) == found_packages()


def test_each_package_maps_to_its_folder() -> None:
    folders = {name: name.removeprefix("vesselrt.").replace(".", "/") for name in PACKAGES}
    assert folders | {"vesselrt": "src/vesselrt"} | BESIDE | {"": "src"} == FOLDERS


def test_an_editable_install_is_a_path_that_type_checkers_read(tmp_path: Path) -> None:
    # Where setuptools installs an import hook instead, pyright finds no vesselrt.
    source = f"import sys; from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (paths,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith(".pth"))
    assert paths.split() == [str(ROOT / "src")]


@pytest.mark.parametrize("name", HOUSE)
def test_each_link_is_relative_and_leads_to_its_folder(name: str) -> None:
    link = ROOT / "src" / "vesselrt" / name
    assert link.readlink() == Path(f"../../{name}")
    assert link.resolve() == ROOT / name


def test_src_holds_no_other_links() -> None:
    assert {entry.name for entry in os.scandir(ROOT / "src" / "vesselrt") if entry.is_symlink()} == set(HOUSE)


@pytest.mark.parametrize(
    ("package", "pattern"),
    [(package, p) for package, ps in SETTINGS["tool"]["setuptools"]["package-data"].items() for p in ps],
)
def test_package_data_exists(package: str, pattern: str) -> None:
    assert any(file.is_file() for file in (ROOT / FOLDERS[package]).glob(pattern))


def index_page(readme: str, sources: str | None) -> str:
    """setup.py's."""
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page: str = module.index_page(readme, sources, "abc")
    return page


def test_on_an_index_page_pictures_and_links_lead_to_the_sources_or_are_words() -> None:
    readme = (
        "![An eye](docs/eye.png) [api](docs/api.md#a) [here](#top) [there](https://a.example/b) ![x](https://a/b.png)"
    )
    left = "[here](#top) [there](https://a.example/b) ![x](https://a/b.png)"
    home = "https://host.example/o/n"
    assert index_page(readme, None) == f"*An eye* api {left}"
    assert index_page(readme, home) == (
        f"![An eye]({home}/raw/abc/docs/eye.png) [api]({home}/blob/abc/docs/api.md#a) {left}"
    )
    whole = index_page((ROOT / "README.md").read_text("utf-8"), home)
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", whole) == []


def test_ruff_forbids_the_bare_folder_names() -> None:
    assert set(SETTINGS["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]) == set(HOUSE)
