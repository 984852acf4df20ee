"""`vesselrt train`, and `outline`, which makes a data set for it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vesselrt.cli.console import needs_extra, photo_progress, training_progress
from vesselrt.cli.options import MASK_KINDS
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.files import check_writable_folder


def outline(
    data: Annotated[Path, typer.Argument(help="Folder of a data set of masks.")],
    out: Annotated[Path, typer.Argument(help="The folder to make, of the kind geojson.")],
    kind: Annotated[str, typer.Option(help=f"Its layout: auto, or one of {MASK_KINDS}.")] = "auto",
    simplify: Annotated[
        float, typer.Option(help="Pixels by which outlines may move; up to 0.35 no pixel of a mask changes.")
    ] = 0.35,
) -> None:
    """Write a data set of masks as GeoJSON annotations, with the same splits."""
    with needs_extra("vesselrt outline", "evaluate"):
        from vesselrt.training.data.finding import resolve_kind
        from vesselrt.training.data.outlines import list_splits, write_geojson_data_set
    check_writable_folder(out)
    splits = list_splits(resolve_kind(kind, data), data)
    with photo_progress(sum(map(len, splits.values()))) as advance:
        write_geojson_data_set(splits, out, simplify, advance)
    typer.echo(f"{out}: " + ", ".join(f"{split} {len(samples)}" for split, samples in splits.items()))


def train(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or the name of a built-in one (fundus).")],
    data: Annotated[Path, typer.Option(help="Folder that holds the recipe's data sets.")],
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; an interrupted run there goes on. Default: runs/NAME.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe and its value: schedule.steps=100")
    ] = None,
) -> None:
    """Train a network by a recipe; interrupted, it goes on where it stopped."""
    with needs_extra("vesselrt train", "train"):
        from vesselrt.training.fit.recipe import Recipe
    checked = Recipe.read(_find_recipe(recipe), change or [])
    with needs_extra("vesselrt train", "train"):
        from vesselrt.training.fit.run import train_recipe
    sys.path.append(str(Path.cwd()))  # a recipe may name a network of the user's own
    check_writable_folder(run or Path("runs") / checked.name)
    with training_progress() as (report, advance):
        best = train_recipe(checked, data, run or Path("runs") / checked.name, report, advance)
    typer.echo(f"{best}\nnext: vesselrt export {best.parent} -o {checked.name}.onnx --data {data}")


def _find_recipe(name: str) -> Path:
    """The file of a built-in recipe, or one's own. Raises DataError."""
    from vesselrt.training.fit.recipe import BUILT_IN

    if (BUILT_IN / f"{name}.yaml").is_file():
        return BUILT_IN / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    offered = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
    raise DataError(f"no recipe {name}: neither a file nor a built-in one. Built-in: {offered}.")
