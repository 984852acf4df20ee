"""What crops are drawn from, and what is never read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_training import FINAL, STEADY, DrawPhoto, quiet, recipe_of, write_photo

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import list_samples
from vesselrt.training.data.samples import Sample
from vesselrt.training.fit import recipe
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.fit.sampling import Crops, DrawCrop, read_photographs, read_sources

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def test_a_crop_is_its_number(data: Path) -> None:
    checked = recipe_of(cameras={"simulated_share": 0.5})
    (stage,) = checked.stages
    sources = read_sources(checked, stage, data)
    late = Crops(stage, sources, start=6)
    early = Crops(stage, sources, start=0)
    assert (len(early), len(late)) == (8, 2)
    for a, b in zip((early[6], early[7]), (late[0], late[1]), strict=True):
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])
    assert (early[0][0].shape, early[0][1].shape) == ((1, 32, 32), (1, 32, 32))
    assert len({early[i][0].tobytes() for i in range(8)}) == 8


def test_a_share_of_the_crops_has_the_second_observers_truth(tmp_path: Path, fundus_photo: DrawPhoto) -> None:
    pixels, truth = fundus_photo(96, 96, 1)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth), ("_2ndHO.png", np.zeros_like(truth))):
        cv2.imwrite(str(tmp_path / f"Image_01L{suffix}"), picture.astype(np.uint8) * (1 if suffix == ".jpg" else 255))
    checked = recipe_of(cameras=STEADY, schedule={"crop": 96})

    def empty(share: float) -> float:
        stage = replace(checked.stages[0], second_observer=share)
        (draw,) = read_photographs(list_samples("chase_db1", tmp_path, "train"), checked, stage)
        return float(np.mean([not draw(np.random.default_rng(i))[1].any() for i in range(60)]))

    assert empty(0.0) == 0
    assert empty(1.0) == 1
    assert 0.1 < empty(0.3) < 0.5


def test_a_second_observers_mask_of_another_size_is_named(tmp_path: Path, fundus_photo: DrawPhoto) -> None:
    pixels, truth = fundus_photo(96, 96, 1)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth), ("_2ndHO.png", truth[:80])):
        cv2.imwrite(str(tmp_path / f"Image_01L{suffix}"), picture.astype(np.uint8) * (1 if suffix == ".jpg" else 255))
    checked = recipe_of()
    stage = replace(checked.stages[0], second_observer=0.3)
    with pytest.raises(DataError, match=r"_01L\.jpg: 96 × 96 pixels, but its truth .*_2ndHO\.png has 96 × 80\."):
        read_photographs(list_samples("chase_db1", tmp_path, "train"), checked, stage)


def test_data_sets_take_turns_whatever_their_size() -> None:
    def flat(level: int) -> DrawCrop:
        return lambda random: (np.full((4, 4, 1), level, np.uint8), np.zeros((4, 4), np.float32))

    crops = Crops(recipe_of().stages[0], [[flat(200)], [flat(40), flat(60), flat(80)]], start=0)
    brightest = [int(crops[i][0].max()) for i in range(8)]
    assert brightest[::2] == [200] * 4
    assert set(brightest[1::2]) <= {40, 60, 80}


@pytest.mark.parametrize("final", [[], [{**FINAL, "steps": 1}]])
def test_the_test_split_is_never_read_and_validation_is_apart(
    tmp_path: Path, fundus_photo: DrawPhoto, monkeypatch: pytest.MonkeyPatch, final: list[dict[str, Any]]
) -> None:
    root = tmp_path / "CHASE"
    for subject in (1, 2, 9, 10):
        name = f"Image_{subject:02}L"
        write_photo(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, subject))
    for subject in (11, 14):  # the test split: whoever reads it fails
        for name in (f"Image_{subject:02}L.jpg", f"Image_{subject:02}L_1stHO.png"):
            (root / name).write_bytes(b"the test split")
    splits: list[str] = []
    home: dict[str, str] = {}  # photograph → its split
    read: list[tuple[str, str]] = []

    def noted(kind: Any, folder: Path, split: Any, rules: Any) -> list[Sample]:
        splits.append(split)
        found = list_samples(kind, folder, split, rules)
        home.update(dict.fromkeys((sample.name for sample in found), split))
        return found

    def opened(how: Callable[[Sample], Any]) -> Callable[[Sample], Any]:
        def reads(sample: Sample) -> Any:
            read.append((home[sample.name], sample.name))
            return how(sample)

        return reads

    monkeypatch.setattr(recipe, "list_samples", noted)
    monkeypatch.setattr(Sample, "read_image", opened(Sample.read_image))
    monkeypatch.setattr(Sample, "read_truth", opened(Sample.read_truth))
    checked = recipe_of(
        data=[{"kind": "chase_db1", "path": "CHASE", "name": "CHASE", "terms": "none"}],
        schedule={"steps": 1},
        final=final,
    )
    train_recipe(checked, tmp_path, tmp_path / "run", quiet)
    assert splits == ["train", "validation"] * (1 + len(final))
    assert set(read) == {
        ("train", "Image_01L"),
        ("train", "Image_02L"),
        ("validation", "Image_09L"),
        ("validation", "Image_10L"),
    }
