import type { Layer, Maps } from "@/lib/classes";
import { type Calibre, distance, middle } from "@/lib/gauge";
import type { Grey } from "@/lib/png";
import { cut } from "@/lib/probability";
import type { Point } from "@/lib/viewport";

const REACH = 1 / 150; // of the longer side: a click so far beside a vessel means it
const LEAST_REACH = 4; // px
const WIDEST = 1 / 8; // of the longer side: what goes on further is no vessel's width
const DIRECTIONS = 48; // in half a turn
const STEP = 0.5; // px along a ray
const HALVINGS = 8; // of a step, at the edge

/** How far a class is above its threshold at a pixel, in levels of its map: 0 and more where the pixel is its own. */
type Excess = (pixel: number) => number;

/**
 * The width of the vessel at a place, across it. The edges are where the probability, between the middles of pixels by linear
 * interpolation, passes the threshold: so they lie between the mask's pixels and those around it, to a fraction of a pixel.
 *
 * Across is found from all directions: of a straight band the squares of 1 / chord are, over the direction, a cosine of twice
 * the angle, whose phase is the narrowest one. No direction alone decides, as it would by the least chord, which rough edges
 * make too small.
 */
export function calibreAt(maps: Maps, layers: readonly Layer[], place: Point): Calibre | null {
  const [map] = maps.maps;
  const found = map && nearest(maps, layers, place, map);
  if (!found) return null;
  const { layer, excess } = found;
  const band = new Band(map, excess);
  let centre = found.at;
  for (let round = 0; ; round++) {
    const chord = band.chord(centre, band.across(centre));
    if (!chord) return null;
    if (round === 2) return { ...chord, px: distance(chord.from, chord.to), layer };
    centre = middle(chord.from, chord.to);
  }
}

/** The middle of the nearest pixel of a class that is shown; null where there is none close by. */
function nearest(
  maps: Maps,
  layers: readonly Layer[],
  place: Point,
  { width, height }: Grey,
): { at: Point; layer: number; excess: Excess } | null {
  const excesses = layers.map((_, number) => excessOf(maps, layers, number));
  const reach = Math.max(LEAST_REACH, REACH * Math.max(width, height));
  let [least, best] = [reach, null as ReturnType<typeof nearest>];
  for (let y = Math.max(0, Math.floor(place.y - reach)); y < Math.min(height, place.y + reach); y++) {
    for (let x = Math.max(0, Math.floor(place.x - reach)); x < Math.min(width, place.x + reach); x++) {
      const at = { x: x + 0.5, y: y + 0.5 };
      const away = distance(at, place);
      const layer = away < least ? layers.findIndex((one, of) => one.shown && excesses[of]!(y * width + x) >= 0) : -1;
      if (layer >= 0) [least, best] = [away, { at, layer, excess: excesses[layer]! }];
    }
  }
  return best;
}

function excessOf({ maps, exclusive }: Maps, layers: readonly Layer[], own: number): Excess {
  const levels = layers.map(({ threshold }) => 255 * threshold);
  const cuts = layers.map(({ threshold }) => cut(threshold));
  const { values } = maps[own]!;
  if (!exclusive || maps.length === 1) return (pixel) => values[pixel]! - levels[own]!;
  return (pixel) => {
    let excess = values[pixel]! - levels[own]!;
    for (let other = 0; other < maps.length; other++) {
      const byte = maps[other]!.values[pixel]!;
      // Of equals the first has the pixel.
      if (other !== own && byte >= cuts[other]!)
        excess = Math.min(excess, values[pixel]! - byte - (other < own ? 0.5 : 0));
    }
    return excess;
  };
}

/** What lies above a threshold. */
class Band {
  private readonly most: number;

  constructor(
    private readonly map: Grey,
    private readonly excess: Excess,
  ) {
    this.most = WIDEST * Math.max(map.width, map.height);
  }

  /** The direction across the band at a point in it, in radians. */
  across(centre: Point): number {
    let [sine, cosine] = [0, 0];
    for (let number = 0; number < DIRECTIONS; number++) {
      const angle = (Math.PI * number) / DIRECTIONS;
      const ahead = this.edge(centre, angle) ?? this.most;
      const chord = ahead + (this.edge(centre, angle + Math.PI) ?? this.most);
      sine += Math.sin(2 * angle) / Math.max(STEP, chord) ** 2;
      cosine += Math.cos(2 * angle) / Math.max(STEP, chord) ** 2;
    }
    return Math.atan2(sine, cosine) / 2;
  }

  /** Both edges in a direction and against it; null where one of them is too far away, or out of the image. */
  chord(centre: Point, angle: number): { from: Point; to: Point } | null {
    const [ahead, behind] = [this.edge(centre, angle), this.edge(centre, angle + Math.PI)];
    if (ahead === null || behind === null) return null;
    return { from: along(centre, angle + Math.PI, behind), to: along(centre, angle, ahead) };
  }

  /** How far it is to the edge. */
  private edge(centre: Point, angle: number): number | null {
    for (let out = 0; out <= this.most; out += STEP) {
      const at = along(centre, angle, out);
      const { width, height } = this.map;
      if (at.x < 0 || at.y < 0 || at.x > width || at.y > height) return null;
      if (this.at(at) >= 0) continue;
      let [inside, outside] = [Math.max(0, out - STEP), out];
      for (let halving = 0; halving < HALVINGS; halving++) {
        const between = (inside + outside) / 2;
        if (this.at(along(centre, angle, between)) >= 0) inside = between;
        else outside = between;
      }
      return (inside + outside) / 2;
    }
    return null;
  }

  private at({ x, y }: Point): number {
    const { width, height } = this.map;
    const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
    const [u, v] = [x - 0.5 - left, y - 0.5 - top];
    const [x0, x1] = [Math.max(0, left), Math.min(width - 1, left + 1)];
    const [y0, y1] = [Math.max(0, top) * width, Math.min(height - 1, top + 1) * width];
    const { excess } = this;
    return (
      (1 - v) * ((1 - u) * excess(y0 + x0) + u * excess(y0 + x1)) +
      v * ((1 - u) * excess(y1 + x0) + u * excess(y1 + x1))
    );
  }
}

function along({ x, y }: Point, angle: number, way: number): Point {
  return { x: x + way * Math.cos(angle), y: y + way * Math.sin(angle) };
}
