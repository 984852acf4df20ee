"""Masks as files: what is read, and what is refused because it could mean something else."""

import gzip
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError
from vesselrt.training.data.masks import check_vessel_share, read_mask

RED, GREEN, BLUE, WHITE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (255, 255, 0)


def tree(side: int = 60) -> Mask:
    """Vessels of 1 to 8 pixels: a third of a square."""
    picture = np.zeros((side, side), np.uint8)
    for place, width in ((10, 7), (25, 4), (40, 2), (50, 1)):
        cv2.line(picture, (place, 0), (place + 5, side), 255, width)
    return picture > 0


VESSEL = tree()


def saved(folder: Path, pixels: NDArray[Any], suffix: str = ".png", **options: Any) -> Path:
    path = folder / f"mask{suffix}"
    Pillow.fromarray(pixels).save(path, **options)
    return path


def painted(*colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The vessels of `tree`, from top to bottom in these colours."""
    picture = np.zeros((*VESSEL.shape, 3), np.uint8)
    bands = np.arange(VESSEL.shape[0]) * len(colours) // VESSEL.shape[0]
    for band, colour in enumerate(colours):
        picture[VESSEL & (bands == band)[:, None]] = colour
    return picture


def refused(path: Path, vessels: Any = None) -> str:
    with pytest.raises(DataError) as caught:
        read_mask(path, vessels)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 400
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_masks_of_every_mode(mode: str, tmp_path: Path) -> None:
    grey = Pillow.fromarray(VESSEL.astype(np.uint8) * 255)
    if mode == "I;16":
        path = saved(tmp_path, VESSEL.astype(np.uint16) * 65535)
    else:
        grey.convert(mode).save(path := tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(path), VESSEL)


def test_eight_bits_in_cells_of_sixteen(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path, VESSEL.astype(np.uint16) * 255)), VESSEL)


def test_the_palette_of_drives_second_observers(tmp_path: Path) -> None:
    file = Pillow.frombytes("P", VESSEL.shape[::-1], VESSEL.astype(np.uint8).tobytes())
    file.putpalette([3] * 3 + [253] * 3)
    file.save(tmp_path / "mask.gif")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.gif"), VESSEL)


def test_a_packed_ppm_as_stare_has_it(tmp_path: Path) -> None:
    content = io.BytesIO()
    Pillow.fromarray(VESSEL.astype(np.uint8) * 255).save(content, "PPM")
    path = tmp_path / "im0001.ah.ppm.gz"
    path.write_bytes(gzip.compress(content.getvalue()))
    np.testing.assert_array_equal(read_mask(path), VESSEL)


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0])
@pytest.mark.parametrize("method", [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_grey_at_edges_is_decided_at_half(factor: float, method: int, tmp_path: Path) -> None:
    levels = cv2.resize(tree(240).astype(np.uint8) * 255, None, fx=factor, fy=factor, interpolation=method)
    np.testing.assert_array_equal(read_mask(saved(tmp_path, levels)), levels > 127)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_jpeg_is_a_mask_nearly_as_it_was(quality: int, tmp_path: Path) -> None:
    mask = read_mask(saved(tmp_path, np.dstack([VESSEL.astype(np.uint8) * 255] * 3), ".jpg", quality=quality))
    assert (mask != VESSEL).mean() < 0.02


def test_labels_are_refused(tmp_path: Path) -> None:
    message = refused(saved(tmp_path, VESSEL.astype(np.uint8)))
    assert message.startswith("its brightest value is 1. Expected a mask of 0 and 255. Say in dataset.json which")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", ("#010101",)), VESSEL)
    assert not read_mask(saved(tmp_path, np.zeros((9, 9), np.uint8))).any()


@pytest.mark.parametrize(("artery", "vein"), [(100, 200), (128, 255)])
def test_grey_classes_are_refused_unless_the_data_set_says_which(artery: int, vein: int, tmp_path: Path) -> None:
    bands = np.where(np.arange(60) < 30, artery, vein).astype(np.uint8)[:, None]
    path = saved(tmp_path, VESSEL * bands)
    message = refused(path)
    assert "a mask with grey areas, mostly " in message
    assert f"#{artery:02x}{artery:02x}{artery:02x}" in message
    assert '"vessel_colours"' in message
    np.testing.assert_array_equal(
        read_mask(path, (f"#{artery:02x}" + f"{artery:02x}" * 2,)), VESSEL & (bands == artery)
    )


def test_a_probability_map_is_no_mask(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(VESSEL.astype(np.float32), (0, 0), 4)
    assert "probabilities" in refused(saved(tmp_path, (soft / soft.max() * 255).astype(np.uint8)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_colours_are_refused_unless_the_data_set_says_which(suffix: str, tmp_path: Path) -> None:
    message = refused(saved(tmp_path, painted(RED, GREEN, BLUE, WHITE), suffix))
    assert message.startswith("a mask in colours, mostly #")
    assert "Expected white vessels on black." in message


def test_colours_that_the_data_set_names_are_vessel_and_others_are_not(tmp_path: Path) -> None:
    picture = painted(RED, BLUE, WHITE)
    picture[:5, 40:] = YELLOW  # the disc, say
    path = saved(tmp_path, picture)
    rest = (picture != YELLOW).any(axis=2)
    np.testing.assert_array_equal(read_mask(path, ("#ff0000", "#0000ff", "#ffffff")), VESSEL & rest)
    np.testing.assert_array_equal(read_mask(path, ("#ff0000",)), (picture == RED).all(axis=2))
    assert "it has none of the vessel_colours #00ff00, but mostly #" in refused(path, ("#00ff00",))
    assert "different colours, so it was smoothed or saved as JPEG" in refused(
        saved(tmp_path, picture, ".jpg"), ("#ff0000",)
    )


def test_all_colours_of_an_artery_vein_mask_are_vessel(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path, painted(RED, GREEN, BLUE, WHITE)), "any colour"), VESSEL)


@pytest.mark.parametrize("ground", [0, 255])
def test_alpha_that_says_something_else_is_refused(ground: int, tmp_path: Path) -> None:
    """Vessels in the alpha of black were no vessels, those of white were everything."""
    pixels = np.dstack([np.full((*VESSEL.shape, 3), ground), VESSEL * 255]).astype(np.uint8)
    message = refused(saved(tmp_path, pixels))
    assert message.startswith(
        f"its alpha varies, {VESSEL.mean():.1%} is opaque, and says something else than its colours"
    )


def test_alpha_that_says_the_same_or_nothing(tmp_path: Path) -> None:
    white = VESSEL[:, :, None] * np.full(3, 255)
    for alpha in (VESSEL * 255, np.full(VESSEL.shape, 255), np.zeros(VESSEL.shape)):
        pixels = np.dstack([white, alpha]).astype(np.uint8)
        np.testing.assert_array_equal(read_mask(saved(tmp_path, pixels)), VESSEL)


def test_pages_turned_masks_and_real_numbers_are_refused(tmp_path: Path) -> None:
    grey = Pillow.fromarray(VESSEL.astype(np.uint8) * 255)
    grey.save(tmp_path / "two.tif", save_all=True, append_images=[grey])
    assert refused(tmp_path / "two.tif").startswith("a mask of 2 pages. Expected one")
    exif = Pillow.Exif()
    exif[0x0112] = 3
    grey.save(tmp_path / "turned.png", exif=exif)
    assert refused(tmp_path / "turned.png").startswith("a mask that is stored turned (EXIF orientation 3)")
    assert "floating-point" in refused(saved(tmp_path, VESSEL.astype(np.float32), ".tif"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = saved(tmp_path, VESSEL.astype(np.uint8) * 255).read_bytes()
    for content in (b"no image", b"", whole[:100]):
        (tmp_path / "broken.png").write_bytes(content)
        assert refused(tmp_path / "broken.png").startswith("not a readable mask (")
    (tmp_path / "broken.gz").write_bytes(b"not packed")
    assert refused(tmp_path / "broken.gz").startswith("not a readable mask (")


def test_a_share_that_no_vessels_have(tmp_path: Path) -> None:
    disc = np.hypot(*np.mgrid[-30:30, -30:30]) < 28
    path = tmp_path / "mask.png"
    check_vessel_share(path, VESSEL & disc, disc)
    with pytest.raises(
        DataError, match=r"mask\.png: 6\d% of the field of view is vessel\. Expected at most 40%\. It looks inv"
    ):
        check_vessel_share(path, ~VESSEL, disc)
    with pytest.raises(DataError, match=r"100% of the field of view is vessel\. .* Is it the mask of the field"):
        check_vessel_share(path, disc, disc)
    with pytest.raises(DataError, match=r'set "most_vessel" in dataset\.json'):
        check_vessel_share(path, disc, np.ones_like(disc))
    check_vessel_share(path, disc, disc, most=1.0)


@pytest.mark.parametrize("name", ["CHASE_DB1/Image_11L_1stHO.png", "HRF/manual1/06_h.tif"])
def test_real_masks_are_read_resampled_too_and_their_classes_are_refused(
    name: str, data_root: Path, tmp_path: Path
) -> None:
    mask = read_mask(data_root / name)
    levels = mask.astype(np.uint8) * 255
    for factor in (0.25, 0.5, 0.8):
        smaller = cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(read_mask(saved(tmp_path, smaller)), smaller > 127)
    assert (read_mask(saved(tmp_path, levels, ".jpg", quality=50)) != mask).mean() < 0.01
    thin = cv2.morphologyEx(levels, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) == 0
    for classes in (np.where(thin, 100, 200), np.where(thin, 128, 255)):
        assert "grey areas" in refused(saved(tmp_path, (classes * mask).astype(np.uint8)))
