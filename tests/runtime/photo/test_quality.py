"""The verdict on a photograph: how it falls as a real one is made worse, and how it is switched off."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from manifests import make_manifest

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.preparation import prepare_views
from vesselrt.runtime.photo.quality import GUESSED, VERDICTS, Quality, read_quality
from vesselrt.runtime.segmenter import Segmenter

FUNDUS = Preparation(channels="green", field_of_view=(1024, 1344))


@pytest.fixture(scope="module")
def retina() -> Image:
    """A real photograph, CC0."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")
    return np.ascontiguousarray(data.retina()[:, :, :3])


def judged(image: Image, scale: float | None = None) -> Quality:
    quality = prepare_views(np.ascontiguousarray(image), FUNDUS, scale).quality
    assert quality is not None
    return quality


def blurred(image: Image, amount: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), amount), np.uint8)


def lit(image: Image, amount: float) -> Image:
    return np.asarray(cv2.convertScaleAbs(image, alpha=amount), np.uint8)


def noisy(image: Image, amount: float) -> Image:
    noise = np.random.default_rng(0).normal(0, amount, image.shape)
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)


def compressed(image: Image, amount: float) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(amount)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def cut(image: Image, amount: float) -> Image:
    return image[:, : round(image.shape[1] * amount)]


@pytest.mark.parametrize(
    ("reason", "worsen", "amounts"),
    [
        ("blurred", blurred, (4, 16)),
        ("dark", lit, (0.2, 0.08)),
        ("overexposed", lit, (2.2, 6)),
        ("noisy", noisy, (12, 40)),
        ("compressed", compressed, (20, 4)),
        ("cut", cut, (0.6, 0.35)),
    ],
)
def test_a_photograph_that_gets_worse_is_usable_and_then_rejected(
    retina: Image, reason: str, worsen: Callable[[Image, float], Image], amounts: tuple[float, float]
) -> None:
    for amount, verdict in zip(amounts, ("usable", "reject"), strict=True):
        quality = judged(worsen(retina, amount))
        assert (quality.verdict, reason in quality.reasons) == (verdict, True), (amount, quality)
        assert len(quality.warnings) == len(quality.reasons)


def test_a_good_photograph_is_good_in_every_size_and_as_a_jpeg(retina: Image) -> None:
    assert judged(retina) == Quality("good")
    small = np.asarray(cv2.resize(retina, (600, 600), interpolation=cv2.INTER_AREA), np.uint8)
    assert judged(small) == Quality("good")
    assert judged(compressed(retina, 90)) == Quality("good")


def test_what_is_no_retina_is_rejected() -> None:
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    assert judged(image).verdict == "reject"
    assert "not_a_fundus" in judged(image).reasons


def test_a_crop_has_no_edge_until_its_scale_is_told(retina: Image) -> None:
    crop = retina[500:900, 500:900]
    assert judged(crop) == Quality("usable", ("no_edge",))
    assert judged(crop, 1344) == Quality("good")


@pytest.mark.parametrize("quality", [Quality("good"), Quality("reject", ("dark", "blurred"))])
def test_a_verdict_is_read_as_it_is_written(quality: Quality) -> None:
    assert read_quality(str(quality)) == quality
    assert quality.verdict in VERDICTS


def test_the_verdict_is_switched_off_and_the_scale_is_still_doubted(retina: Image) -> None:
    manifest = make_manifest(preparation=FUNDUS.model_dump(), tile={"size": 1344, "multiple": 64, "margin": 64})
    segmenter = Segmenter(manifest, FakeBackend())
    crop = np.ascontiguousarray(lit(retina[500:900, 500:900], 0.1))
    result = segmenter.segment(crop)
    assert result.quality is not None
    assert result.quality.reasons == ("dark", "no_edge")
    without = segmenter.segment(crop, quality=False)
    assert (without.quality, without.warnings) == (None, (GUESSED,))
    (again,) = segmenter.segment_many([crop], quality=False)
    assert not isinstance(again, Exception)
    assert again.document()["quality"] is None
    plain = Segmenter(make_manifest(), FakeBackend()).segment(crop)
    assert plain.quality is None, "a model without a scale asks for no fundus"
