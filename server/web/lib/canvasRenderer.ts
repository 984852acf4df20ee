import { Coverage, countExclusive, countingExclusive, type Rect, type Rows, sideOf } from "@/lib/coverage";
import { heatLayer } from "@/lib/heatLayer";
import { whenIdle } from "@/lib/idle";
import { reducedFor } from "@/lib/reduce";
import { inkOf, isHeat, NO_PICTURE, type Picture, type Renderer, type Scene } from "@/lib/renderer";
import { layer, NOTHING, Vessels } from "@/lib/vesselLayer";
import { deviceOrigin, origin, type Point, type Size, type Viewport } from "@/lib/viewport";

const QUICK = 2 ** 20; // samples of the map that are looked at in one frame

/**
 * Draws without a graphics card: what has not changed since the last frame is not computed again. Where a frame asks for more
 * samples than can be looked at in it, fewer are, and the others in the time that the page leaves over; unless all is asked
 * for `atOnce`.
 */
export class CanvasRenderer implements Renderer {
  readonly name = "canvas";
  private readonly context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
  private readonly photograph = layer();
  private picture: Picture = NO_PICTURE;
  private vessels: readonly Vessels[] = [];
  /** Of the classes of this key; null where no heat map was asked for since the picture was laid out. */
  private heat: { readonly of: string; readonly layer: OffscreenCanvas } | null = null;
  private drawn = "";
  private laidOut = "";
  /** What `countExclusive` has counted; empty where each class counts for itself. */
  private counted = "";
  /** Samples of the scene that `vessels` have, from side to side of a pixel. */
  private fineness = 0;
  private scene: Scene | null = null;
  private stopPreparing = () => {};
  /** All but the place of what is on the canvas, and that place in device pixels. */
  private shown = "";
  private corner: Point = { x: 0, y: 0 };

  constructor(
    private readonly canvas: HTMLCanvasElement | OffscreenCanvas,
    private readonly atOnce = false,
  ) {
    this.context = canvas.getContext("2d") as CanvasRenderingContext2D;
  }

  setPicture(picture: Picture): void {
    this.stopPreparing();
    this.picture = picture;
    this.laidOut = this.shown = "";
    this.scene = null;
  }

  change(rect: Rect): void {
    const { scene } = this;
    if (!scene) return; // all is drawn next
    if (!this.laidOut || scene.view === "original") {
      this.laidOut = "";
      this.drawAll(scene);
      return;
    }
    this.stopPreparing();
    this.heat = null;
    const rows = this.recount(scene, rect);
    this.compose(scene, rows);
    // An index is of use when the threshold moves again, and takes longer to make than the next piece of a stroke to come.
    const timer = setTimeout(() => this.prepare(scene.viewport), STILL);
    this.stopPreparing = () => clearTimeout(timer);
  }

  draw(scene: Scene): void {
    const corner = deviceOrigin(scene.viewport, this.canvas);
    const { viewport, samples, moving, ...look } = scene;
    const shown = JSON.stringify([this.canvas.width, this.canvas.height, viewport.scale, look]);
    if (moving && shown === this.shown && scene.wiper === 0) this.shift(scene, corner);
    else this.drawAll(scene);
    this.scene = scene;
    this.shown = shown;
    this.corner = corner;
  }

  /**
   * Moves what is drawn, and draws what comes into view at the edges: while a picture is dragged a frame costs what is new
   * in it. All is drawn once it rests.
   */
  private shift(scene: Scene, corner: Point): void {
    const { canvas, context, picture } = this;
    const { width, height } = canvas;
    const [dx, dy] = [this.corner.x - corner.x, this.corner.y - corner.y];
    if (!dx && !dy) return;
    this.stopPreparing();
    this.laidOut = ""; // what is kept for the next step of the threshold is of another place
    context.globalCompositeOperation = "copy";
    context.drawImage(canvas, dx, dy);
    context.globalCompositeOperation = "source-over";
    for (const { x, y, ...size } of uncovered({ width, height }, dx, dy)) {
      const { scale } = scene.viewport;
      const centre = { x: (corner.x + x + size.width / 2) / scale, y: (corner.y + y + size.height / 2) / scale };
      const part = new CanvasRenderer(new OffscreenCanvas(size.width, size.height), true);
      part.setPicture(picture);
      part.drawAll({ ...scene, viewport: { scale, centre } });
      context.drawImage(part.canvas, x, y);
      part.close();
    }
  }

