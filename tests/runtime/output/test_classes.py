"""A model of several classes: every pixel of its files is known beforehand."""

import io
import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from manifests import make_manifest
from numpy.typing import NDArray
from PIL import Image as Pillow
from several_classes import colour_manifest, colour_segmenter, colours

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import ManifestError, OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter

PHOTO: Image = np.array(
    [
        [
            [255, 0, 0],
            [200, 200, 0],
            [0, 0, 0],
            [127, 102, 0],
        ],  # artery; both alike; nothing; vein alone reaches its own
        [[0, 255, 0], [130, 140, 0], [0, 0, 255], [130, 140, 150]],  # vein; vein more; disc; all three
    ],
    np.uint8,
)
ARTERY = [[1, 1, 0, 0], [0, 1, 0, 1]]
VEIN = [[0, 1, 0, 1], [1, 1, 0, 1]]
DISC = [[0, 0, 0, 0], [0, 0, 1, 1]]
LABELS = [[1, 1, 0, 2], [2, 2, 3, 3]]


def one_colour(place: int, pixels: Image) -> NDArray[np.float32]:
    return colours(pixels)[:, place : place + 1]


def segment(image: Image = PHOTO, **fields: Any) -> Segmentation:
    return colour_segmenter(**fields).segment(image)


def decoded(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Pillow.open(io.BytesIO(content)))


def numbers(mask: Mask) -> list[list[int]]:
    found: list[list[int]] = mask.astype(int).tolist()
    return found


def test_probabilities_lie_in_the_order_of_the_classes() -> None:
    result = segment()
    assert result.classes == ("artery", "vein", "disc")
    assert result.shape == (2, 4)
    assert result.probability.dtype == np.uint8
    np.testing.assert_array_equal(result.probability, PHOTO.transpose(2, 0, 1))


@pytest.mark.parametrize("blend", ["exact", "gaussian"])
@pytest.mark.parametrize("region", [None, (10, 20, 90, 140)])
def test_large_photographs_are_tiled_in_every_class(blend: str, region: tuple[int, int, int, int] | None) -> None:
    image = np.random.default_rng(1).integers(0, 256, (100, 150, 3), np.uint8)
    manifest = colour_manifest(tile={"size": 32, "multiple": 8, "margin": 8, "blend": blend})
    found = Segmenter(manifest, FakeBackend(colours, batch=3)).segment(image, region=region)
    expected = np.zeros_like(image)
    top, left, bottom, right = region or (0, 0, 100, 150)
    expected[top:bottom, left:right] = image[top:bottom, left:right]
    np.testing.assert_array_equal(found.probability, expected.transpose(2, 0, 1))


def test_a_scaled_photograph_has_every_class_as_if_it_were_alone() -> None:
    image = np.random.default_rng(2).integers(60, 256, (90, 120, 3), np.uint8)
    manifest = colour_manifest(preparation={"channels": "rgb", "field_of_view": 64})
    found = Segmenter(manifest, FakeBackend(colours)).segment(image).probability
    for place, probability in enumerate(found):
        alone = colour_manifest(preparation={"channels": "rgb", "field_of_view": 64}, classes=["vessel"])
        backend = FakeBackend(partial(one_colour, place))
        np.testing.assert_array_equal(probability, Segmenter(alone, backend).segment(image).probability)


def test_a_network_of_fewer_channels_than_classes_is_no_answer() -> None:
    with pytest.raises(ValueError, match="zip"):
        Segmenter(colour_manifest(), FakeBackend()).segment(PHOTO)


def test_classes_overlap_unless_they_exclude_each_other() -> None:
    result = segment()
    assert [numbers(result.mask(class_=name)) for name in result.classes] == [ARTERY, VEIN, DISC]
    assert result.labels().tolist() == LABELS
    exclusive = segment(exclusive=True)
    assert exclusive.labels().tolist() == LABELS
    for number, name in enumerate(exclusive.classes, 1):
        assert numbers(exclusive.mask(class_=name)) == (np.array(LABELS) == number).astype(int).tolist()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.uint8, (5, 7, 3)), st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), min_size=3, max_size=3), st.booleans()
)
def test_the_rule_of_labels(image: Image, thresholds: list[float], exclusive: bool) -> None:
    result = segment(image, exclusive=exclusive)
    by_name = dict(zip(result.classes, thresholds, strict=True))
    expected = np.zeros(image.shape[:2], int)
    for place in np.ndindex(image.shape[:2]):
        levels = image[place].tolist()
        reaching = [c for c in range(3) if levels[c] >= thresholds[c] * 255]
        expected[place] = max(reaching, key=lambda c: (levels[c], -c)) + 1 if reaching else 0
    np.testing.assert_array_equal(result.labels(by_name), expected)
    np.testing.assert_array_equal(decoded(result.encode("mask", by_name)), expected)


