"""The built-in model on real test photographs, through the runtime, on the shipped file."""

from pathlib import Path

import pytest

import vesselrt
from vesselrt.training.data.finding import Kind, list_samples
from vesselrt.training.data.splits import Split
from vesselrt.training.evaluation.evaluate import evaluate_model, training_overlap
from vesselrt.training.evaluation.result import Evaluation


def measure(data_root: Path, kind: Kind, folder: str) -> Evaluation:
    with vesselrt.load(precision="f32") as segmenter:  # as it was recorded
        return evaluate_model(segmenter, list_samples(kind, data_root / folder, "test"), name=folder, split="test")


def as_recorded(result: Evaluation, name: str) -> bool:
    """Whether the figures are those in the model file, which may have been written when there were fewer."""
    recorded = vesselrt.models()["fundus"].provenance.metrics[name]
    found = {figure: result.figures()[figure] for figure in recorded}
    return found == pytest.approx(recorded, abs=1e-3)  # another processor rounds differently


def test_chase_db1_is_above_the_second_observer_and_every_peer(data_root: Path) -> None:
    result = measure(data_root, "chase_db1", "CHASE_DB1")
    assert len(result.images) == 8
    assert round(result.pooled.f1, 3) >= 0.814  # another processor rounds the fourth digit otherwise
    assert result.pooled.thin_recall is not None
    assert result.pooled.thin_recall >= 0.61
    assert result.second_observer is not None
    assert result.pooled.f1 > result.second_observer.f1
    assert as_recorded(result, "CHASE_DB1 test")


@pytest.mark.slow
def test_hrf_is_above_every_peer(data_root: Path) -> None:
    result = measure(data_root, "hrf", "HRF")
    assert len(result.images) == 30
    assert round(result.pooled.f1, 3) >= 0.816
    assert as_recorded(result, "HRF test")


def test_the_model_file_knows_what_it_was_trained_on(data_root: Path) -> None:
    manifest = vesselrt.models()["fundus"]
    sets: list[tuple[Kind, str, int]] = [("chase_db1", "CHASE_DB1", 20), ("hrf", "HRF", 15)]
    splits: list[Split] = ["train", "validation", "test"]
    for kind, folder, count in sets:
        train, validation, test = (list_samples(kind, data_root / folder, split) for split in splits)
        assert len(training_overlap(manifest, [*train, *validation])) == count
        assert training_overlap(manifest, test) == []
