"""A model of one class: its manifest, its files and its answers stay what they were before models had several.

The hashes were made by the last version that knew one class alone. Of a PNG the pixels are hashed: how they are
compressed is a matter of OpenCV's version.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from manifests import make_manifest
from PIL import Image as Pillow
from serving import PHOTO, picture, running

from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter

FILES: dict[OutputFormat, str] = {
    "mask": "745b845c62ff1595",
    "probability": "f0a592e97855f698",
    "overlay": "7b7015bd1ce81332",
    "svg": "6387077ffea6d64d",
    "geojson": "370e6439727961b9",
    "json": "00fdd1b1c27f808a",
}
HEADERS = "65d08901503cb8c4"
METADATA = "db4782a5d441a6fb"
INFERENCE = "d2166249ea7ba2f6"


def segmenter() -> Segmenter:
    return Segmenter(make_manifest(threshold=0.4), FakeBackend())


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(segmenter()) as started:
        yield started


@pytest.fixture(scope="module")
def result() -> Segmentation:
    return segmenter().segment(picture())


def digest(content: bytes | str) -> str:
    """16 digits say as much here as 64."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:16]


def file_digest(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        pixels = np.asarray(Pillow.open(io.BytesIO(content)))
        return digest(f"{pixels.shape} {pixels.dtype} ".encode() + pixels.tobytes())
    return digest(content)


def test_the_manifest() -> None:
    text = make_manifest().to_json()
    assert text.startswith('{"schema_version":1,"name":"test",')
    assert ',"threshold":0.5,"classes":["vessel"],"tolerance":{' in text
    assert "exclusive" not in text


@pytest.mark.parametrize("form", FILES)
def test_every_file_of_the_library(result: Segmentation, form: OutputFormat) -> None:
    assert file_digest(result.encode(form)) == FILES[form]


@pytest.mark.parametrize("form", [form for form in FILES if form != "json"])
def test_every_file_of_the_server(client: httpx.Client, form: OutputFormat) -> None:
    assert file_digest(client.post("/predict", params={"format": form}, content=PHOTO).content) == FILES[form]


def test_the_document_and_the_headers_of_the_server(client: httpx.Client) -> None:
    answer = client.post("/predict", params={"format": "json"}, content=PHOTO)
    fields = {name: value for name, value in answer.json().items() if name not in ("model", "milliseconds")}
    fields = {name: value for name, value in fields.items() if name not in ("device", "precision")}
    assert digest(json.dumps(fields, separators=(",", ":"))) == FILES["json"]
    probability = client.post("/predict", params={"format": "probability"}, content=PHOTO)
    headers = {name: value for name, value in probability.headers.items() if name.startswith("x-vesselrt")}
    assert headers.pop("x-vesselrt-fields-of-view")  # came later than several classes
    assert digest(json.dumps(headers, sort_keys=True)) == HEADERS


def test_the_open_inference_protocol(client: httpx.Client) -> None:
    metadata = [client.get(f"/v2/models/test{part}").json() for part in ("", "/config")]
    assert digest(json.dumps(metadata)) == METADATA
    tensor: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": [83, 97, 3]}
    body = {"inputs": [tensor | {"data": picture().ravel().tolist()}], "parameters": {"threshold": 0.6}}
    assert digest(client.post("/v2/models/test/infer", json=body).text) == INFERENCE
