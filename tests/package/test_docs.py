"""What docs/ promises is run or compared."""

import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

import vesselrt
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.process import listen
from vesselrt.server.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
API, OPERATIONS, SECURITY = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("api", "operations", "security"))
CURLS = [
    line for block in re.findall(r"```sh\n(.*?)```", API, re.DOTALL) for line in block.splitlines() if "curl" in line
]


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
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("line", CURLS)
def test_curl_is_answered(line: str, address: str, folder: Path) -> None:
    command = [*shlex.split(line.replace("localhost:8000", address), comments=True), "-sS", "--noproxy", "*"]
    done = subprocess.run([*command, "-w", "\n%{http_code}"], check=True, capture_output=True)
    expected = "422" if "[1, 1, 3]" in line else "200"
    assert done.stdout.decode("utf-8", "replace").splitlines()[-1] == expected
    if "-o" in command:
        assert (folder / command[command.index("-o") + 1]).stat().st_size > 100


def test_python_runs(address: str, folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    exec(compile(code.replace("127.0.0.1:8000", address), "api.md", "exec"), {})


def test_every_setting_stands_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `VESSELRT_(\w+)` \| (.*?) \|", OPERATIONS, re.MULTILINE))
    fields = Settings.model_fields
    assert list(rows) == [name.upper() for name in fields]
    for name, field in fields.items():
        shown = rows[name.upper()]
        assert shown == "" if field.default in (None, ()) else Settings(**{name: shown}) == Settings(), name


def test_every_figure_stands(address: str) -> None:
    text = httpx.get(f"http://{address}/metrics", trust_env=False).text
    served = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("vesselrt_")}
    served = {name for name in served if not name.endswith("_created")}
    named = {name.removesuffix("_total") for name in re.findall(r"^\| `(vesselrt_\w+)", OPERATIONS, re.MULTILINE)}
    assert served == named


def test_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"VESSELRT_([A-Z_]+)", API + OPERATIONS + SECURITY))
    others = {"config", "secrets", "cache"}  # which are no settings of the server
    assert {name.lower() for name in named} - others <= set(Settings.model_fields)
