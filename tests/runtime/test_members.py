"""The mean and the spread of several maps: of a photograph flipped and turned, and of several models."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray
from several_classes import colour_manifest, colours

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.averaging import MOST_MAPS, average_maps
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import CallCancelledError, OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.views import Box
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.runtime.stages import CancelToken
from vesselrt.runtime.symmetry import Tta, symmetries_of

PHOTO: Image = np.random.default_rng(5).integers(0, 256, (90, 151, 3), np.uint8)
EXACT = {"size": 32, "multiple": 8, "margin": 8}


def slanted(pixels: Image) -> NDArray[np.float32]:
    """A network that looks to the right and below, so that each flip and turn gives another answer."""
    right, below = (np.roll(pixels[:, :1], -1, axis) for axis in (3, 2))
    return np.asarray((pixels[:, :1] * 0.5 + right * 0.3 + below * 0.2) / 255, np.float32)


Turn = Callable[[Any], Any]


def turns(tta: Tta) -> list[tuple[Turn, Turn]]:
    """What numpy does to a photograph (H, W, 3) for each map, and how it is undone in a map (H, W)."""

    def on_its_side(flip: Turn) -> tuple[Turn, Turn]:
        return lambda a: flip(a.swapaxes(0, 1)), lambda a: flip(a).swapaxes(0, 1)

    flips: list[Turn] = [partial(np.flip, axis=axes) for axes in ((), (1,), (0,), (0, 1))]
    upright = [(flip, flip) for flip in flips]
    return {"none": upright[:1], "flips": upright, "d4": upright + list(map(on_its_side, flips))}[tta]


def expected_of(maps: list[Image]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and spread by their definition."""
    every = np.stack(maps).astype(np.float64)
    return np.rint(every.mean(axis=0)), np.rint(every.std(axis=0) * 2)


@pytest.mark.parametrize("tta", ["flips", "d4"])
@pytest.mark.parametrize("blend", ["exact", "gaussian"])
def test_the_mean_is_that_of_photographs_that_were_turned_before(tta: Tta, blend: str) -> None:
    manifest = make_manifest(tile={**EXACT, "blend": blend})
    alone = Segmenter(manifest, FakeBackend(slanted))
    maps = [undo(alone.segment(np.ascontiguousarray(turn(PHOTO))).probability) for turn, undo in turns(tta)]
    assert len({found.tobytes() for found in maps}) == len(maps) == {"flips": 4, "d4": 8}[tta]
    result = Segmenter(manifest, FakeBackend(slanted, batch=3), tta=tta).segment(PHOTO)
    mean, spread = expected_of(maps)
    np.testing.assert_array_equal(result.probability, mean)
    assert result.spread is not None
    np.testing.assert_array_equal(result.spread, spread)
    assert result.spread.any()
    assert result.info.members == len(maps)


@pytest.mark.parametrize("region", [(10, 20, 50, 99), (0, 0, 90, 151), (83, 140, 90, 151)])
def test_a_part_is_the_same_part_of_the_whole(region: tuple[int, int, int, int]) -> None:
    segmenter = Segmenter(make_manifest(tile=EXACT), FakeBackend(slanted), tta="d4")
    whole, part = segmenter.segment(PHOTO), segmenter.segment(PHOTO, region=region)
    top, left, bottom, right = region
    for every, found in ((whole.probability, part.probability), (whole.spread, part.spread)):
        assert every is not None
        assert found is not None
        np.testing.assert_array_equal(found[top:bottom, left:right], every[top:bottom, left:right])
        assert found.sum() == found[top:bottom, left:right].sum()


def test_a_network_that_flips_do_not_matter_to_says_what_it_says_once() -> None:
    image = np.zeros((200, 260, 3), np.uint8)
    cv2.circle(image, (130, 100), 90, (160, 80, 40), -1)
    image += np.random.default_rng(3).integers(0, 40, image.shape, np.uint8)
    manifest = make_manifest(preparation={"channels": "green", "field_of_view": 120})
    once = Segmenter(manifest, FakeBackend()).segment(image)
    often = Segmenter(manifest, FakeBackend(), tta="d4").segment(image)
    np.testing.assert_array_equal(often.probability, once.probability)
    assert once.spread is None
    assert often.spread is not None
    assert not often.spread.any()


