"""What is doubtful about a photograph: found by drawn photographs made worse, and told by every way to ask."""

import base64
import io
import json
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from manifests import make_manifest

from vesselrt import cli
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.output.statistics import density
from vesselrt.runtime.photo.decoding import read_photo
from vesselrt.runtime.photo.preparation import prepare_views
from vesselrt.runtime.photo.quality import BLURRED, COMPRESSED, DARK, GUESSED, OTHER, OVEREXPOSED
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import ServerSettings
from vesselrt.server.http.answers import warnings_header
from vesselrt.server.http.application import create_app
from vesselrt.server.http.protocol import LimitedProtocol
from vesselrt.server.listeners import listen
from vesselrt.training.synthetic.slitlamp import draw_slit_lamp_photo as slit_lamp

FUNDUS = Preparation(channels="green", field_of_view=(1024, 1344))
MANIFEST = make_manifest(preparation=FUNDUS.model_dump(), tile={"size": 1344, "multiple": 64, "margin": 64})


def told(image: Image, scale: float | None = None) -> tuple[str, ...]:
    return prepare_views(np.ascontiguousarray(image), FUNDUS, scale).warnings


@pytest.fixture(scope="module")
def retina() -> Image:
    """A real photograph, CC0."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")
    return np.ascontiguousarray(data.retina()[:, :, :3])


def test_a_good_photograph_has_no_warnings(retina: Image) -> None:
    assert told(retina) == ()
    assert told(np.repeat(retina[:, :, 1:2], 3, axis=2)) == (), "free of red, with its edge seen"


def test_what_was_made_worse_is_told(retina: Image) -> None:
    width = find_width(retina)
    for pixels in (4, 6, 12, 20):
        assert told(cv2.GaussianBlur(retina, (0, 0), pixels * width / 1344).astype(np.uint8)) == (BLURRED,)
    for light in (0.2, 0.1):
        assert DARK in told((retina * light).astype(np.uint8))
    for light in (3.0, 5.0):
        assert OVEREXPOSED in told((retina * light).clip(0, 255).astype(np.uint8))


def find_width(image: Image) -> int:
    return prepare_views(image, FUNDUS).scales[0].box.longer


def test_a_crop_is_a_guess_until_its_scale_is_told(retina: Image) -> None:
    crop = retina[500:900, 500:900]
    assert told(crop) == (GUESSED,)
    assert told(crop, find_width(retina)) == ()


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee", "page", "text", "camera", "coins"])
def test_a_cat_is_no_retina(name: str) -> None:
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")
    image = getattr(data, name)()
    assert OTHER in told(image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2))


@pytest.mark.parametrize("levels", [(0, 256), (254, 256)], ids=["noise", "paper"])
def test_noise_and_documents_are_no_retina(levels: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(*levels, (700, 500, 3), np.uint8)
    for row in range(60, 640, 30):
        cv2.putText(image, "The quick brown fox", (40, row), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2)
    assert OTHER in told(image)


def test_a_slit_lamp_photograph_is_neither_blurred_nor_dark() -> None:
    for seed in range(3):
        image, _ = slit_lamp(480, 640, seed)
        assert {BLURRED, DARK, OVEREXPOSED} & set(told(image)) == set()
        assert prepare_views(image, Preparation()).warnings == (), "a model without a scale asks for no fundus"


@pytest.mark.parametrize("photographs", ["CHASE_DB1/Image_*.jpg", "HRF/images/*"])
def test_real_photographs_have_no_warnings(data_root: Path, photographs: str) -> None:
    paths = sorted(data_root.glob(photographs))[::15]
    assert paths
    assert [told(read_photo(path).pixels) for path in paths] == [()] * len(paths)


# Told by the server and the command line


def png(image: Image) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def photo(retina: Image) -> bytes:
    """Two eyes, of a fifth of the light."""
    small = cv2.resize(retina, (300, 300), interpolation=cv2.INTER_AREA)
    return png((np.hstack([small, small]) * 0.2).astype(np.uint8))


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    settings = ServerSettings()
    app = create_app(Segmenter(MANIFEST, FakeBackend()), settings, warm=True)
    speaker = partial(LimitedProtocol, settings=settings)
    running = uvicorn.Server(uvicorn.Config(app, http=speaker, ws="none", log_config=None))  # type: ignore[arg-type]
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            try:
                yield client
            finally:
                running.should_exit = True
                thread.join()


def test_the_json_and_the_headers_say_the_same(server: httpx.Client, photo: bytes) -> None:
    expected = Segmenter(MANIFEST, FakeBackend()).segment(photo)
    assert len(expected.warnings) >= 2
    document = server.post("/predict?format=json", content=photo).json()
    assert document["warnings"] == list(expected.warnings)
    assert expected.quality is not None
    assert document["quality"] == expected.quality.document()
    assert [field["scale"] for field in document["fields_of_view"]] == ["found", "found"]
    answer = server.post("/predict?format=probability", content=photo)
    assert answer.headers["x-vesselrt-warnings"].split(" | ") == list(expected.warnings)
    assert answer.headers["x-vesselrt-quality"] == str(expected.quality) == "usable: dark"
    scales = ", ".join(f"{scale.diameter:g} found" for scale in expected.scales)
    assert answer.headers["x-vesselrt-scale"] == scales
    levels = np.array(answer.headers["x-vesselrt-levels"].split(","), np.int64)
    for threshold in (0.0, 0.1, 0.5):
        assert density(levels, threshold) == expected.density(threshold)
    assert "x-vesselrt-levels" not in server.post("/predict", content=photo).headers


def test_the_quality_is_left_out_where_a_request_says_so(server: httpx.Client, photo: bytes) -> None:
    for _ in range(2):  # the map that is kept of a request that asks for it is another
        answer = server.post("/predict?quality=false&format=json", content=photo)
        assert "x-vesselrt-quality" not in answer.headers
        assert answer.json()["quality"] is None
        assert len(answer.json()["warnings"]) == 1
        assert server.post("/predict?quality=true", content=photo).headers["x-vesselrt-quality"] == "usable: dark"
    wrong = server.post("/predict?quality=no", content=photo)
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (422, "quality is 'no'. Expected true or false.")


def test_a_photograph_without_doubts_has_no_such_header(server: httpx.Client, retina: Image) -> None:
    answer = server.post("/predict?format=json", content=png(retina))
    assert "x-vesselrt-warnings" not in answer.headers
    assert answer.json()["warnings"] == []
    assert answer.headers["x-vesselrt-quality"] == "good"


def test_a_batch_tells_them_of_each(server: httpx.Client, photo: bytes, retina: Image) -> None:
    files = [("image", ("two.png", photo)), ("image", ("one.png", png(retina)))]
    lines = server.post("/predict/batch", files=files, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    by_name = {line["name"]: line["warnings"] for line in map(json.loads, lines)}
    expected = list(Segmenter(MANIFEST, FakeBackend()).segment(photo).warnings)
    assert by_name == {"two": expected, "one": []}
    assert [json.loads(line)["quality"]["verdict"] for line in sorted(lines)] == ["usable", "good"]
    with zipfile.ZipFile(io.BytesIO(server.post("/predict/batch", files=files).content)) as archive:
        assert sorted(archive.namelist()) == ["000-two-mask.png", "000-two-warnings.json", "001-one-mask.png"]
        told = json.loads(archive.read("000-two-warnings.json"))
    assert told == {"warnings": expected, "quality": {"verdict": "usable", "reasons": ["dark"]}}


def test_the_open_inference_protocol_tells_them_as_a_parameter(server: httpx.Client, photo: bytes) -> None:
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(photo).decode()]}
    answer = server.post("/v2/models/test/infer", json={"inputs": [tensor], "outputs": [{"name": "mask"}]}).json()
    assert answer["parameters"]["warnings"].startswith("2 fields of view are seen")


def test_a_scale_is_told_in_query_and_form(server: httpx.Client, retina: Image) -> None:
    crop = png(np.ascontiguousarray(retina[500:900, 500:900]))
    assert server.post("/predict?scale=1400", content=crop).headers["x-vesselrt-scale"] == "1400 told"
    form: dict[str, Any] = {"data": {"scale": "1400"}, "files": {"image": crop}}
    assert server.post("/predict", **form).headers["x-vesselrt-scale"] == "1400 told"
    assert server.post("/predict", content=crop).headers["x-vesselrt-scale"] == "400 guessed"
    for wrong in ("0", "-4", "nan", "inf", "1_000", "wide"):
        answer = server.post(f"/predict?scale={wrong}", content=crop)
        message = f"scale is {wrong!r}. Expected the diameter of the field of view in pixels, such as 960."
        assert answer.status_code == 422
        assert answer.json()["error"]["message"] == message
    answer = server.post("/predict?scale=20", content=crop)
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "OptionError")


def test_a_header_is_ascii_and_bounded() -> None:
    assert warnings_header(["3 × 4 pixels", "é\r\nX-Evil: 1", "a | b"]) == "3 x 4 pixels | ?X-Evil: 1 | a ? b"
    assert len(warnings_header(["long " * 100] * 9)) == 1000


def test_the_command_line_tells_them_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, retina: Image
) -> None:
    crop = tmp_path / "crop.jpg"
    crop.write_bytes(cv2.imencode(".jpg", retina[500:900, 500:900, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes())
    for name, options, doubts in (
        ("a", [], f"{GUESSED} {COMPRESSED}"),
        ("b", ["--scale", "1400"], COMPRESSED),
        ("c", ["--no-quality"], GUESSED),
    ):
        written = ["-o", str(tmp_path / f"{name}.png"), "--device", "cpu:onnxruntime"]
        monkeypatch.setattr(sys, "argv", ["vesselrt", "predict", str(crop), *written, *options])
        with suppress(SystemExit):
            cli.main()
        told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)
        assert [line for line in told.splitlines() if "crop.jpg" in line] == [f"{crop}: {doubts}"]
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
