"""Every photograph of a folder in your own loop: masks, and a table of vessel density.

python examples/folder.py PHOTOS OUT
"""

import csv
import sys
from pathlib import Path

import vesselrt


def main(photographs: Path, out: Path) -> None:
    """Writes OUT/NAME.png for each photograph, and OUT/density.csv. What can't be read is told and left out."""
    out.mkdir(parents=True, exist_ok=True)

    def write_mask(path: Path, result: vesselrt.Segmentation) -> list[object]:
        """Runs beside the network, which has the next photographs meanwhile. Returns a row of the table."""
        (out / f"{path.name}.png").write_bytes(result.encode("mask"))
        height, width = result.mask().shape  # (H, W) bool, at the model's own threshold
        density, milliseconds = f"{result.density():.4f}", round(sum(result.timings.values()))
        return [path.name, width, height, density, milliseconds, " ".join(result.warnings)]

    paths = sorted(path for path in photographs.iterdir() if path.is_file())
    with vesselrt.load() as segmenter, (out / "density.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["photograph", "width", "height", "density", "ms", "warnings"])
        for row in segmenter.segment_many(paths, write_mask):  # in the order of `paths`
            if isinstance(row, Exception):
                print(row, file=sys.stderr)
            else:
                table.writerow(row)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
