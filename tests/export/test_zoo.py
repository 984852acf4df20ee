"""Networks of other people go through every stage, and docs/tested-networks.md says what became of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import needs_tensorrt
from zoo.__main__ import PAGE, RESULTS
from zoo.networks import NETWORKS, SAMPLE, ZooNetwork
from zoo.stages import NEEDS, STAGES, Row, passed, run_network, unexpected
from zoo.table import BEGIN, END, table_from_report

from vesselrt.export.head import Head
from vesselrt.runtime.errors import ExportError

REPORT: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
BY_TITLE = {network.title: network for network in NETWORKS}
THROUGH: list[tuple[Row, ZooNetwork]] = [
    (row, BY_TITLE[f"{row['library']} {row['network']}"]) for row in REPORT["networks"]
]


def test_the_page_holds_what_was_measured() -> None:
    measured = [network for _, network in THROUGH]
    assert [network for network in NETWORKS if network in measured] == measured
    page = PAGE.read_text("utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table_from_report(REPORT).strip()


def test_the_networks_are_many_and_of_every_kind() -> None:
    of = [network.library for network in NETWORKS]
    assert len(BY_TITLE) == len(NETWORKS) >= 45
    assert set(of) == {"retina", "MONAI", "nnU-Net", "torchvision", "transformers", "smp"}
    assert of.count("retina") == 6
    assert {BY_TITLE[title].library for title in SAMPLE} == set(of)


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
    assert unexpected(row, network) == []


@needs_tensorrt
@pytest.mark.slow
@pytest.mark.parametrize("network", [pytest.param(BY_TITLE[title], id=title) for title in sorted(SAMPLE)])
def test_a_network(network: ZooNetwork, tmp_path: Path, fundus_photo: Callable[[int, int, int], Any]) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed")
    try:
        network.build()
    except ImportError as error:
        pytest.skip(f"a package of this network is not installed: {error}")
    assert unexpected(run_network(network, fundus_photo(256, 256, 0)[0], tmp_path), network) == []


def test_a_stage_that_fails_is_told_and_the_next_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fundus_photo: Callable[[int, int, int], Any]
) -> None:
    def refuse(*_: object) -> None:
        raise ExportError(f"{tmp_path}/f32.onnx: no.")

    monkeypatch.setattr("zoo.stages.trained", lambda network, *_: (network.build(), Head()))
    monkeypatch.setattr("zoo.stages.export_model", refuse)
    arguments = {"in_channels": 3, "out_channels": 1, "kernel_size": 3, "padding": 1}
    network = ZooNetwork("torch", "one convolution", "torch.nn:Conv2d", arguments)
    row = run_network(network, fundus_photo(256, 256, 0)[0], tmp_path)
    assert {stage: row[stage].get("refused") for stage in STAGES if stage in row} == {"f32": "f32.onnx: no."}
    assert unexpected(row, network) == ["torch one convolution, f32: f32.onnx: no."]
    table = table_from_report({**REPORT, "networks": [row]})
    assert "| refused (1) | no f32 file | no f32 file | no FP16 file | no f32 file |" in table


def test_a_limit_is_expected_by_its_words_alone() -> None:
    network = ZooNetwork("a", "b", "c:d", limits={"int8": "OpenVINO"})
    row: Row = {"f32": {"difference": 0.0}, "int8": {"refused": "as OpenVINO computes it"}}
    assert unexpected(row, network) == []
    assert unexpected({**row, "int8": {"refused": "no."}}, network) == ["a b, int8: no."]
    assert unexpected({**row, "int8": {"flipped": 0.0}}, network) == ["a b, int8: passes, and a limit is listed"]