  private drawAll(scene: Scene): void {
    const { canvas, picture } = this;
    const { view, opacity, wiper } = scene;
    this.scene = scene;
    this.layOut(scene);
    const changed = view === "original" || isHeat(view) ? NOTHING : this.countVessels(scene);
    const shown = scene.layers.map((one) => one.shown).join();
    const rest = [view, opacity, wiper, shown, picture.maps.length].join();
    this.compose(scene, rest === this.drawn ? changed : { top: 0, bottom: canvas.height });
    this.drawn = rest;
  }

  /** Prepares for the place of a scene, and its samples. */
  private layOut({ viewport, samples }: Scene): void {
    const { canvas, picture } = this;
    const layout = [canvas.width, canvas.height, viewport.scale, viewport.centre.x, viewport.centre.y].join();
    const wanted = sideOf(viewport, samples);
    if (layout === this.laidOut && wanted === this.fineness) return;
    this.stopPreparing();
    this.fineness = wanted;
    if (layout !== this.laidOut) {
      this.laidOut = layout;
      this.layPhotograph(viewport);
      const area = canvas.width * canvas.height * picture.maps.length;
      const side = this.atOnce ? wanted : Math.min(wanted, Math.max(1, Math.floor(Math.sqrt(QUICK / area))));
      this.setVessels(picture.maps.map((map) => new Vessels(Coverage.of(map, viewport, canvas, side))));
    }
    this.prepare(viewport);
  }

  private setVessels(vessels: readonly Vessels[]): void {
    this.drawn = this.counted = "";
    this.heat = null;
    this.vessels = vessels;
  }

  /** Makes in the time that is left over what the next frames need: first all samples, then the index of the threshold. */
  private prepare(viewport: Viewport): void {
    const { vessels, fineness } = this;
    const fine = vessels.every(({ coverage }) => coverage.samples === fineness ** 2);
    this.stopPreparing = whenIdle(
      fine ? vessels.map(({ coverage }) => coverage.prepare()) : [this.refine(viewport, fineness)],
    );
  }

  /** Reads and paints again what is seen of a part of the maps. Returns its rows of the canvas. */
  private recount(scene: Scene, rect: Rect): Rows {
    const { vessels } = this;
    const [first] = vessels;
    if (!first) return NOTHING;
    const part = first.coverage.seeing(rect);
    for (const { coverage } of vessels) coverage.refresh(part);
    if (scene.exclusive) {
      const coverages = vessels.map(({ coverage }) => coverage);
      const cuts = scene.layers.map(({ cut }) => cut);
      countExclusive(coverages, cuts, part);
    }
    for (const one of vessels) one.paintPart(part);
    return { top: first.top + part.top, bottom: first.top + part.bottom };
  }

  /** Draws the same scene again with so many samples, once they are counted. */
  private *refine(viewport: Viewport, samples: number): Generator<undefined, void> {
    const { canvas, picture } = this;
    const coverages: Coverage[] = [];
    for (const map of picture.maps) coverages.push(yield* Coverage.made(map, viewport, canvas, samples));
    const { exclusive, layers } = this.scene!;
    const cuts = layers.map(({ cut }) => cut);
    if (exclusive) yield* countingExclusive(coverages, cuts);
    else for (const [number, one] of coverages.entries()) yield* one.countFirst(cuts[number]!);
    this.setVessels(coverages.map((one) => new Vessels(one)));
    if (exclusive) this.counted = cuts.join();
    this.drawAll(this.scene!);
    this.prepare(viewport);
  }

