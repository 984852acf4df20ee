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
    with vesselrt.load() as segmenter, (out / "density.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["photograph", "width", "height", "density", "ms", "warnings"])
        for path in sorted(path for path in photographs.iterdir() if path.is_file()):
            try:
                result = segmenter.segment(path)
            except vesselrt.ImageError as error:
                print(error, file=sys.stderr)
                continue
            mask = result.mask()  # (H, W) bool, at the model's own threshold
            (out / f"{path.name}.png").write_bytes(result.encode("mask"))
            height, width = mask.shape
            density, milliseconds = f"{result.density():.4f}", round(sum(result.timings.values()))
            table.writerow([path.name, width, height, density, milliseconds, " ".join(result.warnings)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
