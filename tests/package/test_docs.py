"""What docs/ promises is run or compared, and what its reference pages are made of is complete."""

import hashlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

import vesselrt
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.listeners import listen
from vesselrt.server.settings import ServerSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"
SAMPLE = "server/web/assets/sample.jpg"
PAGES = {page.relative_to(DOCS).as_posix(): page.read_text("utf-8") for page in sorted(DOCS.rglob("*.md"))}
PAGES["the README"] = (DOCS.parent / "README.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


def curls(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("curl")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The built-in model behind a real address."""
    segmenter: Segmenter = vesselrt.load(device="cpu:onnxruntime")
    server = uvicorn.Server(uvicorn.Config(create_app(segmenter, warm=True), http="h11", ws="none", log_config=None))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def folder(tmp_path: Path, fundus_jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photo", "left", "right"):
        (tmp_path / f"{name}.jpg").write_bytes(fundus_jpeg)
    photo = cv2.imdecode(np.frombuffer(fundus_jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert photo is not None
    cv2.imwrite(str(tmp_path / "mask.png"), cv2.threshold(photo, 90, 255, cv2.THRESH_BINARY)[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("line", [*curls("api.md"), *curls("tutorial.md"), *curls("the README")])
def test_curl_is_answered(line: str, address: str, folder: Path) -> None:
    line = line.replace(SAMPLE, "photo.jpg").replace("localhost:8000", address)
    command = [*shlex.split(line, comments=True), "-sS", "--noproxy", "*"]
    done = subprocess.run([*command, "-w", "\n%{http_code}"], check=True, capture_output=True)
    expected = "422" if "[1, 1, 3]" in line else "200"
    assert done.stdout.decode("utf-8", "replace").splitlines()[-1] == expected
    if "-o" in command:
        assert (folder / command[command.index("-o") + 1]).stat().st_size > 100


@pytest.mark.parametrize("code", blocks("api.md", "python"))
def test_the_client_of_the_tour_runs(code: str, address: str, folder: Path) -> None:
    exec(compile(code.replace("127.0.0.1:8000", address), "api.md", "exec"), {})


@pytest.mark.parametrize("code", [*blocks("tutorial.md", "python"), *blocks("reference/manifest.md", "python")])
def test_python_runs_in_the_folder_of_the_repository(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    exec(compile(code, "docs", "exec"), {})


@pytest.mark.parametrize("code", blocks("reference/python.md", "python"))
def test_python_runs_beside_a_photograph(code: str, folder: Path) -> None:
    exec(compile(code, "python.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    home = DOCS.parent if page == "the README" else (DOCS / page).parent
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", PAGES[page]):
        assert (home / target).exists(), target
        if anchor:
            headings = re.findall(
                r"^#+ (.*)", (home / target).read_text("utf-8") if target else PAGES[page], re.MULTILINE
            )
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("plot", ["speed", "quality"])
def test_plots_are_drawn_from_the_figures_that_are_here(plot: str) -> None:
    drawn_from = re.findall(r"([\w-]+\.json):([0-9a-f]{64})", (DOCS / "pictures" / f"{plot}.svg").read_text("utf-8"))
    assert drawn_from
    for name, sha256 in drawn_from:
        assert hashlib.sha256((DOCS / name).read_bytes()).hexdigest() == sha256, "run python docs/tools/pictures.py"


def test_every_page_is_in_the_site() -> None:
    # No YAML parser knows the tags of MkDocs; the list is plain.
    named = re.findall(r"([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(page for page in PAGES if page.endswith(".md"))


def test_every_public_name_has_its_place() -> None:
    named = re.findall(r"^::: vesselrt\.(\w+)$", PAGES["reference/python.md"], re.MULTILINE)
    assert sorted(named) == sorted({*vesselrt.__all__} - {"__version__"})


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """docs/tools/reference.py, which needs none of the tools that build the site."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_ask_for_what_can_be_generated(reference: ModuleType) -> None:
    asked = [name for text in PAGES.values() for name in re.findall(r"<!-- generated: (.*?) -->", text)]
    assert sorted(asked) == sorted(reference.GENERATED)


def test_every_setting_stands_with_its_default(reference: ModuleType) -> None:
    rows = {row.split("`")[1]: row for row in reference.settings().splitlines()[2:]}
    assert list(rows) == [f"VESSELRT_{name.upper()}" for name in ServerSettings.model_fields]
    assert "| integer 0 to 65535 | `8000` | 0: any free port. |" in rows["VESSELRT_PORT"]
    assert "| password or null |" in rows["VESSELRT_API_KEY"]


def test_every_field_of_recipe_and_manifest_stands(reference: ModuleType) -> None:
    recipe, manifest = reference.recipe(), reference.manifest()
    for field in ("schedule", "learning_rate", "patience", "teacher", "crosstalk"):
        assert f"| `{field}` | " in recipe
    assert "[FirstSchedule](#firstschedule)" in recipe
    assert "## FirstSchedule\n" in recipe
    assert "| `margin` | integer ≥ 0 | required | Pixels at an inner window edge" in manifest


def test_every_command_stands_with_its_options(reference: ModuleType) -> None:
    page = reference.command_line()
    for command in ("predict", "serve", "models", "evaluate", "compare", "train", "export", "bench", "engine info"):
        assert f"## `vesselrt {command}`\n" in page
    assert "| `--threshold` | `<str>` |" in page
    assert "| `--compare` |" in page  # of bench, whose options are another program's


def test_every_address_stands(reference: ModuleType) -> None:
    page, document = reference.http(), reference.openapi()
    addresses = {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    assert set(re.findall(r"^## `(.*)`$", page, re.MULTILINE)) == addresses
    assert "`multipart/form-data` | `image`, `format`, `threshold`" in page


def test_every_figure_stands(address: str) -> None:
    text = httpx.get(f"http://{address}/metrics", trust_env=False).text
    served = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("vesselrt_")}
    served = {name for name in served if not name.endswith("_created")}
    named = {
        name.removesuffix("_total") for name in re.findall(r"^\| `(vesselrt_\w+)", PAGES["operations.md"], re.MULTILINE)
    }
    assert served == named


def test_settings_that_are_named_exist() -> None:
    named = {name for text in PAGES.values() for name in re.findall(r"\bVESSELRT_([A-Z_]+)", text)}
    others = {
        "config",
        "secrets",
        "cache",
        "cache_mb",
        "model_folder",
        "offline",
        "data",
    }  # which are no settings of the server
    assert {name.lower() for name in named} - others <= set(ServerSettings.model_fields)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    (location,) = blocks("operations.md", "nginx")
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    server = f"server {{ listen 127.0.0.1:8080;\n{location}\n}}"
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; events {{}}\nhttp {{ {paths}\n{server}\n}}\n", "utf-8")
    command = ["nginx", "-t", "-e", f"{tmp_path}/log", "-c", f"{tmp_path}/nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
