import type { Size } from "@/lib/viewport";

type Ring = readonly (readonly [x: number, y: number])[];

/** What a GeoJSON file outlines as one class. */
export interface Outlined {
  readonly name: string;
  readonly rings: readonly Ring[];
  /** 0..1; null where the file tells none. */
  readonly threshold: number | null;
}

/** The polygons of a GeoJSON file, as the server writes it or QuPath exports it. Throws for anything else. */
export function outlinedIn(text: string): Outlined[] {
  const document: unknown = JSON.parse(text);
  const { type, features } = Object(document) as { type?: unknown; features?: unknown };
  const list = Array.isArray(document) ? document : type === "FeatureCollection" ? features : [document];
  if (!Array.isArray(list)) throw new Error("no features");
  return list.map(featureOf);
}

function featureOf(feature: unknown): Outlined {
  const { geometry, properties } = Object(feature) as Record<string, unknown>;
  const { type, coordinates } = Object(geometry) as { type?: unknown; coordinates?: unknown };
  const { classification, threshold } = Object(properties) as Record<string, unknown>;
  const { name } = Object(classification) as { name?: unknown };
  const polygons = type === "Polygon" ? [coordinates] : type === "MultiPolygon" ? coordinates : null;
  if (!Array.isArray(polygons)) throw new Error("a feature that is no polygon");
  return {
    name: typeof name === "string" ? name : "",
    rings: polygons.flat().map(ringOf),
    threshold: typeof threshold === "number" && threshold >= 0 && threshold <= 1 ? threshold : null,
  };
}

function ringOf(points: unknown): Ring {
  if (!Array.isArray(points)) throw new Error("a ring without points");
  return points.map((point): [number, number] => {
    const [x, y] = Array.isArray(point) ? point : [];
    if (!Number.isFinite(x) || !Number.isFinite(y)) throw new Error("a point that is none");
    return [x, y];
  });
}

/** Whether all points lie in an image, or on its edge. */
export function fitsIn(outlined: readonly Outlined[], { width, height }: Size): boolean {
  return outlined.every(({ rings }) =>
    rings.every((ring) => ring.every(([x, y]) => x >= 0 && y >= 0 && x <= width && y <= height)),
  );
}

/** 1 for each pixel whose middle is inside the rings by the even-odd rule, which makes holes of the inner ones. */
export function filled(rings: readonly Ring[], { width, height }: Size): Uint8Array {
  const bits = new Uint8Array(width * height);
  const crossings = Array.from({ length: height }, (): number[] => []);
  for (const ring of rings) {
    ring.forEach(([x, y], number) => {
      const [u, v] = ring[(number + 1) % ring.length]!;
      const [top, bottom] = [Math.min(y, v), Math.max(y, v)];
      for (let row = Math.max(0, Math.ceil(top - 0.5)); row < Math.min(height, Math.ceil(bottom - 0.5)); row++)
        crossings[row]!.push(x + ((row + 0.5 - y) / (v - y)) * (u - x));
    });
  }
  crossings.forEach((across, row) => {
    across.sort((one, other) => one - other);
    for (let at = 0; at + 1 < across.length; at += 2) {
      const [from, to] = [Math.ceil(across[at]! - 0.5), Math.ceil(across[at + 1]! - 0.5)];
      bits.fill(1, row * width + Math.max(0, from), row * width + Math.min(width, Math.max(0, from, to)));
    }
  });
  return bits;
}
