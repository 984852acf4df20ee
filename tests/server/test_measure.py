"""Measurements and the verdict of quality over HTTP."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
import pytest
from drawn_vessels import vessel
from serving import error, figure, png, running, segmenter

import vesselrt
from vesselrt.runtime.photo.quality import Quality
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import MEASURING_BYTES

SIDE = 160
EYE = png(np.repeat(np.where(vessel([(10, 50), (150, 110)], 7, SIDE), 200, 40).astype(np.uint8)[:, :, None], 3, axis=2))
"""The mirror sees one vessel in it."""
MEASURE = {"format": "json", "measure": "true"}
DISC = vesselrt.Disc(80, 80, 40)


def test_the_json_has_what_the_library_measures(client: httpx.Client) -> None:
    expected = segmenter().segment(EYE).measure(0.6, um_per_px=8, disc=DISC)
    options = {**MEASURE, "threshold": "0.6", "um_per_px": "8", "disc": "80,80,40"}
    found = client.post("/predict", params=options, content=EYE).json()["measurements"]
    assert found == json.loads(json.dumps(expected.document()))
    assert found["figures"]["zone_b_length_um"] > 0
    form = {"data": options, "files": {"image": EYE}}
    assert client.post("/predict", **form).json()["measurements"] == found  # type: ignore[arg-type]
    assert "measurements" not in client.post("/predict?format=json", content=EYE).json()
    plain = client.post("/predict", params=MEASURE, content=EYE).json()["measurements"]
    assert (plain["um_per_px"], plain["figures"]["length_um"]) == (None, None)
    assert "zone_b_length_px" not in plain["figures"]


def test_each_photograph_of_a_batch_is_measured(client: httpx.Client) -> None:
    files = [("image", ("a.png", EYE)), ("image", ("b.png", EYE))]
    answer = client.post("/predict/batch", params=MEASURE, files=files, headers={"Accept": "application/x-ndjson"})
    lines = [json.loads(line)["content"]["measurements"]["figures"] for line in answer.text.splitlines()]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert lines[0]["calibre_mean_px"] == pytest.approx(7, abs=1.5)  # the network sees 96 px


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "true"}, "measure is for format=json, and the format is mask."),
        ({"format": "json", "disc": "1,2"}, "um_per_px, field_angle and disc are for measure=true. Send that too."),
        ({**MEASURE, "measure": "1"}, "measure is '1'. Expected true or false."),
        ({**MEASURE, "um_per_px": "0"}, "um_per_px is '0'. Expected a number above 0."),
        ({**MEASURE, "field_angle": "nan"}, "field_angle is 'nan'. Expected a number above 0."),
        (
            {**MEASURE, "field_angle": "200"},
            "field_angle is 200.0. Expected the degrees of the field of view, such as 45, and 100 at most.",
        ),
        (
            {**MEASURE, "field_angle": "45", "um_per_px": "8"},
            "um_per_px and field_angle both give the scale. Give one of them.",
        ),
        *(
            (
                {**MEASURE, "disc": disc},
                f"disc is '{disc}'. Expected x,y or x,y,diameter of the optic disc in pixels, such as 300,250,90.",
            )
            for disc in ("80", "80,x", "1,2,3,4", "80,80,-1", "")
        ),
    ],
)
def test_options_of_measuring_that_can_not_be(client: httpx.Client, options: dict[str, str], message: str) -> None:
    answer = client.post("/predict", params=options, content=EYE)
    assert error(answer) == (422, "OptionError", message)


def test_a_server_without_the_extra_names_it(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    message = "measuring vessels needs packages that are not installed. Run: pip install 'vesselrt[measure]'"
    assert error(client.post("/predict", params=MEASURE, content=EYE)) == (501, "MissingExtraError", message)


def test_measuring_has_its_place_in_the_memory_of_all_requests() -> None:
    with running(segmenter(), ServerSettings(max_memory=MEASURING_BYTES)) as client:
        assert client.post("/predict?format=json", content=EYE).status_code == 200
        answer = client.post("/predict", params=MEASURE, content=EYE)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "ImageTooLargeError")
        assert figure(client, "vesselrt_held_bytes") == 0


def test_the_clients_ask_for_measurements_and_tell_the_verdict(client: httpx.Client) -> None:
    options: dict[str, Any] = {"format": "json", "measure": True, "field_angle": 45, "disc": DISC}
    expected = segmenter().segment(EYE)
    with vesselrt.Client(str(client.base_url)) as remote:
        answer = remote.predict(EYE, **options)
        ((_, same),) = remote.predict_batch([EYE], **options)
        assert remote.predict(EYE, quality=False).quality is None
    assert isinstance(same, vesselrt.Answer)
    assert isinstance(expected.quality, Quality)
    assert answer.quality == same.quality == expected.quality
    document = json.loads(answer.content)
    measured = expected.measure(field_angle=45, disc=DISC).document()
    assert document["measurements"] == json.loads(same.content)["measurements"] == json.loads(json.dumps(measured))

    async def ask() -> vesselrt.Answer:
        async with vesselrt.AsyncClient(str(client.base_url)) as remote:
            return await remote.predict(EYE, **options)

    again = asyncio.run(ask())
    assert (again.quality, json.loads(again.content)["measurements"]) == (answer.quality, document["measurements"])


def test_a_server_may_be_set_not_to_judge() -> None:
    with running(segmenter(), ServerSettings(quality=False)) as client:
        assert "x-vesselrt-quality" not in client.post("/predict", content=EYE).headers
        assert "x-vesselrt-quality" in client.post("/predict?quality=true", content=EYE).headers
