"""No file costs more than its pixels are worth."""

import sys

import pytest

from vesselrt.benchmarks.corpus.bomb import MAX_SECONDS, Bomb
from vesselrt.benchmarks.corpus.bombs import bombs
from vesselrt.benchmarks.corpus.cost import BombCost, measured_costs

BOMBS = [*bombs()]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")


@pytest.fixture(scope="module")
def costs() -> dict[tuple[str, str], BombCost]:
    return {(cost.kind, cost.name): cost for cost in measured_costs()}


@pytest.fixture(scope="module")
def heavy_costs() -> dict[tuple[str, str], BombCost]:
    return {(cost.kind, cost.name): cost for cost in measured_costs(heavy=True)}


def name_of(bomb: Bomb) -> str:
    return f"{bomb.kind}: {bomb.name}"


@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if not bomb.heavy], ids=name_of)
def test_a_bomb_costs_little(bomb: Bomb, costs: dict[tuple[str, str], BombCost]) -> None:
    check(bomb, costs[bomb.kind, bomb.name])


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb.heavy], ids=name_of)
def test_a_heavy_bomb_costs_little(bomb: Bomb, heavy_costs: dict[tuple[str, str], BombCost]) -> None:
    check(bomb, heavy_costs[bomb.kind, bomb.name])


def check(bomb: Bomb, cost: BombCost) -> None:
    assert cost.answer in ({"read", "refused"} if bomb.answer == "either" else {bomb.answer}), cost.message
    assert cost.seconds <= MAX_SECONDS
    assert cost.memory <= bomb.memory


def test_names_are_unique() -> None:
    assert len({(bomb.kind, bomb.name) for bomb in BOMBS}) == len(BOMBS)
