"""What Ray costs on one machine; the cluster is a Segmenter here, and Ray's own tests start a real one."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vesselrt.benchmarks import clusters
from vesselrt.runtime.cluster import ModelChoice
from vesselrt.runtime.segmentation import Segmentation


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "eye.png"
    random = np.random.default_rng(0)
    disc = cv2.circle(np.zeros((200, 220, 3), np.uint8), (110, 100), 95, (40, 90, 180), -1)
    cv2.imwrite(str(path), np.where(disc > 0, disc + random.integers(0, 20, disc.shape, np.uint8), disc))
    return str(path)


def test_both_ways_are_measured_in_turns(monkeypatch: pytest.MonkeyPatch, photo: str) -> None:
    asked: list[str] = []

    def cluster(address: str, choice: ModelChoice) -> Any:
        asked.append(address)
        return choice.load()

    monkeypatch.setattr(clusters, "Cluster", cluster)
    ran = CliRunner().invoke(clusters.app, [photo, "--turns", "2", "--device", "cpu"])
    assert ran.exit_code == 0, ran.output
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows[2:]] == ["alone", "--ray local"]
    assert rows[2][-1] == "1.00"
    assert all(float(row[-2]) > 0 for row in rows[2:])
    assert asked == ["local", "local"]


def test_other_masks_are_no_figure(monkeypatch: pytest.MonkeyPatch, photo: str) -> None:
    monkeypatch.setattr(clusters, "Cluster", lambda _, choice: choice.load())
    made: list[bytes] = []

    def mask(_: Path, result: Segmentation) -> bytes:
        made.append(result.encode("mask"))
        return made[-1] + bytes(len(made))

    monkeypatch.setattr(clusters, "_mask_of", mask)
    ran = CliRunner().invoke(clusters.app, [photo, "--turns", "1", "--device", "cpu"])
    assert ran.exit_code != 0
    assert "other masks" in str(ran.exception)
