"""A served model of several classes answers with the library's files, each class by its name."""

import json
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from results import FORMATS_OF_ALL
from serving import FILE, PHOTO, error, picture, running
from several_classes import colour_manifest, colour_segmenter

import vesselrt
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.options import AnswerOptions
from vesselrt.server.settings import ServerSettings
from vesselrt.server.v2.messages import LENGTH
from vesselrt.server.work.tasks import PhotoTask

NAMES = "artery, vein, disc"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(colour_segmenter()) as started:
        yield started


@pytest.fixture(scope="module")
def result() -> Segmentation:
    return colour_segmenter().segment(PHOTO)


@pytest.mark.parametrize("form", [form for form in FORMATS_OF_ALL if form not in ("json", "coco")])
def test_every_format_is_the_librarys_file(client: httpx.Client, result: Segmentation, form: OutputFormat) -> None:
    assert client.post("/predict", params={"format": form}, content=PHOTO).content == result.encode(form)
    query = {"format": form, "classes": "vein,artery", "threshold": "artery:0.6,vein:0.7", "colour": "vein:#123456"}
    expected = result.encode(form, {"artery": 0.6, "vein": 0.7}, {"vein": "#123456"}, classes=["artery", "vein"])
    assert client.post("/predict", params=query, content=PHOTO).content == expected
    assert client.post("/predict", data=query, files={"image": PHOTO}).content == expected


def test_figures_are_the_librarys(client: httpx.Client, result: Segmentation) -> None:
    answer = client.post("/predict", params={"format": "json", "classes": "disc"}, content=PHOTO).json()
    expected = result.document(classes="disc")
    assert {name: value for name, value in answer.items() if name in expected} == json.loads(json.dumps(expected))
    assert [described["name"] for described in answer["classes"]] == ["disc"]


def test_headers_name_what_is_shown(client: httpx.Client) -> None:
    query = {"format": "probability", "classes": "disc,vein", "threshold": "vein:0.25"}
    headers = client.post("/predict", params=query, content=PHOTO).headers
    assert headers["x-vesselrt-classes"] == "vein,disc"
    assert headers["x-vesselrt-threshold"] == "vein:0.25,disc:0.5"
    assert "x-vesselrt-levels" not in headers
    outline = [tuple(map(int, corner.split(","))) for corner in headers["x-vesselrt-fields-of-view"].split(" ")]
    assert outline == list(colour_segmenter().segment(PHOTO).scale.outline)
    assert headers["content-disposition"] == 'inline; filename="photograph-disc-vein-probability.png"'


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"classes": "veins"}, f"classes names 'veins'. This model has: {NAMES}."),
        ({"classes": ""}, f"classes names ''. This model has: {NAMES}."),
        ({"threshold": "x:0.5"}, f"threshold names 'x'. This model has: {NAMES}."),
        ({"colour": "x:#000000"}, f"colour names 'x'. This model has: {NAMES}."),
        ({"threshold": "vein:2"}, "threshold is 'vein:2'. Expected a number from 0 to 1, such as 0.5."),
        (
            {"threshold": "vein:.2,vein:.3"},
            "threshold is 'vein:.2,vein:.3'. Expected each class once, such as artery:0.4,vein:0.6.",
        ),
        ({"colour": "vein:red"}, "colour is 'vein:red'. Expected red, green and blue, such as #00ff66."),
    ],
)
@pytest.mark.parametrize("address", ["/predict", "/predict/batch"])
def test_what_no_class_has_is_refused(client: httpx.Client, address: str, query: Any, message: str) -> None:
    answer = client.post(address, params=query, files={"image": PHOTO})
    assert error(answer) == (422, "OptionError", message)


def test_names_are_checked_before_the_work(client: httpx.Client) -> None:
    # Nothing was decoded: that it is no image would be the error of a decoder.
    _, kind, _ = error(client.post("/predict", params={"classes": "x"}, content=b"nothing"))
    assert kind == "OptionError"
    options = AnswerOptions(classes="disc,vein")  # type: ignore[arg-type]
    options.check_classes(colour_manifest())


