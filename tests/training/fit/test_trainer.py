"""Single steps: loss, arithmetic, and what a checkpoint holds."""

from pathlib import Path

import pytest
import torch
from tiny_training import quiet, recipe_of

from vesselrt.training.fit import trainer, validation
from vesselrt.training.fit.loss import find_thin_part
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.fit.trainer import Trainer, choose_arithmetic

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def test_half_precision_scales_its_gradients(data: Path, tmp_path: Path) -> None:
    train_recipe(recipe_of(precision="fp16"), data, tmp_path, quiet)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["scaler"]["scale"] > 1
    assert all(torch.isfinite(v).all() for v in state["network"].values())


@pytest.mark.parametrize(("native", "gains", "expected"), [(1, 1, "bf16"), (0, 1, "f32"), (1, 0, "f32")])
def test_auto_takes_bf16_where_the_processor_has_instructions_and_gains_by_them(
    monkeypatch: pytest.MonkeyPatch, native: int, gains: int, expected: str
) -> None:
    monkeypatch.setattr(trainer, "gains_by_bf16", lambda: gains)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_arithmetic("auto", torch.device("cpu")) == expected
    assert choose_arithmetic("fp16", torch.device("cpu")) == "fp16"


def test_a_checkpoint_holds_the_generators_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(recipe_of(), recipe_of().stages[0], tmp_path / "cpu.pt", torch.device("cpu"))
    trainer.save()
    trainer.device, trainer.checkpoint = torch.device("cuda"), tmp_path / "gpu.pt"
    states, found = [torch.arange(4, dtype=torch.uint8), torch.ones(4, dtype=torch.uint8)], []
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, number: found.append((state, number)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    trainer.save()
    trainer.restore()
    ((state, number),) = found
    assert (state.tolist(), number) == ([0, 1, 2, 3], 0)
    older = torch.load(tmp_path / "cpu.pt", weights_only=True)
    del older["random_cuda"]
    torch.save(older, tmp_path / "older.pt")
    for name in ("cpu.pt", "older.pt"):
        trainer.checkpoint = tmp_path / name
        trainer.restore()
    assert len(found) == 1


def test_thin_vessels_are_what_no_square_of_five_pixels_fits_into() -> None:
    truth = torch.zeros(1, 1, 40, 60)
    for width, top in ((1, 4), (4, 10), (5, 20), (8, 30)):
        truth[..., top : top + width, 3:57] = 1
    thin = find_thin_part(truth)
    assert thin.sum(dim=3).flatten().tolist() == [54 if row in (4, 10, 11, 12, 13) else 0 for row in range(40)]


def test_the_weight_of_thin_vessels_adds_their_cross_entropy(tmp_path: Path) -> None:
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 5:7, 4:28] = 1  # thin: 48 of 1024 pixels
    pixels = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    losses = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        checked = recipe_of(loss={"thin": weight})
        trainer = Trainer(checked, checked.stages[0], tmp_path / "last.pt", torch.device("cpu"))
        logits = trainer.network.train()(validation.normalise_pixels(pixels, trainer.recipe))
        expected = weight * float(torch.log1p(torch.exp(-logits))[truth == 1].sum().detach()) / 1024
        losses.append(trainer.update(pixels, truth) - expected)
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
