"""Makes docs/pictures/: `python docs/tools/pictures.py` (needs the extra `evaluate`).

The plots are drawn from docs/*.json. All else is made of one photograph, server/web/assets/sample.jpg (Häggström, CC0),
and of a drawing; the vessels that the page shows on that photograph are written beside it. page.png is a screenshot:
server/web/scripts/picture.mjs.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import vesselrt
from vesselrt.runtime.photo.views import find_scales
from vesselrt.training.synthetic import slitlamp
from vesselrt.training.synthetic.cameras import HELD_OUT
from vesselrt.training.synthetic.pyramid import pyramid_from_photo

DOCS = Path(__file__).resolve().parents[1]
PICTURES = DOCS / "pictures"
SAMPLE = DOCS.parent / "server" / "web" / "assets" / "sample.jpg"
PANEL = 460  # px: width of each panel of the result
TILE = 300  # px: height of each picture of the gallery
VESSELS = 640  # px: both sides of the vessels on the page

Image = NDArray[np.uint8]  # (H, W, 3) RGB
OURS, OTHERS = "#00796b", ("#9e9e9e", "#cfcfcf")


def main() -> None:
    """Plots, result and gallery."""
    plt.rcParams |= {"svg.hashsalt": "vesselrt", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    bench, quality = DOCS / "bench-int8.json", sorted(DOCS.glob("quality-*.json"))
    save_plot(plot_speed(read(bench)), "speed", [bench])
    save_plot(plot_quality([read(file) for file in quality]), "quality", quality)
    photograph = read_sample()
    with vesselrt.load(precision="f32") as segmenter:  # the same on every processor
        found = segmenter.segment(photograph)
        save(np.hstack(list(panels(found))), "result.jpg")
        save_vessels(found.mask())
        for name, picture, scale in (*cameras(photograph), *failures(photograph)):
            result = segmenter.segment(picture, scale=scale)
            save(np.hstack([fit(picture), fit(overlay(result))]), f"{name}.jpg")
            print(name, result.scale.source, *result.warnings)


def plot_speed(figures: Any) -> plt.Figure:
    """Bytes of a photograph to bytes of its mask, a bar for each column and size."""
    labels = {"vesselrt": OURS, "onnxruntime+monai int8": OTHERS[1], "pytorch+monai": OTHERS[0]}
    figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    for place, photo in enumerate(figures["photos"]):
        times = {"vesselrt": photo["end_to_end"]} | {n: p["end_to_end"] for n, p in photo["peers"].items()}
        for offset, (name, colour) in enumerate(labels.items()):
            height = times[name]["p50"]
            precision = figures["info"]["precision"] if name == "vesselrt" else photo["peers"][name]["precision"]
            label = None if place else f"{name.split()[0]} ({precision})"
            bar = axes.bar(place + (offset - 1) * 0.27, height, 0.25, color=colour, label=label)
            axes.bar_label(bar, [f"{height:.0f}"], padding=2, fontsize=9)
    sizes = [f"{photo['width']} × {photo['height']}" for photo in figures["photos"]]
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_ylabel("photograph → mask, p50, ms")
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.14))
    machine, model = figures["machine"], figures["model"]
    where = f"{machine['cores']} cores, {machine['cpu']}"
    axes.set_xlabel(f"{model['name']} {model['version']}, {where}", color="#616161")
    return figure


def plot_quality(sets: list[Any]) -> plt.Figure:
    """F1 of each photograph as a dot, of all with its 95 % interval, and of the second human observer."""
    figure, axes = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
    ticks = []
    for place, figures in enumerate(reversed(sets)):
        each = [photo["f1"] for photo in figures["images"].values()]
        jitter = np.random.default_rng(0).uniform(-0.13, 0.13, len(each))
        axes.scatter(
            each,
            place + jitter,
            s=16,
            color=OTHERS[0],
            alpha=0.7,
            linewidths=0,
            label=None if place else "one photograph",
        )
        pooled, low, high = figures["pooled"]["f1"], figures["interval"]["low"]["f1"], figures["interval"]["high"]["f1"]
        axes.errorbar(
            pooled,
            place,
            xerr=[[pooled - low], [high - pooled]],
            fmt="o",
            color=OURS,
            capsize=4,
            label=None if place else "all, 95 % interval",
        )
        axes.annotate(f"{pooled:.3f}", (pooled, place), (0, 9), textcoords="offset points", ha="center", color=OURS)
        observer = (figures.get("second_observer") or {}).get("f1")
        if observer is not None:
            axes.scatter(observer, place, marker="D", s=34, color="#e65100", label="second human observer")
            axes.annotate(
                f"{observer:.3f}", (observer, place), (0, 9), textcoords="offset points", ha="center", color="#e65100"
            )
        ticks.append(f"{figures['data']} test\n{len(each)} photographs")
    axes.set_yticks(range(len(sets)), ticks)
    axes.set_ylim(-0.5, len(sets) - 0.35)
    first = sets[0]
    what = f"{first['model']} {first['version']}, {first['info']['precision']}"
    axes.set_xlabel(f"F1 at threshold {first['threshold']}, {what}", color="#616161")
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(-0.02, 1.22))
    return figure


def cameras(photograph: Image) -> Iterator[tuple[str, Image, float | None]]:
    """Name, picture and scale of what the model holds on: the sample as other cameras and programs would give it."""
    source = pyramid_from_photo(photograph, np.zeros(photograph.shape[:2], bool))
    for name, camera in HELD_OUT.items():
        yield f"camera-{name}", camera.photograph(source, 0)[0], None
    yield "camera-red-free", np.dstack([photograph[:, :, 1]] * 3), None
    small = cv2.resize(photograph, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    yield "camera-two-eyes", np.hstack([small, small[:, ::-1]]), None
    yield "camera-page", cv2.copyMakeBorder(small, 60, 160, 90, 90, cv2.BORDER_CONSTANT, value=(255, 255, 255)), None
    yield "camera-cut-and-told", centre(photograph), find_scales(photograph)[0].diameter


def failures(photograph: Image) -> Iterator[tuple[str, Image, float | None]]:
    """The same of what the model fails on, wholly or in part."""
    yield "failure-cut", centre(photograph), None
    yield "failure-blurred", cv2.GaussianBlur(photograph, (0, 0), 5), None
    yield "failure-dark", (photograph * 0.14).astype(np.uint8), None
    yield "failure-overexposed", np.clip(photograph * 3.2, 0, 255).astype(np.uint8), None
    yield "failure-slit-lamp", slitlamp.draw_slit_lamp_photo(720, 960, 3)[0], None


def centre(photograph: Image) -> Image:
    """What a crop inside the disc leaves: 40 % of each side."""
    height, width = photograph.shape[:2]
    return np.ascontiguousarray(photograph[height * 3 // 10 : height * 7 // 10, width * 3 // 10 : width * 7 // 10])


def panels(result: vesselrt.Segmentation) -> Iterator[Image]:
    """Photograph, probability and overlay at the same width."""
    for picture in (result.image, np.dstack([result.probability] * 3), overlay(result)):
        yield cv2.resize(picture, (PANEL, PANEL * picture.shape[0] // picture.shape[1]), interpolation=cv2.INTER_AREA)


def overlay(result: vesselrt.Segmentation) -> Image:
    """The photograph with its vessels coloured."""
    return cv2.imdecode(np.frombuffer(result.encode("overlay"), np.uint8), cv2.IMREAD_COLOR_RGB)


def fit(picture: Image) -> Image:
    """At the height of the gallery."""
    size = TILE * picture.shape[1] // picture.shape[0], TILE
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if picture.shape[0] > TILE else cv2.INTER_CUBIC)


def read_sample() -> Image:
    """(900, 900, 3) RGB."""
    return cv2.imdecode(np.frombuffer(SAMPLE.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)


def save(picture: Image, name: str) -> None:
    """As JPEG."""
    PICTURES.mkdir(exist_ok=True)
    cv2.imwrite(str(PICTURES / name), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def save_vessels(mask: NDArray[np.bool_]) -> None:
    """As WebP of one colour; how much of a pixel is vessel, in quarters, is its opacity."""
    share = cv2.resize(mask.astype(np.float32), (VESSELS, VESSELS), interpolation=cv2.INTER_AREA)
    opacity = (np.round(share * 4) * 51).astype(np.uint8)
    red, green, blue = (np.where(opacity > 0, level, 0).astype(np.uint8) for level in (51, 204, 255))
    picture = np.dstack([blue, green, red, opacity])  # OpenCV's order
    cv2.imwrite(str(SAMPLE.with_name("sample-vessels.webp")), picture, [cv2.IMWRITE_WEBP_QUALITY, 101])  # lossless


def read(file: Path) -> Any:
    """What a command of vesselrt wrote with --json."""
    return json.loads(file.read_text("utf-8"))


def save_plot(figure: plt.Figure, name: str, sources: list[Path]) -> None:
    """As SVG with letters drawn, so that it looks the same everywhere; it names its figures, which a test compares."""
    PICTURES.mkdir(exist_ok=True)
    drawn_from = " ".join(f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sources)
    figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None, "Description": drawn_from}, facecolor="white")
    plt.close(figure)


if __name__ == "__main__":
    main()
