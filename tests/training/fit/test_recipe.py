"""What a recipe may say, and what is said about one that is wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_training import FIELDS, recipe_of

from vesselrt.runtime.errors import DataError
from vesselrt.training.fit import recipe
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.stages import equivalent_steps


@pytest.mark.parametrize("path", sorted(recipe.BUILT_IN.glob("*.yaml")), ids=lambda p: p.stem)
def test_built_in_recipes_are_valid_and_their_networks_small(path: Path) -> None:
    checked = Recipe.read(path)
    assert path.stem in (checked.name, f"{checked.name}-2")  # the recipe of the next version stands beside it
    network = checked.network.build()
    assert sum(p.numel() for p in network.parameters()) <= 5_000_000
    channels, tile = len(checked.input.mean), checked.tile
    # Two windows: of the smallest shape that tiling may ask for, or of the only one.
    height, width = (tile.size, tile.size) if tile.fixed else (2 * tile.multiple, 4 * tile.multiple)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(2, channels, height, width)).shape == (2, checked.logit_count, height, width)
        crop = checked.schedule.crop
        assert network(torch.zeros(1, channels, crop, crop)).shape == (1, checked.logit_count, crop, crop)


def test_the_built_in_model_learns_from_its_two_data_sets_alone() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    assert [(d.kind, d.name) for d in checked.data] == [("chase_db1", "CHASE_DB1"), ("hrf", "HRF")]
    assert all(d.terms.startswith("CC BY 4.0") for d in checked.data)


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(FIELDS))
    (tmp_path / "r.json").write_text(recipe_of().model_dump_json())
    assert Recipe.read(tmp_path / "r.yaml") == Recipe.read(tmp_path / "r.json") == recipe_of()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"schedule": {"steps": 4, "epochs": 3}}, "schedule.epochs: Extra inputs are not permitted"),
        ({"cameras": {"blurr": 1}}, "cameras.blurr: Extra inputs are not permitted"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"name": "Fundus 1"}, "name: String should match pattern"),
        ({"version": 1.0}, "version: Input should be a valid string"),
        ({"schedule": {"steps": "many"}}, "schedule.steps: Input should be a valid integer"),
        ({"schedule": {"steps": 0}}, "schedule.steps: Input should be greater than or equal to 1"),
        ({"schedule": {}}, "schedule.steps: Field required"),
        ({"data": []}, "data: Tuple should have at least 1 item"),
        (
            {"data": [{**FIELDS["data"][0], "kind": "retina"}]},
            "data.0.kind: Input should be 'drive', 'chase_db1', 'hrf'",
        ),
        ({"precision": "fp8"}, "precision: Input should be 'auto', 'f32', 'bf16' or 'fp16'"),
        (
            {"tile": {"size": 65, "multiple": 4, "margin": 8}},
            "tile: Value error, size 65 and margin 8 must be multiples of 4",
        ),
        ({"input": {"mean": [0.3] * 3, "std": [0.2] * 3}}, "Value error, input.mean and input.std need 1 value(s)"),
        ({"preparation": {"channels": "rgb"}}, "Value error, input.mean and input.std need 3 value(s)"),
        ({"seed": -5}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**63}, "seed: Input should be less than"),
        ({"schedule": {"steps": 1, "crop": 100_000}}, "schedule.crop: Input should be less than or equal to 4096"),
        ({"cameras": {"simulated_share": 7}}, "cameras.simulated_share: Input should be less than or equal to 1"),
        ({"cameras": {"sensor": [0, 0]}}, "cameras.sensor.0: Input should be greater than 0"),
        ({"cameras": {"outline_smoothing": [0, 0]}}, "cameras.outline_smoothing.0: Input should be greater than 0"),
        ({"cameras": {"zoom": [0.5, float("inf")]}}, "cameras.zoom.1: Input should be a finite number"),
        ({"cameras": {"blur": [-1, 0]}}, "cameras.blur.0: Input should be greater than or equal to 0"),
        ({"cameras": {"jpeg": [35, 101]}}, "cameras.jpeg.1: Input should be less than or equal to 100"),
        ({"cameras": {"noise": [0.2, 0.1]}}, "cameras.noise: Value error, [0.2, 0.1] must begin with the smaller one"),
        ({"cameras": {"jpeg": [95, 35]}}, "cameras.jpeg: Value error, [95.0, 35.0] must begin with the smaller one"),
        ({"patches": {"zoom": [0, 1]}}, "patches.zoom.0: Input should be greater than 0"),
        ({"patches": {"contrast": [-1, 0]}}, "patches.contrast.0: Input should be greater than 0"),
        ({"patches": {"zoom": [1.1, 0.9]}}, "patches.zoom: Value error, [1.1, 0.9] must begin with the smaller one"),
        ({"data": FIELDS["data"] * 2}, "Value error, data sets that share a name: eyes. Give each its own"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, **change}))
    with pytest.raises(DataError) as caught:
        Recipe.read(path)
    assert str(caught.value).startswith(f"{path}: not a valid recipe: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    fields = {**FIELDS, "colour": "red", "seed": "x"}
    del fields["licence"]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(DataError) as caught:
        Recipe.read(tmp_path / "r.yaml")
    assert [name for name in ("licence: ", "seed: ", "colour: ") if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a readable recipe (.*No such file"),
        (b"name: [tiny", "not a readable recipe (.*expected ',' or ']'"),
        (b"\xff\xfe\x00", "not a readable recipe ("),
        (b"", "not a valid recipe: file: Input should be a valid dictionary"),
        (b"- name", "not a valid recipe: file: Input should be a valid dictionary"),
        (b"!!python/object/apply:os.getcwd []", "not a readable recipe (.*could not determine a constructor"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Recipe.read(path)
    position = 0
    for part in message.split(".*"):
        position = str(caught.value).index(part, position)


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        ("nowhere.nets:Net", {}),
        ("torch.nn", {}),
        ("torch.nn:Nothing", {}),
        (":Conv2d", {}),
        ("torch.nn:Conv2d", {"colour": 1}),
        ("torch:zeros", {"size": [-1]}),  # a RuntimeError
    ],
)
def test_a_network_that_cannot_be_built_is_named(factory: str, arguments: dict[str, Any]) -> None:
    checked = recipe_of(network={"factory": factory, "arguments": arguments})
    with pytest.raises(DataError, match=rf"^network {factory} can't be built: .*Expected package\.module:callable\.$"):
        checked.network.build()


def test_weights_that_are_replaced_are_not_downloaded_first() -> None:
    network = recipe.NetworkFactory(factory="builtins:dict", arguments={"pretrained": True, "width": 4})
    assert network.build() == {"pretrained": True, "width": 4}
    assert network.build(fresh=False) == {"pretrained": False, "width": 4}
    assert recipe.NetworkFactory(factory="builtins:dict", arguments={"width": 4}).build(fresh=False) == {"width": 4}


def test_a_recipe_can_be_changed_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(FIELDS))
    changes = ["schedule.steps=9", "data.0.kind=drive", "preparation.field_of_view=[96, 128]", "patches.noise=0.5"]
    changed = Recipe.read(path, changes)
    assert changed.schedule.steps == 9
    assert changed.schedule.batch == 2
    assert [(d.kind, d.name) for d in changed.data] == [("drive", "eyes")]
    assert changed.preparation.field_of_view == (96, 128)
    assert changed.patches is not None
    assert changed.patches.noise == 0.5
    assert Recipe.read(path, ["final=[]", "name=other"]).name == "other"


@pytest.mark.parametrize(("given", "steps"), [(None, []), ({"steps": 3}, [3]), ([{"steps": 3}, {"steps": 5}], [3, 5])])
def test_final_stages_are_none_one_or_a_list(given: Any, steps: list[int]) -> None:
    assert [stage.steps for stage in recipe_of(final=given).final] == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.epochs=3", "schedule.epochs: Extra inputs are not permitted"),
        ("schedule.steps=many", "schedule.steps: Input should be a valid integer"),
        ("schedule.steps", "can't set 'schedule.steps': it has no =. Expected a field and its value"),
        ("data.7.kind=drive", "can't set 'data.7.kind=drive': list index out of range"),
        ("data.first=1", "can't set 'data.first=1': invalid literal for int"),
        ("name.x=1", "can't set 'name.x=1': "),
        ("seed=[", "can't set 'seed=\\[': while parsing"),
    ],
)
def test_a_change_that_does_not_fit_is_named(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(FIELDS))
    with pytest.raises(DataError, match=message):
        Recipe.read(path, [change])


def test_the_time_left_counts_the_final_stages() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    stage = checked.stages[1]
    longer = stage.schedule.model_copy(update={"steps": 30, "batch": 2 * checked.schedule.batch})
    final = replace(stage, schedule=longer)
    schedule = checked.schedule.model_copy(update={"crop": longer.crop})
    assert equivalent_steps(schedule, [final, final]) == 120
    assert equivalent_steps(schedule, []) == 0


def test_old_names_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = {
        "cameras": {"foreign": 0.25, "stroke": [0.1, 0.2], "hand": [0.3, 0.4]},
        "final": [{"steps": 1, "foreign": 0}],
    }
    new = {
        "cameras": {"simulated_share": 0.25, "annotation_widening": [0.1, 0.2], "outline_smoothing": [0.3, 0.4]},
        "final": [{"steps": 1, "simulated_share": 0}],
    }
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, **new}))
    expected = Recipe.read(path)
    assert caplog.messages == []
    path.write_text(yaml.safe_dump({**FIELDS, **old}))
    assert Recipe.read(path) == expected
    advice = "Rename it: the next version will not read the old name."
    assert caplog.messages == [
        f"{path}: cameras.foreign is now cameras.simulated_share. {advice}",
        f"{path}: cameras.stroke is now cameras.annotation_widening. {advice}",
        f"{path}: cameras.hand is now cameras.outline_smoothing. {advice}",
        f"{path}: final.foreign is now final.simulated_share. {advice}",
    ]


def test_an_old_name_in_a_change_counts_as_the_new_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.yaml"
    final = [{"steps": 1, "simulated_share": 0.5}]
    path.write_text(yaml.safe_dump({**FIELDS, "cameras": {"simulated_share": 0.5}, "final": final}))
    changed = Recipe.read(path, ["cameras.foreign=0.25", "final.0.foreign=0.75"])
    assert (changed.cameras.simulated_share, changed.final[0].simulated_share) == (0.25, 0.75)
    assert [message.split(" is now ")[0] for message in caplog.messages] == [
        "--set cameras.foreign: cameras.foreign",
        "--set final.0.foreign: final.foreign",
    ]


def test_an_old_name_beside_the_new_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, "cameras": {"simulated_share": 0.5, "foreign": 0.5}}))
    with pytest.raises(DataError, match=r"cameras has foreign and simulated_share, which are one\. Take out foreign\."):
        Recipe.read(path)
