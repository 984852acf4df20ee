"""HTML and charts as trees of elements: whatever a file is called, its name can't become markup.

Colours of the charts are classes: the page decides how they look, in the light and in the dark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None
Point = tuple[float, float]

# Of a square chart, in units of its view box, which are about pixels.
_LEFT, _TOP, _SIDE = 44, 8, 276
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element; `class_` is the attribute class, `text_anchor` text-anchor. A child that is None is left out."""
    made = Element(name, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child is not None and len(made):
            made[-1].tail = (made[-1].tail or "") + child
        elif child is not None:
            made.text = (made.text or "") + child
    return made


def render_page(title: str, style: str, *body: Child) -> bytes:
    """A whole page that loads nothing and runs nothing, whatever it holds."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", title),
        tag("style", style),
    )
    page = tostring(tag("html", head, tag("body", *body), lang="en"), encoding="unicode", method="html")
    # The name of a file may hold bytes that are not UTF-8: they are shown as escapes.
    return f"<!doctype html>\n{page}\n".encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Mark:
    """A point in a chart; `kind` is its class (model or other), `name` is shown when it is pointed at."""

    x: float
    y: float
    kind: str
    name: str


@dataclass(frozen=True)
class Track:
    """A row of `draw_strips`: each photograph, the whole with its interval, and another mark to compare with."""

    name: str
    dots: Sequence[tuple[float, str]]
    """Value and name of each photograph."""
    value: float
    interval: tuple[float, float] | None
    other: float | None


def draw_square_chart(
    axes: tuple[str, str],
    curve: Sequence[Point],
    marks: Iterable[Mark],
    *,
    even: bool = False,
    bars: Sequence[float] = (),
) -> Element:
    """A curve and marks in the unit square; `even` adds its diagonal, `bars` (0 to 1) stand at its foot."""
    step = _SIDE / max(1, len(bars))
    foot = [
        tag(
            "rect",
            x=_format_number(_LEFT + step * i + 1),
            y=_format_number(_chart_y(bar / 4)),
            width=_format_number(step - 2),
            height=_format_number(_SIDE * bar / 4),
        )
        for i, bar in enumerate(bars)
    ]
    path = "M" + "L".join(f"{_format_number(_chart_x(x))} {_format_number(_chart_y(y))}" for x, y in curve)
    return tag(
        "svg",
        *_draw_grid(axes),
        tag("g", *foot, class_="wash"),
        tag(
            "line",
            x1=_format_number(_chart_x(0)),
            y1=_format_number(_chart_y(0)),
            x2=_format_number(_chart_x(1)),
            y2=_format_number(_chart_y(1)),
            class_="even",
        )
        if even
        else None,
        tag("path", d=path, class_="curve"),
        *(_draw_mark(_chart_x(mark.x), _chart_y(mark.y), mark.kind, mark.name) for mark in marks),
        viewBox=f"0 0 {_LEFT + _SIDE + 12} {_TOP + _SIDE + 42}",
        role="img",
        aria_label=f"{axes[1]} against {axes[0]}",
    )


def draw_strips(tracks: Sequence[Track]) -> Element:
    """A row for each figure, on one axis that ends at 1 and starts below the lowest value."""
    lowest = min((value for track in tracks for value, _ in track.dots), default=0.0)
    start = min(0.9, math.floor(lowest * 10) / 10)

    def at(value: float) -> str:
        return f"{max(0.0, (value - start) / (1 - start)):.2%}"

    rows: list[Element] = []
    for track in tracks:
        low, high = track.interval or (track.value, track.value)
        band = f"left: {at(low)}; right: calc(100% - {at(high)})"
        other = f"left: {at(track.other)}" if track.other is not None else ""
        scale = tag(
            "div",
            tag("i", class_="band", style=band),
            *(tag("i", class_="dot", style=f"left: {at(v)}", title=f"{name}: {v:.4f}") for v, name in track.dots),
            tag("i", class_="whole", style=f"left: {at(track.value)}", title=f"{track.value:.4f}"),
            tag("i", "◆", class_="other", style=other, title=f"{track.other:.4f}") if track.other is not None else None,
            class_="scale",
        )
        rows += [tag("span", track.name), scale]
    tenths = [t for t in range(round(start * 10), 11) if start >= 0.4 or t % 2 == 0]  # more than 7 run into each other
    ticks = [tag("i", f"{t / 10:g}", style=f"left: {at(t / 10)}") for t in tenths]
    return tag("div", *rows, tag("span"), tag("div", *ticks, class_="ticks"), class_="strips")


def _draw_grid(axes: tuple[str, str]) -> list[Element]:
    made: list[Element] = []
    for value in _TICKS:
        x, y = _format_number(_chart_x(value)), _format_number(_chart_y(value))
        made += [
            tag("line", x1=x, y1=_format_number(_chart_y(0)), x2=x, y2=_format_number(_chart_y(1)), class_="grid"),
            tag("line", x1=_format_number(_chart_x(0)), y1=y, x2=_format_number(_chart_x(1)), y2=y, class_="grid"),
            tag("text", f"{value:g}", x=x, y=_format_number(_chart_y(0) + 16), text_anchor="middle"),
            tag("text", f"{value:g}", x=_LEFT - 7, y=_format_number(_chart_y(value) + 4), text_anchor="end"),
        ]
    middle = _format_number(_chart_y(0.5))
    return [
        *made,
        tag("text", axes[0], x=_format_number(_chart_x(0.5)), y=_format_number(_chart_y(0) + 35), text_anchor="middle"),
        tag("text", axes[1], x=11, y=middle, text_anchor="middle", transform=f"rotate(-90 11 {middle})"),
    ]


def _draw_mark(x: float, y: float, kind: str, name: str) -> Element:
    """The model is a disc, anything else a diamond: told apart without their colours too."""
    if kind == "model":
        return tag("circle", tag("title", name), cx=_format_number(x), cy=_format_number(y), r=5, class_=f"{kind} ring")
    diamond = f"M{_format_number(x)} {_format_number(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5-6.5z"
    return tag("path", tag("title", name), d=diamond, class_=f"{kind} ring")


def _chart_x(value: float) -> float:
    return _LEFT + _SIDE * value


def _chart_y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)


def _format_number(value: float) -> str:
    """Two decimals, none where there are none."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