@pytest.mark.parametrize("band", [4, 2**20])
def test_labels_are_made_in_bands(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.output.classes._BAND_PIXELS", band)
    assert segment().labels().tolist() == LABELS


def test_masks_as_png() -> None:
    for exclusive, vein in ((False, VEIN), (True, (np.array(LABELS) == 2).astype(int).tolist())):
        result = segment(exclusive=exclusive)
        assert decoded(result.encode("mask")).tolist() == LABELS
        assert decoded(result.encode("mask", classes="vein")).tolist() == (np.array(vein) * 255).tolist()
    # Hidden classes give no pixel away where classes exclude each other, and free theirs where they don't.
    assert decoded(segment(exclusive=True).encode("mask", classes=["artery", "vein"])).tolist() == [
        [1, 1, 0, 2],
        [2, 2, 0, 0],
    ]
    assert decoded(segment().encode("mask", classes=["vein", "artery"])).tolist() == [[1, 1, 0, 2], [2, 2, 0, 2]]


def test_probabilities_as_png() -> None:
    result = segment()
    stacked = decoded(result.encode("probability"))
    assert stacked.shape == (6, 4)
    np.testing.assert_array_equal(stacked.reshape(3, 2, 4), PHOTO.transpose(2, 0, 1))
    np.testing.assert_array_equal(decoded(result.encode("probability", classes="disc")), PHOTO[:, :, 2])


def test_an_overlay_has_a_colour_for_each() -> None:
    result = segment(exclusive=True)
    colour_of = {0: (0, 0, 0), 1: (255, 46, 99), 2: (77, 178, 255), 3: (255, 255, 255)}
    expected = [[colour_of[number] for number in row] for row in LABELS]
    expected[0][2] = tuple(PHOTO[0, 2].tolist())
    assert decoded(result.encode("overlay", opacity=1)).tolist() == np.array(expected).tolist()
    # Where classes overlap, the later one is laid over the earlier one.
    both = decoded(segment().encode("overlay", colour={"artery": "#ff0000", "vein": "#0000ff"}, opacity=0.5))
    assert both[0, 1].tolist() == [114, 50, 128]  # (200, 200, 0), half red, then half blue


def test_outlines_have_the_class_and_its_colour() -> None:
    result = segment(exclusive=True)
    svg = result.encode("svg", classes=["vein", "disc"], colour={"disc": "#123456"}).decode()
    assert svg == (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2" width="4" height="2">'
        '<path fill="#4db2ff" fill-rule="evenodd" data-threshold="0.4" d="M3 0L4 0L4 1L3 1ZM0 1L2 1L2 2L0 2Z">'
        "<title>vein</title></path>"
        '<path fill="#123456" fill-rule="evenodd" data-threshold="0.5" d="M2 1L4 1L4 2L2 2Z">'
        "<title>disc</title></path></svg>\n"
    )
    features = json.loads(result.encode("geojson"))["features"]
    assert [feature["properties"] for feature in features] == [
        {"objectType": "annotation", "classification": {"name": name, "color": colour}, "threshold": threshold}
        for name, colour, threshold in (
            ("artery", [255, 46, 99], 0.5),
            ("vein", [77, 178, 255], 0.4),
            ("disc", [255, 255, 255], 0.5),
        )
    ]
    assert features[2]["geometry"]["coordinates"] == [[[[2, 1], [4, 1], [4, 2], [2, 2], [2, 1]]]]


def test_figures_of_each_class() -> None:
    document = segment().document(0.5, ["artery", "disc"])
    assert {name: document[name] for name in ("width", "height", "exclusive")} == {
        "width": 4,
        "height": 2,
        "exclusive": False,
    }
    artery, disc = document["classes"]
    assert (artery["name"], artery["threshold"], artery["mask"]["size"]) == ("artery", 0.5, [2, 4])
    assert artery["statistics"] == {"pixels": 4, "field_of_view_pixels": 8, "density": 0.5, "parts": 2}
    assert disc["statistics"] == {"pixels": 2, "field_of_view_pixels": 8, "density": 0.25, "parts": 1}
    assert json.loads(segment().encode("json", classes="vein"))["classes"][0]["threshold"] == 0.4
    assert segment().density(class_="vein") == 5 / 8
    assert segment(exclusive=True).density(class_="vein") == 3 / 8


def test_one_threshold_is_for_all_and_a_name_for_one() -> None:
    result = segment()
    assert numbers(result.mask(0.9, "vein")) == [[0, 0, 0, 0], [1, 0, 0, 0]]
    assert numbers(result.mask({"vein": 0.9}, "vein")) == [[0, 0, 0, 0], [1, 0, 0, 0]]
    assert numbers(result.mask({"vein": 0.9}, "artery")) == ARTERY
    assert decoded(result.encode("mask", {"artery": 1, "vein": 1})).tolist() == [[1, 0, 0, 0], [2, 0, 3, 3]]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.mask(), "the model has several classes. Name one as class_: artery, vein, disc."),
        (lambda r: r.mask(class_="veins"), "classes names 'veins'. This model has: artery, vein, disc."),
        (lambda r: r.encode("svg", classes=[]), "classes names nothing. This model has: artery, vein, disc."),
        (lambda r: r.encode("mask", {"x": 1}), "threshold names 'x'. This model has: artery, vein, disc."),
        (lambda r: r.encode("svg", colour={"x": "#000000"}), "colour names 'x'. This model has: artery, vein, disc."),
        (lambda r: r.encode("mask", {"vein": 2}), "threshold 2 is not within 0 to 1."),
        (lambda r: r.labels(-1), "threshold -1 is not within 0 to 1."),
    ],
)
def test_what_no_class_has_is_refused(ask: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        ask(segment())
    assert str(caught.value) == message


def test_the_only_class_has_a_name_a_colour_and_a_threshold_too() -> None:
    manifest = colour_manifest(classes=[{"name": "lesion", "colour": "#123456", "threshold": 0.6}], exclusive=True)
    result = Segmenter(manifest, FakeBackend()).segment(PHOTO)
    assert result.probability.shape == (2, 4)
    np.testing.assert_array_equal(result.mask(), result.mask(0.6, "lesion"))
    assert numbers(result.mask()) == [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert b'fill="#123456"' in result.encode("svg", classes="lesion")
    (feature,) = json.loads(result.encode("geojson"))["features"]
    assert feature["properties"]["classification"] == {"name": "lesion", "color": [18, 52, 86]}
    assert feature["properties"]["threshold"] == result.document()["threshold"] == 0.6


def test_a_notebook_shows_every_class() -> None:
    shown = decoded(segment(np.tile(PHOTO, (4, 4, 1)), exclusive=True)._repr_png_())
    assert shown.shape == (8, 16, 3)
    assert len({tuple(pixel) for pixel in shown.reshape(-1, 3).tolist()}) > 4


def test_a_manifest_of_several_classes_has_the_second_schema() -> None:
    manifest = colour_manifest(exclusive=True)
    fields = json.loads(manifest.to_json())
    assert (fields["schema_version"], fields["exclusive"]) == (2, True)
    assert fields["classes"] == [
        "artery",
        {"name": "vein", "colour": None, "threshold": 0.4},
        {"name": "disc", "colour": "#ffffff", "threshold": None},
    ]
    assert Manifest.from_json(manifest.to_json(), source="test") == manifest
    assert manifest.class_thresholds == (0.5, 0.4, 0.5)
    plain = make_manifest(classes=[{"name": "vessel"}])
    assert plain == make_manifest() == Manifest.from_json(plain.to_json(), source="test")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "file: Value error, classes must be 1 to 255 of different names, not: "),
        (["a", "a"], "file: Value error, classes must be 1 to 255 of different names, not: a, a"),
        (["a,b"], "classes.0.name: String should match pattern '^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$'"),
        (5, "classes: Input should be a valid tuple"),
        ([{"name": "a", "colour": "red"}], "classes.0.colour: String should match pattern '^#[0-9A-Fa-f]{6}$'"),
        ([{"name": "a", "threshold": 2}], "classes.0.threshold: Input should be less than or equal to 1"),
    ],
)
def test_classes_that_a_manifest_can_not_have(classes: Any, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        make_manifest(classes=classes)
    assert str(caught.value) == f"test: the manifest is not valid: {message}. Correct it."


def test_pictures_tell_the_thresholds_of_what_they_show() -> None:
    for form in ("mask", "overlay"):
        png = segment(exclusive=True).encode(form, classes=["artery", "vein"], threshold={"vein": 0.25})
        assert Pillow.open(io.BytesIO(png)).info["Threshold"] == "artery:0.5,vein:0.25"
