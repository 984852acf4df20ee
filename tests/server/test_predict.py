"""What /predict answers: the library's files, whatever the way in which a photograph comes."""

import gzip
import json
import re
import sys
import warnings
from dataclasses import replace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from results import FORMATS_OF_ALL
from serving import PHOTO, disc, error, picture, post, running, segmenter

from vesselrt.runtime.backends.fake import identity
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.formats import OutputFormat, format_spec
from vesselrt.server.http.answers import content_disposition
from vesselrt.server.http.upload import file_name, stem_of
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import ServedModel

WAYS = ["multipart", "image/png", "application/octet-stream"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threshold", [None, 0, 0.4, 128 / 255, 1])
def test_mask_is_the_librarys_mask(client: httpx.Client, way: str, threshold: float | None) -> None:
    query: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    answer = post(client, way, **query)
    assert answer.status_code == 200
    mask = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    expected = segmenter().segment(PHOTO).mask(threshold)
    assert mask.tobytes() == (expected * np.uint8(255)).tobytes()
    assert mask.shape == expected.shape == (83, 97)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMATS_OF_ALL)
def test_every_format_is_the_librarys_file(client: httpx.Client, way: str, form: OutputFormat) -> None:
    answer = post(client, way, format=form, threshold=0.6)
    name = "photo.png" if way == "multipart" else "photograph"  # in coco alone
    expected = replace(segmenter().segment(PHOTO), file_name=name).encode(form, 0.6)
    if form == "json":  # the server adds the model, the device and times
        document = answer.json()
        assert {name: document.pop(name) for name in ("device", "precision")} == {"device": "cpu", "precision": "f32"}
        assert document.pop("model") == {"name": "test", "version": "1.2.3"}
        assert list(document.pop("milliseconds")) == ["wait", "decode", "prepare", "infer", "finish"]
        assert document == json.loads(expected)
    else:
        assert answer.content == expected
    assert answer.headers["content-type"] == format_spec(form).media_type


def test_options_may_come_as_form_fields(client: httpx.Client) -> None:
    answer = client.post("/predict", data={"threshold": "0.6", "format": "svg"}, files={"image": PHOTO})
    assert answer.content == segmenter().segment(PHOTO).encode("svg", 0.6)


@pytest.mark.parametrize("form", ["svg", "geojson"])
def test_outlines_are_simplified_as_the_library_does(client: httpx.Client, form: OutputFormat) -> None:
    answer = post(client, "image/png", format=form, simplify=0.35)
    expected = segmenter().segment(PHOTO).encode(form, simplify=0.35)
    assert answer.content == expected
    assert expected != segmenter().segment(PHOTO).encode(form)


def test_headers_say_what_was_done(client: httpx.Client) -> None:
    headers = post(client, "multipart").headers
    assert headers["x-vesselrt-model"] == "test 1.2.3"
    assert headers["x-vesselrt-device"] == "cpu"
    assert headers["x-vesselrt-precision"] == "f32"
    assert headers["x-vesselrt-threshold"] == "0.3"
    assert headers["content-disposition"] == 'inline; filename="photo-mask.png"'
    stages = re.findall(r"(\w+);dur=\d+\.\d(?:, |$)", headers["server-timing"])
    assert stages == ["wait", "decode", "prepare", "infer", "finish", "encode", "total"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("left eye.jpg", "left eye"),
        ("Иванов OD.jpg", "Иванов OD"),
        ("患者1右.jpg", "患者1右"),
        ("mu\u0308ller.jpg", "müller"),
        ("/home/anna/IMG.1.tif", "IMG.1"),
        ("C:\\fotos\\auge.png", "auge"),
        ("../../etc/passwd", "passwd"),
        ('a"; filename="b.exe\r\nSet-Cookie: x=1.png', "a_; filename=_b.exe_Set-Cookie_ x=1"),
        ("a\u202egpj.exe.png", "a_gpj.exe"),
        ("...", "photograph"),
        ("", "photograph"),
        ("x" * 500 + ".png", "x" * 180),
        ("眼" * 500 + ".png", "眼" * 60),
    ],
)
def test_a_file_keeps_its_own_name_and_nothing_that_harms(name: str, stem: str) -> None:
    assert stem_of(file_name(name)) == stem


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("photo-mask.png", 'filename="photo-mask.png"'),
        ("müller-svg.svg", "filename=\"muller-svg.svg\"; filename*=UTF-8''m%C3%BCller-svg.svg"),
        ("右-mask.png", "filename=\"_-mask.png\"; filename*=UTF-8''%E5%8F%B3-mask.png"),
        ("a;b='c-mask.png", "filename=\"a_b_c-mask.png\"; filename*=UTF-8''a%3Bb%3D%27c-mask.png"),
    ],
)
def test_a_name_of_any_letters_is_in_the_header(name: str, header: str) -> None:
    assert content_disposition(name) == f"inline; {header}"


def test_the_answer_is_called_by_the_name_of_the_upload(client: httpx.Client) -> None:
    answer = client.post("/predict", files={"image": ("Иванов OD.jpg", PHOTO)})
    assert answer.headers["content-disposition"].endswith(
        "filename*=UTF-8''%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%20OD-mask.png"
    )