def test_models_name_their_classes(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model["exclusive"] is False
    assert model["classes"] == [
        {"name": "artery", "colour": "#ff2e63", "threshold": 0.5},
        {"name": "vein", "colour": "#4db2ff", "threshold": 0.4},
        {"name": "disc", "colour": "#ffffff", "threshold": 0.5},
    ]


def test_a_kept_map_has_every_class() -> None:
    segmenter = colour_segmenter(exclusive=True)
    with running(segmenter, ServerSettings(maps_bytes=2**20)) as client:
        for classes in ("vein", "artery,disc"):
            answer = client.post("/predict", params={"classes": classes}, content=PHOTO)
            assert answer.content == segmenter.segment(PHOTO).encode("mask", classes=classes.split(","))
            assert ("cache;dur" in answer.headers["server-timing"]) is (classes != "vein")


def test_tensors_hold_a_map_of_each_class(client: httpx.Client, result: Segmentation) -> None:
    height, width = result.shape
    answer = client.post("/v2/models/test/infer", json={"inputs": [FILE], "parameters": {"threshold": 0.6}}).json()
    probability, mask = answer["outputs"]
    assert answer["parameters"]["classes"] == "artery,vein,disc"
    assert probability["shape"] == mask["shape"] == [3, height, width]
    assert probability["data"] == result.probability.ravel().tolist()
    masks = np.stack([result.mask(0.6, name) for name in result.classes])
    assert mask["data"] == masks.ravel().tolist()

    wanted = {"name": "mask", "parameters": {"classes": "disc", "threshold": "disc:0.9", "binary_data": True}}
    body = {"inputs": [FILE], "outputs": [{"name": "probability"}, wanted], "parameters": {"classes": "artery,vein"}}
    got = client.post("/v2/models/test/infer", json=body)
    length = int(got.headers[LENGTH])
    probability, mask = json.loads(got.content[:length])["outputs"]
    assert (probability["shape"], mask["shape"]) == ([2, height, width], [1, height, width])
    assert probability["data"] == result.probability[:2].ravel().tolist()
    assert got.content[length:] == result.mask(0.9, "disc").tobytes()


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"classes": "x"}, 422, f"classes names 'x'. This model has: {NAMES}."),
        ({"threshold": "x:0.5"}, 422, f"threshold names 'x'. This model has: {NAMES}."),
        ({"threshold": "vein:2"}, 400, "parameters.threshold is 'vein:2'. Expected a number from 0 to 1."),
        ({"threshold": "0.5"}, 400, "parameters.threshold is '0.5'. Expected a number from 0 to 1."),
    ],
)
def test_tensors_of_no_class(client: httpx.Client, parameters: Any, status: int, message: str) -> None:
    answer = client.post("/v2/models/test/infer", json={"inputs": [FILE], "parameters": parameters})
    said = answer.json()["error"].removesuffix(" See the Open Inference Protocol, version 2.")
    assert (answer.status_code, said) == (status, message)


def test_every_class_counts_in_the_json_of_tensors() -> None:
    with running(colour_segmenter()) as client:
        _, photo = cv2.imencode(".png", np.full((1000, 700, 3), 90, np.uint8))
        headers = {LENGTH: "0"}
        tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(photo) + 4}}
        for classes, status in (("artery,vein,disc", 400), ("artery", 200)):
            head = json.dumps({"inputs": [tensor], "parameters": {"classes": classes}}).encode()
            headers[LENGTH] = str(len(head))
            content = head + len(photo).to_bytes(4, "little") + photo.tobytes()
            answer = client.post("/v2/models/test/infer", content=content, headers=headers)
            assert answer.status_code == status, answer.text[:300]


def test_tensors_are_described(client: httpx.Client) -> None:
    assert [o["shape"] for o in client.get("/v2/models/test").json()["outputs"]] == [[-1, -1, -1]] * 2
    config = client.get("/v2/models/test/config").json()
    assert [o["dims"] for o in config["output"]] == [[-1, -1, -1]] * 2
    assert config["parameters"] == {"classes": {"string_value": "artery,vein,disc"}}


def test_the_client_has_every_class(client: httpx.Client, result: Segmentation) -> None:
    with vesselrt.Client(str(client.base_url)) as remote:
        np.testing.assert_array_equal(remote.probability(PHOTO), result.probability)
        np.testing.assert_array_equal(remote.probability(PHOTO, classes=["vein", "disc"]), result.probability[1:])
        np.testing.assert_array_equal(remote.probability(PHOTO, classes="vein"), result.probability[1])
        svg = remote.encode(PHOTO, "svg", {"vein": 0.7}, colour={"vein": "#123456"}, classes=("vein",))
        assert svg == result.encode("svg", {"vein": 0.7}, {"vein": "#123456"}, classes="vein")
        with pytest.raises(vesselrt.OptionError, match=r"^classes names 'x'\. This model has: artery, vein, disc\."):
            remote.encode(PHOTO, classes="x")


def test_memory_is_taken_for_every_class() -> None:
    task = PhotoTask(PHOTO, lambda *_: memoryview(b""), 10)
    assert task.pixel_bytes(colour_manifest(classes=["vessel"])) == 10
    assert task.pixel_bytes(colour_manifest()) == 18
    pixels = picture(400, 500)
    settings = ServerSettings(max_memory=400 * 500 * (18 + 3 + 3))
    _, photo = cv2.imencode(".png", pixels)
    with running(colour_segmenter(), settings) as client:
        assert client.post("/predict", content=photo.tobytes()).status_code == 200
    with running(colour_segmenter(), settings.model_copy(update={"max_memory": 400 * 500 * 17})) as client:
        assert client.post("/predict", content=photo.tobytes()).status_code == 413
