import { Coverage, countExclusive, countingExclusive, type Rows, sideOf } from "@/lib/coverage";
import { heatLayer } from "@/lib/heatLayer";
import { whenIdle } from "@/lib/idle";
import { reducedFor } from "@/lib/reduce";
import { type Colour, inkOf, isHeat, NO_PICTURE, type Picture, type Renderer, type Scene } from "@/lib/renderer";
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
    this.picture = picture;
    this.laidOut = this.shown = "";
  }

  draw(scene: Scene): void {
    const corner = deviceOrigin(scene.viewport, this.canvas);
    const { viewport, samples, moving, ...look } = scene;
    const shown = JSON.stringify([this.canvas.width, this.canvas.height, viewport.scale, look]);
    if (moving && shown === this.shown && scene.wiper === 0) this.shift(scene, corner);
    else this.drawAll(scene);
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
      if (side === wanted) return;
    }
    this.stopPreparing = whenIdle([this.refine(viewport, wanted)]);
  }

  private setVessels(vessels: readonly Vessels[]): void {
    this.drawn = this.counted = "";
    this.heat = null;
    this.vessels = vessels;
    this.stopPreparing = whenIdle(vessels.map(({ coverage }) => coverage.prepare()));
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
    yield; // to draw is a step of its own
    this.drawAll(this.scene!);
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

const NOTHING: Rows = { top: 0, bottom: 0 };

/** The rows from the first of both to the last. */
function together(one: Rows, other: Rows): Rows {
  if (one.top >= one.bottom) return other;
  if (other.top >= other.bottom) return one;
  return { top: Math.min(one.top, other.top), bottom: Math.max(one.bottom, other.bottom) };
}

/** The vessels of a class in one colour, as a layer of the size of what is seen of the image. */
class Vessels {
  readonly layer = layer();
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  private readonly image: ImageData;
  private readonly words: Uint32Array;
  /** The word for each count. */
  private ink = new Uint32Array(0);
  private look = "";

  constructor(readonly coverage: Coverage) {
    const { left, top, width, height } = coverage;
    this.left = left;
    this.top = top;
    this.width = width;
    this.height = height;
    this.image = new ImageData(Math.max(1, width), Math.max(1, height));
    this.words = new Uint32Array(this.image.data.buffer);
    this.layer.canvas.width = this.image.width;
    this.layer.canvas.height = this.image.height;
  }

  /** Returns the rows of the canvas that have changed. */
  setCut(cut: number, colour: Colour): Rows {
    const { coverage, words } = this;
    const { counts } = coverage;
    const repaint = this.setInk(colour);
    const { ink } = this;
    const rows = coverage.setCut(cut, (pixel) => {
      words[pixel] = ink[counts[pixel]!]!;
    });
    if (repaint) return this.paintAll();
    this.put(rows);
    return { top: this.top + rows.top, bottom: this.top + rows.bottom };
  }

  /** The counts as they are. Returns the rows of the canvas that have changed. */
  paint(colour: Colour, recounted: boolean): Rows {
    return this.setInk(colour) || recounted ? this.paintAll() : NOTHING;
  }

  /** Whether it is another ink than before. */
  private setInk(colour: Colour): boolean {
    const { samples } = this.coverage;
    const look = colour.join();
    if (look === this.look) return false;
    this.look = look;
    this.ink = Uint32Array.from({ length: samples + 1 }, (_, n) => word(n / samples, colour));
    return true;
  }

  private paintAll(): Rows {
    const { counts } = this.coverage;
    const { words, ink } = this;
    for (let pixel = 0; pixel < counts.length; pixel++) words[pixel] = ink[counts[pixel]!]!;
    this.put({ top: 0, bottom: this.height });
    return { top: this.top, bottom: this.top + this.height };
  }

  private put({ top, bottom }: Rows): void {
    this.layer.putImageData(this.image, 0, 0, 0, top, this.image.width, bottom - top);
  }
}

/** R, G, B, A as an ImageData holds them; every platform that runs a browser reads them as little-endian words. */
function word(share: number, [red, green, blue]: Colour): number {
  return ((Math.round(255 * share) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** A canvas in main memory that is not shown. */
function layer(): OffscreenCanvasRenderingContext2D {
  return new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
}