def test_json_holds_the_mask_and_its_figures(client: httpx.Client) -> None:
    document = client.post("/predict?format=json&threshold=0.6", content=PHOTO).json()
    mask = segmenter().segment(PHOTO).mask(0.6)
    counts = document["mask"]["counts"].encode()
    coco = pytest.importorskip("pycocotools.mask", reason="not among the lowest releases")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, of numpy 2
        decoded = coco.decode({"size": document["mask"]["size"], "counts": counts})
    assert (decoded.astype(bool) == mask).all()
    statistics = document["statistics"]
    assert statistics["vessel_pixels"] == mask.sum()
    assert statistics["vessel_parts"] == cv2.connectedComponents(mask.astype(np.uint8))[0] - 1
    disc = picture().any(axis=2)
    assert statistics["field_of_view_pixels"] == pytest.approx(disc.sum(), rel=0.02)
    assert statistics["vessel_density"] == pytest.approx(mask.sum() / disc.sum(), rel=0.02)
    assert document["milliseconds"].keys() == {"wait", "decode", "prepare", "infer", "finish"}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/svg+xml", "image/svg+xml"),
        ("application/geo+json", "application/geo+json"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, image/svg+xml", "image/svg+xml"),
        ("video/mp4, application/json;q=0.1", "application/json"),
        ("image/png;q=0, application/json;q=0.2", "application/json"),
        ("Image/SVG+XML ; q=1.0", "image/svg+xml"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "image/png"),
        (";;;q=2,,", "image/png"),
    ],
)
def test_accept_chooses_the_format(client: httpx.Client, accept: str, media: str) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    named = client.post("/predict?format=geojson", content=PHOTO, headers={"Accept": accept})
    assert named.headers["content-type"] == "application/geo+json", "what is asked for by name counts"


def test_what_is_not_to_be_had_is_not_acceptable(client: httpx.Client) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"Accept": "video/mp4"})
    offered = "image/png, image/svg+xml, application/geo+json, application/json, application/dicom"
    message = f"nothing in Accept: video/mp4 is offered. Accept one of: {offered}."
    assert error(answer) == (406, "RequestError", message)


def decompressed(body: bytes, coding: str | None) -> bytes:
    if coding == "zstd":
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        return bytes(pytest.importorskip(name, reason="no zstd in this environment").decompress(body))
    return gzip.decompress(body) if coding else body


@pytest.mark.parametrize("form", FORMATS_OF_ALL)
@pytest.mark.parametrize("coding", ["gzip", "zstd", "br;q=1, gzip;q=0.5", "gzip;q=0", "identity", ""])
def test_text_is_compressed_for_who_asks(client: httpx.Client, form: str, coding: str) -> None:
    address, headers = f"/predict?format={form}", {"Accept-Encoding": coding}
    with client.stream("POST", address, content=PHOTO, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    text = format_spec(form).media_type != "image/png"
    wanted = {"gzip": "gzip", "zstd": "zstd", "br;q=1, gzip;q=0.5": "gzip"}.get(coding) if text else None
    body = decompressed(raw, wanted)
    assert answer.headers.get("content-encoding") == wanted
    if form != "json":
        named = replace(segmenter().segment(PHOTO), file_name="photograph")
        assert body == named.encode(form)  # type: ignore[arg-type]
    assert not wanted or len(raw) < len(body)


def test_several_models_side_by_side() -> None:
    models = [
        ServedModel("one", lambda: segmenter(version="1")),
        ServedModel("two", lambda: segmenter(lambda p: 1 - identity(p), version="2")),
    ]
    with running(models) as client:
        listed = client.get("/models").json()["models"]
        assert [(m["name"], m["version"], m["status"], m["default"]) for m in listed] == [
            ("one", "1", "ready", True),
            ("two", "2", "ready", False),
        ]
        answers = {
            m: client.post("/predict", content=PHOTO, params={"model": m} if m else {}) for m in ("", "one", "two")
        }
        assert answers[""].content == answers["one"].content != answers["two"].content
        assert answers["two"].headers["x-vesselrt-model"] == "test 2"
        form = client.post("/predict", files={"image": PHOTO}, data={"model": "two"})
        assert form.content == answers["two"].content
        wrong = client.post("/predict?model=three", content=PHOTO)
        assert error(wrong) == (404, "RequestError", "no model 'three'. Expected one of: one, two.")


def test_only_the_wanted_formats_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESSELRT_FORMATS", "jpeg, tiff")
    with running(segmenter(), ServerSettings()) as client:
        answer = post(client, "image/png")
        assert error(answer) == (415, "ImageDecodeError", "the file is PNG. Send one of: JPEG, TIFF.")
        assert post(client, "image/png", cv2.imencode(".jpg", disc(64, 64))[1].tobytes()).status_code == 200
    monkeypatch.setenv("VESSELRT_FORMATS", "jpeg,heic")
    with pytest.raises(OptionError, match=r"^formats.1 is 'heic'. Expected 'jpeg', 'png', 'tiff', 'bmp', 'webp', "):
        ServerSettings()
