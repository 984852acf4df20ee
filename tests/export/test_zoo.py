"""Networks of other people go through every stage, and docs/tested-networks.md says what became of them."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import needs_tensorrt
from zoo.networks import NETWORKS, ZooNetwork
from zoo.stages import NEEDS, STAGES, Row, run_network
from zoo.table import BEGIN, END, passed, table_from_rows

from vesselrt.runtime.errors import ExportError

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS: list[Row] = json.loads((DOCS / "networks.json").read_text("utf-8"))["networks"]
BY_TITLE = {network.title: network for network in NETWORKS}
THROUGH = [(row, BY_TITLE[f"{row['library']} {row['network']}"]) for row in ROWS]
QUICK = "retina W-Net"


def test_the_page_holds_what_was_measured() -> None:
    assert [network for network in NETWORKS if network in [n for _, n in THROUGH]] == [n for _, n in THROUGH]
    page = (DOCS / "tested-networks.md").read_text("utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table_from_rows(ROWS).strip()


def test_the_networks_are_many_and_of_every_kind() -> None:
    of = [network.library for network in NETWORKS]
    assert len(NETWORKS) >= 45
    assert set(of) == {"retina", "MONAI", "nnU-Net", "torchvision", "transformers", "smp"}
    assert of.count("retina") == 6


@pytest.mark.parametrize("stage", STAGES)
def test_nearly_all_pass_each_stage_that_the_library_below_can_do(stage: str) -> None:
    able = [row for row, network in THROUGH if stage not in limits_of(network)]
    assert sum(passed(row, stage) for row in able) >= 0.95 * len(able)


def limits_of(network: ZooNetwork) -> dict[str, str]:
    """With those of the stages whose file is then missing."""
    found = dict(network.limits)
    for stage, needed in NEEDS.items():
        if needed in found:
            found[stage] = found[needed]
    return found


@pytest.mark.parametrize(("row", "network"), THROUGH, ids=[n.title for _, n in THROUGH])
def test_what_is_refused_names_whose_limit_it_is(row: Row, network: ZooNetwork) -> None:
    refused = {stage: row[stage]["refused"] for stage in STAGES if "refused" in row.get(stage, {})}
    assert refused.keys() == network.limits.keys()
    for stage, sentence in refused.items():
        assert network.limits[stage] in sentence
    assert not any("failed" in row.get(stage, {}) for stage in STAGES)


@needs_tensorrt
@pytest.mark.parametrize(
    "network",
    [pytest.param(n, id=n.title, marks=() if n.title == QUICK else pytest.mark.slow) for n in NETWORKS],
)
def test_a_network(network: ZooNetwork, tmp_path: Path, fundus_photo: Callable[[int, int, int], Any]) -> None:
    library = network.factory.partition(":")[0].partition(".")[0]
    library = "transformers" if network.library == "transformers" else library
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    row = run_network(network, fundus_photo(256, 256, 0)[0], tmp_path)
    assert {stage: row[stage] for stage in STAGES if stage in row and not passed(row, stage)}.keys() == (
        network.limits.keys()
    )


def test_a_stage_that_fails_is_told_and_the_next_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fundus_photo: Callable[[int, int, int], Any]
) -> None:
    def refuse(*_: object) -> None:
        raise ExportError(f"{tmp_path}/f32.onnx: no.")

    monkeypatch.setattr("zoo.stages.export_model", refuse)
    row = run_network(NETWORKS[0], fundus_photo(256, 256, 0)[0], tmp_path)
    assert {stage: row[stage].get("refused") for stage in STAGES if stage in row} == {"f32": "f32.onnx: no."}
    assert "| refused (1) | no f32 file | no f32 file | no FP16 file | no f32 file |" in table_from_rows([row])
