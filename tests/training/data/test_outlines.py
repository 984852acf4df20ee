"""Masks written anew as GeoJSON: the same photographs, the same truth, the same splits; or no folder at all."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt import cli
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.data.outlines import list_splits, write_geojson_data_set
from vesselrt.training.data.splits import Split

NAMES = ("1", "2", "3", "4", "eye [left]", "6*")


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


def masks(root: Path) -> Path:
    """A data set of the kind `folder`; every fifth photograph is for validation."""
    random = np.random.default_rng(0)
    for name in NAMES:
        save(root / "images" / f"{name}.png", random.integers(0, 256, (30, 40, 3)))
        save(root / "masks" / f"{name}.png", 255 * (random.random((30, 40)) < 0.3))
    return root


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_photographs_truth_and_splits_are_the_same(tmp_path: Path) -> None:
    root, out, seen = masks(tmp_path / "masks"), tmp_path / "new" / "outlines", []
    write_geojson_data_set(list_splits("folder", root), out, advance=lambda: seen.append(1))
    assert len(seen) == len(NAMES)
    assert tree(out) == {
        "dataset.json",
        *(f"images/{name}.png" for name in NAMES),
        *(f"annotations/{name}.geojson" for name in NAMES),
    }
    assert [p.name for p in out.parent.iterdir()] == ["outlines"]
    assert resolve_kind("auto", out) == "geojson"
    splits: dict[Split, tuple[str, ...]] = {"train": ("1", "2", "3", "4", "eye [left]"), "validation": ("6*",)}
    for split, names in splits.items():
        before, after = list_samples("folder", root, split), list_samples("geojson", out, split)
        assert {s.name for s in before} == {s.name for s in after} == set(names)
        for old, new in zip(before, after, strict=True):
            assert old.image.read_bytes() == new.image.read_bytes()
            np.testing.assert_array_equal(old.read_truth(), new.read_truth())


def test_chase_db1_comes_back(data_root: Path, tmp_path: Path) -> None:
    root = data_root / "CHASE_DB1"
    splits = list_splits("chase_db1", root)
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 16, "validation": 4, "test": 8}
    write_geojson_data_set({"validation": splits["validation"]}, tmp_path / "out")
    again = list_samples("geojson", tmp_path / "out", "validation")
    assert [s.name for s in again] == [s.name for s in splits["validation"]]
    for old, new in zip(splits["validation"], again, strict=True):
        truth, outlined = old.read_truth(), new.read_truth()
        iou = (truth & outlined).sum() / (truth | outlined).sum()
        assert iou >= 0.99
        np.testing.assert_array_equal(truth, outlined)


def test_where_nothing_is_vessel_the_settings_say_that_this_is_meant(tmp_path: Path) -> None:
    root = masks(tmp_path / "masks")
    save(root / "masks" / "2.png", np.zeros((30, 40)))
    write_geojson_data_set(list_splits("folder", root), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["unannotated"] == "empty"
    (bare,) = (s for s in list_samples("geojson", tmp_path / "out", "train") if s.name == "2")
    assert not bare.read_truth().any()


def test_simplified_more_it_may_lose_pixels(tmp_path: Path) -> None:
    root = masks(tmp_path / "masks")
    splits = list_splits("folder", root)
    write_geojson_data_set(splits, tmp_path / "out", simplify=2)
    lost = [
        (old.read_truth() != new.read_truth()).any()
        for old, new in zip(splits["train"], list_samples("geojson", tmp_path / "out", "train"), strict=True)
    ]
    assert all(lost)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    splits = list_splits("folder", masks(tmp_path / "masks"))
    out = tmp_path / "out"
    save(out / "mine.png", np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"out: it is there already, and nothing is overwritten"):
        write_geojson_data_set(splits, out)
    assert tree(out) == {"mine.png"}


@pytest.mark.parametrize("simplify", [-1.0, float("nan")])
def test_a_distance_that_is_none_is_refused(simplify: float, tmp_path: Path) -> None:
    splits = list_splits("folder", masks(tmp_path / "masks"))
    with pytest.raises(OptionError, match="Expected a distance in pixels"):
        write_geojson_data_set(splits, tmp_path / "out", simplify)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((30, 41), r"6\*.png: 40 × 30 pixels, but its truth .*6\*\.png has 41 × 30\."), (None, "not a readable mask")],
)
def test_an_error_on_the_way_leaves_nothing(shape: tuple[int, int] | None, message: str, tmp_path: Path) -> None:
    root = masks(tmp_path / "masks")
    last = root / "masks" / "6*.png"
    if shape is None:
        last.write_bytes(b"no picture")
    else:
        save(last, np.zeros(shape))
    with pytest.raises(DataError, match=message):
        write_geojson_data_set(list_splits("folder", root), tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_too_small_for_validation_is_written_all_the_same(tmp_path: Path) -> None:
    root = masks(tmp_path / "masks")
    for name in NAMES[2:]:
        (root / "images" / f"{name}.png").unlink()
    splits = list_splits("folder", root)
    assert {split: [s.name for s in samples] for split, samples in splits.items()} == {"train": ["1", "2"]}
    write_geojson_data_set(splits, tmp_path / "out")
    assert [s.name for s in list_samples("geojson", tmp_path / "out", "train")] == ["1", "2"]


def test_annotations_are_outlines_already(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its annotations are GeoJSON already. Expected a data set of masks"):
        list_splits("geojson", tmp_path)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    masks(tmp_path / "masks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vesselrt", "outline", "masks", "out"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert capsys.readouterr().out == "out: train 5, validation 1\n"
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert "error: out: it is there already" in capsys.readouterr().err