def test_every_class_has_its_mean_and_its_spread() -> None:
    manifest, backends = colour_manifest(tile=EXACT), [FakeBackend(colours), FakeBackend(lambda p: 1 - colours(p))]
    result = Segmenter(manifest, backends[0], others=[(manifest, backends[1])]).segment(PHOTO)
    levels = PHOTO.transpose(2, 0, 1)
    mean, spread = expected_of([levels, 255 - levels])
    np.testing.assert_array_equal(result.probability, mean)
    np.testing.assert_array_equal(result.spread, spread)
    one = cv2.imdecode(np.frombuffer(result.encode("spread", classes="vein"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(one, spread[1])
    every = cv2.imdecode(np.frombuffer(result.encode("spread"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(every, spread.reshape(-1, PHOTO.shape[1]))


# Several models


def darker(pixels: Image) -> NDArray[np.float32]:
    return np.asarray(identity(pixels) * 0.5, np.float32)


def test_models_of_one_preparation_are_averaged_at_its_scale() -> None:
    one = make_manifest(name="one", threshold=0.5)
    two = make_manifest(name="two", version="2", threshold=0.3, licence="other")
    backends = FakeBackend(identity), FakeBackend(darker)
    with Segmenter(one, backends[0], others=[(two, backends[1])]) as segmenter:
        result = segmenter.segment(PHOTO)
        maps = [Segmenter(m, b).segment(PHOTO).probability for m, b in zip((one, two), backends, strict=True)]
        mean, spread = expected_of(maps)
        np.testing.assert_array_equal(result.probability, mean)
        np.testing.assert_array_equal(result.spread, spread)
        manifest = segmenter.manifest
        assert (manifest.name, manifest.version, manifest.licence) == ("one-and-two", "1 and 2", "none + other")
        assert manifest.threshold == result.threshold == 0.4
        assert Manifest.from_json(manifest.to_json(), source="test") == manifest
        assert str(result.info).endswith("fake 0, mean of 2 maps")
    assert [backend.closed for backend in backends] == [True, True]


@pytest.mark.parametrize("tta", ["none", "flips"])
def test_models_of_other_scales_are_averaged_at_that_of_the_photograph(tta: Tta) -> None:
    image = np.zeros((200, 260, 3), np.uint8)
    cv2.circle(image, (130, 100), 90, (160, 80, 40), -1)
    image += np.random.default_rng(3).integers(0, 40, image.shape, np.uint8)
    scales: list[Any] = [{"channels": "green", "field_of_view": side} for side in (120, 96)] + [{"channels": "green"}]
    networks = [(make_manifest(preparation=scale), FakeBackend()) for scale in scales]
    maps = [Segmenter(*network).segment(image).probability for network in networks]
    (manifest, backend), *others = networks
    result = Segmenter(manifest, backend, others=others, tta=tta).segment(image)
    mean, spread = expected_of(maps)  # flips change nothing of what the identity says
    np.testing.assert_array_equal(result.probability, mean)
    np.testing.assert_array_equal(result.spread, spread)
    assert result.info.members == len(networks) * (4 if tta == "flips" else 1)
    assert result.scales == Segmenter(manifest, backend).segment(image).scales


def test_what_differs_is_named_and_thresholds_of_classes_are_averaged() -> None:
    one = colour_manifest(classes=["artery", {"name": "vein", "threshold": 0.4}, "disc"], threshold=0.5)
    two = colour_manifest(classes=["artery", {"name": "vein", "threshold": 0.2}, "disc"], threshold=0.7)
    backend = FakeBackend(colours)
    backend.info = replace(backend.info, precision="int8", threads=2)
    segmenter = Segmenter(one, FakeBackend(colours), others=[(two, backend)])
    assert segmenter.manifest.class_thresholds == (0.6, 0.3, 0.6)
    assert (segmenter.info.precision, segmenter.info.threads, segmenter.info.backend) == ("f32 + int8", 2, "fake")
    overlapping, exclusive = colour_manifest(name="a"), colour_manifest(name="b", exclusive=True)
    for other, has in ((make_manifest(name="b"), "b has vessel"), (exclusive, "b has artery, vein, disc, one a pixel")):
        with pytest.raises(OptionError) as caught:
            Segmenter(overlapping, FakeBackend(), others=[(other, FakeBackend())])
        assert str(caught.value) == (
            f"a has the classes artery, vein, disc; {has}. Models that are averaged need the same classes, in the same "
            "order."
        )


def test_load_takes_a_list_and_frees_all_where_it_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[FakeBackend] = []

    def open_fake(path: Path, *_: Any, **__: Any) -> tuple[Manifest, FakeBackend]:
        opened.append(FakeBackend())
        return (colour_manifest() if path.stem == "colour" else make_manifest(name=path.stem)), opened[-1]

    monkeypatch.setattr("vesselrt.runtime.segmenter.open_backend", open_fake)
    files = [tmp_path / f"{name}.onnx" for name in ("a", "b", "colour")]
    for file in files:
        file.write_bytes(b"")
    with load(files[:2]) as segmenter:
        assert (segmenter.manifest.name, segmenter.info.members) == ("a-and-b", 2)
    assert [backend.closed for backend in opened] == [True, True]
    with pytest.raises(OptionError, match=r"^b has the classes vessel; test has artery, vein, disc\."):
        load(files[1:])
    assert [backend.closed for backend in opened] == [True] * 4
    for models, digest in (([], None), (files, "0" * 64)):
        with pytest.raises(OptionError, match=r"^\d models are named\. Expected one, or a list of them"):
            load(models, sha256=digest)


def test_wrapped_and_shared_keep_every_member() -> None:
    backends = [FakeBackend(batch=2), FakeBackend(slanted)]
    backends[0].info = replace(backends[0].info, device="cuda", threads=0)
    segmenter = Segmenter(make_manifest(), backends[0], others=[(make_manifest(), backends[1])], tta="flips")
    expected = segmenter.segment(PHOTO)
    with segmenter.shared() as shared:
        result = shared.segment(PHOTO)
        np.testing.assert_array_equal(result.probability, expected.probability)
        np.testing.assert_array_equal(result.spread, expected.spread)
        assert (result.info.members, result.info.device) == (8, "cuda + cpu")
    assert all(backend.closed for backend in backends)


# How


def test_each_symmetry_is_undone_and_all_are_different() -> None:
    picture = np.arange(2 * 3 * 1, dtype=np.uint8).reshape(2, 3, 1)
    whole, part = Box(0, 0, 2, 3), Box(0, 1, 1, 3)
    seen = set()
    for symmetry in symmetries_of("d4"):
        turned = symmetry.turn(picture)
        assert np.shares_memory(turned, picture), "nothing is copied"
        seen.add((turned.shape, turned.tobytes()))
        np.testing.assert_array_equal(symmetry.turn_back(turned.transpose(2, 0, 1)), picture.transpose(2, 0, 1))
        box = symmetry.turn_box(part, (2, 3))
        np.testing.assert_array_equal(box.cut(turned), symmetry.turn(part.cut(picture)))
        assert symmetry.turn_box(whole, (2, 3)) == Box(0, 0, *turned.shape[:2])
    assert len(seen) == 8
    assert symmetries_of("flips") == symmetries_of("d4")[:4]
    with pytest.raises(OptionError, match=r"^tta is 'flip'. Expected one of: none, flips, d4\.$"):
        Segmenter(make_manifest(), FakeBackend(), tta="flip")  # type: ignore[arg-type]


@pytest.mark.parametrize("band", [3, 2**16])
def test_mean_and_spread_are_exact(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.averaging._BAND_PIXELS", band)
    random = np.random.default_rng(1)
    for count in (2, 3, 7, MOST_MAPS):
        maps = [random.integers(0, 256, (2, 5, 4), np.uint8) for _ in range(count)]
        found = average_maps(iter(maps), count)
        mean, spread = expected_of(maps)
        np.testing.assert_array_equal(found.mean, mean)
        np.testing.assert_array_equal(found.spread, spread)
    ends = [np.full((1, 1, 1), level, np.uint8) for level in (0, 255)] * (MOST_MAPS // 2)
    found = average_maps(iter(ends), MOST_MAPS)
    assert found.spread is not None
    assert (found.mean.item(), found.spread.item()) == (128, 255)  # 127.5, and the largest spread that there is
    networks = [(make_manifest(), FakeBackend())] * (MOST_MAPS // 8)
    with pytest.raises(OptionError, match=rf"^264 maps are to be averaged. Expected {MOST_MAPS} at most"):
        Segmenter(make_manifest(), FakeBackend(), others=networks, tta="d4")


def test_memory_does_not_grow_with_the_number_of_members() -> None:
    image, peaks = np.full((1000, 1200, 3), 90, np.uint8), []
    for tta in ("flips", "d4"):
        segmenter = Segmenter(make_manifest(), FakeBackend(), tta=tta)
        tracemalloc.start()
        try:
            segmenter.segment(image)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] <= peaks[0] + 2**19  # less than half a map
    assert peaks[1] <= 14 * image[:, :, 0].size  # of sums 8, and of maps and pixels a few


def test_a_token_ends_the_call_between_two_members() -> None:
    token, calls = CancelToken(), []

    def network(pixels: Image) -> Any:
        calls.append(pixels.shape)
        token.cancel()
        return identity(pixels)

    with pytest.raises(CallCancelledError):
        Segmenter(make_manifest(), FakeBackend(network), tta="d4").segment(PHOTO[:60, :60], cancel=token)
    assert len(calls) == 1


def test_one_member_has_no_spread() -> None:
    result = Segmenter(make_manifest(), FakeBackend()).segment(PHOTO)
    assert result.spread is None
    with pytest.raises(OptionError) as caught:
        result.encode("spread")
    assert str(caught.value) == (
        'this model makes one map of a photograph, and one has no spread. Have several made: with tta="flips" (the '
        "option --tta flips, the setting VESSELRT_TTA=flips), or of several models."
    )
