"""A server that averages: a photograph flipped and turned, several models as one, and where their answers differ."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray
from serving import FILE, MANIFEST, PHOTO, error, running, segmenter
from several_classes import colour_manifest, colours

import vesselrt
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import ModelError, OptionError
from vesselrt.runtime.modelfile import BUILT_IN, find_model_file, sha256
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.settings import ServerSettings
from vesselrt.server.v2.messages import LENGTH
from vesselrt.server.work.models import models_from_settings
from vesselrt.server.work.tasks import PhotoTask

NO_SPREAD = (
    'this model makes one map of a photograph, and one has no spread. Have several made: with tta="flips" (the option '
    "--tta flips, the setting VESSELRT_TTA=flips), or of several models."
)


def slanted(pixels: Image) -> NDArray[np.float32]:
    return np.asarray((pixels[:, :1] * 0.5 + np.roll(pixels[:, :1], -1, 3) * 0.5) / 255, np.float32)


def flipping() -> Segmenter:
    return Segmenter(MANIFEST, FakeBackend(slanted), tta="flips")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(flipping(), ServerSettings(maps_bytes=2**20)) as started:
        yield started


@pytest.fixture(scope="module")
def result() -> Segmentation:
    return flipping().segment(PHOTO)


def test_the_spread_is_the_librarys_file(client: httpx.Client, result: Segmentation) -> None:
    assert result.spread is not None
    assert result.spread.any()
    for times in range(2):  # the second time from the map that was kept
        answer = client.post("/predict", params={"format": "spread"}, content=PHOTO)
        assert answer.content == result.encode("spread")
        assert ("cache;dur" in answer.headers["server-timing"]) is (times == 1)
        assert answer.headers["content-type"] == "image/png"
    assert client.post("/predict", content=PHOTO).content == result.encode("mask")
    assert client.post("/predict/batch", params={"format": "spread"}, files={"image": PHOTO}).status_code == 200


def test_models_say_how_many_members_they_have(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model["members"] == 4


def test_the_client_has_it(client: httpx.Client, result: Segmentation) -> None:
    with vesselrt.Client(str(client.base_url)) as remote:
        np.testing.assert_array_equal(remote.spread(PHOTO), result.spread)
        assert remote.encode(PHOTO, "spread") == result.encode("spread")
    with running(segmenter()) as single, vesselrt.Client(str(single.base_url)) as remote:
        with pytest.raises(OptionError) as caught:
            remote.spread(PHOTO)
        assert str(caught.value) == NO_SPREAD


def test_tensors_hold_it_where_it_is_named(client: httpx.Client, result: Segmentation) -> None:
    body: dict[str, Any] = {"inputs": [FILE]}
    usual = client.post("/v2/models/test/infer", json=body).json()["outputs"]
    assert [output["name"] for output in usual] == ["probability", "mask"]
    body["outputs"] = [{"name": "spread"}]
    (output,) = client.post("/v2/models/test/infer", json=body).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("UINT8", list(result.shape))
    np.testing.assert_array_equal(np.reshape(output["data"], result.shape), result.spread)
    body["parameters"] = {"binary_data_output": True}
    answer = client.post("/v2/models/test/infer", json=body)
    assert result.spread is not None
    assert answer.content[int(answer.headers[LENGTH]) :] == result.spread.tobytes()
    for address, key in (("", "outputs"), ("/config", "output")):
        described = client.get(f"/v2/models/test{address}").json()[key]
        assert [output["name"] for output in described] == ["probability", "mask", "spread"]


def test_a_model_of_one_member_has_none() -> None:
    with running(segmenter()) as client:
        # Before the work: that this is no photograph would be the error of a decoder.
        answer = client.post("/predict", params={"format": "spread"}, content=b"nothing")
        assert error(answer) == (422, "OptionError", NO_SPREAD)
        answer = client.post("/v2/models/test/infer", json={"inputs": [FILE], "outputs": [{"name": "spread"}]})
        assert (answer.status_code, answer.json()) == (400, {"error": NO_SPREAD})
        assert "members" not in client.get("/models").json()["models"][0]


def test_every_class_has_its_spread() -> None:
    manifest = colour_manifest()
    several = Segmenter(manifest, FakeBackend(colours), others=[(manifest, FakeBackend(lambda p: 1 - colours(p)))])
    with running(several) as client, vesselrt.Client(str(client.base_url)) as remote:
        expected = several.segment(PHOTO).spread
        assert expected is not None
        np.testing.assert_array_equal(remote.spread(PHOTO), expected)
        np.testing.assert_array_equal(remote.spread(PHOTO, classes="vein"), expected[1])
        body = {"inputs": [FILE], "outputs": [{"name": "spread", "parameters": {"classes": "vein"}}]}
        answer = client.post("/v2/models/test-and-test/infer", json=body).json()
        np.testing.assert_array_equal(np.reshape(answer["outputs"][0]["data"], expected[1:2].shape), expected[1:2])


def test_memory_is_taken_for_the_sums_of_every_class() -> None:
    task = PhotoTask(PHOTO, lambda *_: memoryview(b""), 10)
    assert task.pixel_bytes(make_manifest(), 4) == 22
    assert task.pixel_bytes(colour_manifest(), 2) == 18 + 3 * 12


# Settings


@pytest.fixture
def photo_file(tmp_path: Path) -> bytes:
    disc = cv2.circle(np.zeros((120, 120, 3), np.uint8), (60, 60), 55, (40, 90, 200), -1)
    return cv2.imencode(".png", disc)[1].tobytes()


def test_models_under_one_name_are_averaged_and_flipped_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, photo_file: bytes
) -> None:
    digest = sha256(find_model_file("fundus"))
    monkeypatch.setenv("VESSELRT_MODELS", f"both=fundus,both=fundus#sha256={digest},fundus")
    monkeypatch.setenv("VESSELRT_TTA", "flips")
    settings = ServerSettings(device="cpu:onnxruntime", precision="f32", threads=1)
    both, alone = models_from_settings(settings)
    assert (both.name, alone.name) == ("both", "fundus")
    both.open()
    assert both.segmenter is not None
    assert both.segmenter.info.members == 8
    assert both.segmenter.manifest.name == "fundus-and-fundus"
    both.close()


@pytest.mark.parametrize("models", [["fundus", "fundus=fundus"], ["fundus=fundus", "fundus"], ["fundus", "fundus"]])
def test_a_name_that_was_not_given_is_not_shared(models: list[str]) -> None:
    with pytest.raises(OptionError, match=r"^two models are named fundus\. Name them apart: --model A="):
        models_from_settings(ServerSettings(models=models))


def test_a_model_is_named_by_its_hash_and_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = sha256(BUILT_IN / "fundus.onnx")
    monkeypatch.setenv("VESSELRT_OFFLINE", "1")
    monkeypatch.setenv("VESSELRT_MODEL_FOLDER", str(tmp_path))
    shutil.copy(BUILT_IN / "fundus.onnx", tmp_path / f"{digest}.onnx")
    address = f"https://example.org/models/eyes.v2.onnx?a=b#sha256={digest}"
    named = models_from_settings(
        ServerSettings(models=[address, f"mine={address}", f"{BUILT_IN}/fundus.onnx#sha256={digest}"])
    )
    assert [model.name for model in named] == ["eyes", "mine", "fundus"]
    with pytest.raises(ModelError, match="It is not used"):
        models_from_settings(ServerSettings(models=[f"mine=fundus#sha256={'0' * 64}"]))
    assert ServerSettings.unknown() == []


def test_a_file_that_was_replaced_by_one_of_another_hash_does_not_serve(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    shutil.copy(BUILT_IN / "fundus.onnx", file)
    (served,) = models_from_settings(ServerSettings(models=[f"{file}#sha256={sha256(file)}"], device="cpu:onnxruntime"))
    served.open()
    file.write_bytes(file.read_bytes() + b"more")
    assert served.refresh() is False
    assert served.segmenter is not None
    served.close()
