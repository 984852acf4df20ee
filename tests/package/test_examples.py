"""Each example runs. What the extra `examples` brings is not part of `make test`: there its tests are skipped."""

import csv
import io
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import vesselrt
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import ServerSettings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Upload(io.BytesIO):
    name = "photo.jpg"


def test_the_loop_over_a_folder_writes_masks_and_a_table(
    fundus_jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs, out = tmp_path / "photographs", tmp_path / "out"
    photographs.mkdir()
    (photographs / "a.jpg").write_bytes(fundus_jpeg)
    (photographs / "b.txt").write_text("no photograph", "utf-8")
    monkeypatch.setattr(sys, "argv", ["folder.py", str(photographs), str(out)])
    runpy.run_path(str(EXAMPLES / "folder.py"), run_name="__main__")
    with vesselrt.load() as segmenter:
        result = segmenter.segment(fundus_jpeg)
    assert (out / "a.jpg.png").read_bytes() == result.encode("mask")
    (row,) = csv.DictReader((out / "density.csv").read_text("utf-8").splitlines())
    assert float(row["density"]) == pytest.approx(result.density(), abs=1e-4)
    assert row["warnings"] == " ".join(result.warnings)
    assert "b.txt" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kserve.yaml", "ray.yaml"])
def test_what_is_deployed_names_settings_and_addresses_that_there_are(name: str) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    variables = set(re.findall(r"VESSELRT_\w+", text.partition("\nkind:")[2]))
    settings = {f"VESSELRT_{field.upper()}" for field in ServerSettings.model_fields}
    assert variables
    assert variables <= settings
    served = create_app([], ServerSettings()).openapi()["paths"]
    assert {path for path in re.findall(r"path: (\S+),", text) if not path.startswith("/tmp")} <= set(served)
    assert isinstance(yaml.safe_load(text)["spec"], dict)


def test_streamlit_tells_nobody_and_listens_on_this_machine() -> None:
    settings = tomllib.loads((EXAMPLES / ".streamlit" / "config.toml").read_text("utf-8"))
    assert settings == {"browser": {"gatherUsageStats": False}, "server": {"address": "127.0.0.1"}}


@pytest.mark.filterwarnings("default")  # Streamlit's own are none of ours
def test_the_streamlit_application(fundus_jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs pip install 'vesselrt[examples]'")
    st = pytest.importorskip("streamlit", reason="needs streamlit")
    sent = [Upload(fundus_jpeg)]
    monkeypatch.setattr(st, "file_uploader", lambda *_, **__: sent)
    app = testing.AppTest.from_file(str(EXAMPLES / "app.py"), default_timeout=120).run()
    assert not app.exception
    with vesselrt.load() as segmenter:
        result = segmenter.segment(fundus_jpeg)
    assert app.metric[0].value == f"{100 * result.density(0.5):.1f} %"
    app.slider[0].set_value(0.2).run()
    assert app.metric[0].value == f"{100 * result.density(0.2):.1f} %"
    sent[:] = [Upload(b"no photograph")]
    app.run()
    assert len(app.error) == 1
    assert not app.exception


@pytest.mark.filterwarnings("default")  # Jupyter's own are none of ours
def test_the_notebook_runs_from_top_to_bottom() -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs pip install 'vesselrt[examples]'")
    pytest.importorskip("ipykernel", reason="needs pip install 'vesselrt[examples]'")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert {"image/png", "image/svg+xml"} <= kinds
