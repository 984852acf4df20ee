"""docs/networks.json → the table of docs/tested-networks.md, between its two marks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.networks import NETWORKS
from zoo.stages import NEEDS, STAGES, Row, passed

BEGIN, END = "<!-- python -m zoo -->", "<!-- end -->"
_HEADS = ("network", "parameters", "f32", "FP16", "INT8", "engine sm75", "predict")


def write_table(results: Path, page: Path) -> None:
    """Replaces what stands between the marks of the page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(
        f"{before}{BEGIN}\n\n{table_from_report(json.loads(results.read_text('utf-8')))}\n{END}{after}", "utf-8"
    )


def table_from_report(report: dict[str, Any]) -> str:
    """As Markdown: a summary, a row for each network, and a sentence for each stage that is refused."""
    rows: list[Row] = report["networks"]
    notes: list[str] = []
    lines = [*_summary(report), "", f"| {' | '.join(_HEADS)} |", "|---" + "|---:" * (len(_HEADS) - 1) + "|"]
    for row in rows:
        cells = [_cell(row, stage, notes) for stage in STAGES]
        parameters = f"{row['f32']['parameters'] / 1e6:.2f} M" if passed(row, "f32") else ""
        lines.append(f"| {row['library']} {row['network']} | {parameters} | {' | '.join(cells)} |")
    lines += [""] + [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _summary(report: dict[str, Any]) -> Iterator[str]:
    rows, machine = report["networks"], report["machine"]
    measured = {f"{row['library']} {row['network']}" for row in rows}
    waiting = [network.title for network in NETWORKS if network.title not in measured]
    where = f"{machine['processor']}, {machine['cores']} cores"
    yield f"Measured: {len(rows)} of {len(NETWORKS)} networks ({where})."
    if waiting:
        yield f"Not yet: {', '.join(waiting)}."
    yield ""
    for stage in STAGES:
        done = sum(passed(row, stage) for row in rows)
        yield f"- {_HEADS[STAGES.index(stage) + 2]}: {done} of {len(rows)} pass"


def _cell(row: Row, stage: str, notes: list[str]) -> str:
    if stage not in row:
        return f"no {_HEADS[STAGES.index(NEEDS[stage]) + 2]} file"
    found: dict[str, Any] = row[stage]
    for outcome in ("refused", "failed"):
        if outcome in found:
            title = f"{row['library']} {row['network']}"
            notes.append(f"{title}: {found[outcome]}")
            return f"{outcome} ({len(notes)})"
    if stage == "engine":
        return f"{found['bytes'] / 1e6:.1f} MB"
    text = f"{found['flipped']:.2%}" if stage in ("int8", "predict") else f"{found['difference']:.0e}"
    kept = f", {found['kept']} of {found['operations']} in FP32" if found.get("kept") else ""
    return text + kept + (", fixed tile" if found.get("fixed") else "")
