"""docs/networks.json → the table of docs/tested-networks.md, between its two marks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.stages import NEEDS, STAGES, Row

BEGIN, END = "<!-- python -m zoo -->", "<!-- end -->"
_HEADS = ("network", "parameters", "f32", "FP16", "INT8", "engine sm75", "predict")


def write_table(results: Path, page: Path) -> None:
    """Replaces what stands between the marks of the page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = json.loads(results.read_text("utf-8"))["networks"]
    page.write_text(f"{before}{BEGIN}\n\n{table_from_rows(rows)}\n{END}{after}", "utf-8")


def table_from_rows(rows: list[Row]) -> str:
    """As Markdown: a summary, a row for each network, and a sentence for each stage that is refused."""
    notes: list[str] = []
    lines = [*_summary(rows), "", f"| {' | '.join(_HEADS)} |", "|---" + "|---:" * (len(_HEADS) - 1) + "|"]
    for row in rows:
        cells = [_cell(row, stage, notes) for stage in STAGES]
        parameters = f"{row['f32'].get('parameters', 0) / 1e6:.2f} M"
        lines.append(f"| {row['library']} {row['network']} | {parameters} | {' | '.join(cells)} |")
    lines += [""] + [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def passed(row: Row, stage: str) -> bool:
    """Whether the stage was reached and done."""
    return stage in row and not {"refused", "failed"} & row[stage].keys()


def _summary(rows: list[Row]) -> Iterator[str]:
    for stage in STAGES:
        reached = [row for row in rows if stage in row]
        done = [row for row in reached if passed(row, stage)]
        yield f"- {_HEADS[STAGES.index(stage) + 2]}: {len(done)} of {len(rows)}"


def _cell(row: Row, stage: str, notes: list[str]) -> str:
    if stage not in row:
        return f"no {_HEADS[STAGES.index(NEEDS[stage]) + 2]} file"
    found: dict[str, Any] = row[stage]
    for outcome in ("refused", "failed"):
        if outcome in found:
            notes.append(f"{row['library']} {row['network']}: {found[outcome]}")
            return f"{outcome} ({len(notes)})"
    if stage == "engine":
        return f"{found['bytes'] / 1e6:.1f} MB"
    text = f"{found['flipped']:.2%}" if stage in ("int8", "predict") else f"{found['difference']:.0e}"
    kept = f", {found['kept']} of {found['operations']} in FP32" if found.get("kept") else ""
    return text + kept + (", fixed tile" if found.get("fixed") else "")