  close(): void {
    this.stopPreparing();
    this.photograph.canvas.width = this.photograph.canvas.height = 1;
    this.vessels = [];
    this.heat = null;
  }

  private layPhotograph(viewport: Viewport): void {
    const { canvas, picture } = this;
    const context = this.photograph;
    const { scale } = viewport;
    const { x, y } = origin(viewport, canvas);
    context.canvas.width = canvas.width; // clears it
    context.canvas.height = canvas.height;
    if (!picture.photograph) return;
    const { image, smooth } = reducedFor(picture.photograph, picture.halves ?? [], scale);
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = smooth;
    context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
    context.drawImage(image, 0, 0, picture.width, picture.height);
    context.resetTransform();
  }

  /** The rows of the canvas in which vessels have changed. */
  private countVessels(scene: Scene): Rows {
    const { vessels } = this;
    const { layers, exclusive } = scene;
    const cuts = layers.map(({ cut }) => cut);
    const counting = exclusive ? cuts.join() : "";
    const recounted = exclusive && counting !== this.counted;
    if (recounted) {
      const coverages = vessels.map(({ coverage }) => coverage);
      countExclusive(coverages, cuts);
    }
    this.counted = counting;
    return vessels
      .map((one, number) => {
        const ink = inkOf(scene, layers[number]!);
        return exclusive ? one.paint(ink, recounted) : one.setCut(cuts[number]!, ink);
      })
      .reduce(together, NOTHING);
  }

  /** The heat map of the classes that are shown. */
  private heatOf({ layers }: Scene): OffscreenCanvas {
    const of = layers.map(({ shown }) => shown).join();
    if (this.heat?.of !== of) {
      const classes = this.vessels.filter((_, number) => layers[number]!.shown).map(({ coverage }) => coverage);
      this.heat = { of, layer: heatLayer(classes) };
    }
    return this.heat.layer;
  }

  /** Rows of the canvas: the photograph, and over it, right of the wiper, the vessels or the heat map. */
  private compose(scene: Scene, { top, bottom }: Rows): void {
    const { view, layers, opacity, wiper } = scene;
    const { canvas, context, vessels } = this;
    const { width } = canvas;
    const [first] = vessels;
    if (top >= bottom) return;
    const left = Math.round(wiper * width);
    const strip = [0, top, width, bottom - top] as const;
    context.clearRect(...strip);
    context.drawImage(this.photograph.canvas, ...strip, ...strip);
    if (!first || view === "original" || left >= width) return;
    context.save();
    context.beginPath();
    context.rect(left, top, width - left, bottom - top);
    context.clip();
    if (view === "mask") context.fillRect(first.left, first.top, first.width, first.height);
    context.globalAlpha = view === "overlay" ? opacity : 1;
    if (isHeat(view)) context.drawImage(this.heatOf(scene), first.left, first.top);
    else
      vessels.forEach((one, number) => {
        if (layers[number]!.shown) context.drawImage(one.layer.canvas, one.left, one.top);
      });
    context.restore();
  }
}

/** The parts of a canvas that are new when what is on it has moved: at most a column and, beside it, a row. */
export function uncovered({ width, height }: Size, dx: number, dy: number): (Point & Size)[] {
  const [across, along] = [Math.min(Math.abs(dx), width), Math.min(Math.abs(dy), height)];
  const column = { x: dx > 0 ? 0 : width - across, y: 0, width: across, height };
  const row = { x: dx > 0 ? across : 0, y: dy > 0 ? 0 : height - along, width: width - across, height: along };
  return [column, row].filter((part) => part.width > 0 && part.height > 0);
}

const STILL = 300; // ms

/** The rows from the first of both to the last. */
function together(one: Rows, other: Rows): Rows {
  if (one.top >= one.bottom) return other;
  if (other.top >= other.bottom) return one;
  return { top: Math.min(one.top, other.top), bottom: Math.max(one.bottom, other.bottom) };
}
