import { cutsOf, type Layer } from "@/lib/classes";
import type { Correction } from "@/lib/correction";
import { ERASED, KEEP, type Mark, PAINTED, type Run } from "@/lib/correctionMarks";
import { winnerOf } from "@/lib/coverage";
import { breather } from "@/lib/idle";
import type { Messages, Saying } from "@/lib/messages";
import { filled, fitsIn, outlinedIn } from "@/lib/outlined";
import { decodeGreyPng, type Grey, pngTexts } from "@/lib/png";
import type { Thresholds } from "@/lib/settings";
import type { Size } from "@/lib/viewport";

/** A file that this page, the command line or another program wrote of a photograph's masks, and the photograph it names. */
export interface MaskFile {
  readonly file: File;
  /** Of the photograph. */
  readonly stem: string;
}

/** What a file says of a photograph's pixels. */
export interface ReadMasks {
  /** Of each class 1 and 0 for pixels that belong to it or don't, row by row; null where nothing is said of it. */
  readonly bits: readonly (Uint8Array | null)[];
  /** Whether a pixel that has a class of the file may have others too, of which the file can't tell. */
  readonly oneOnly: boolean;
  readonly thresholds: Thresholds;
}

/** Why a file can't be a correction; told in the language in which it is read. */
export class MisfitError extends Error {
  constructor(readonly saying: Saying) {
    super("a file that does not fit");
  }
}

type Misfits = Messages["correct"]["misfit"];

function misfit(choose: (words: Misfits) => string): MisfitError {
  return new MisfitError(({ correct }) => choose(correct.misfit));
}

const SUFFIX = /(?:-[^/]*)?(?:-mask\.png|\.geojson)$/i;
const AGAIN = / \(\d+\)(?=\.[a-z]+$)/; // what browsers add to the name of a second download

/** Whether a file's name is that of a mask or of outlines, and not of a photograph. */
export function isMaskFile({ name }: File): boolean {
  return /-mask( \(\d+\))?\.png$/i.test(name) || /\.geojson$/i.test(name);
}

/** Whether a mask's file is called after a photograph, as the server calls it. */
export function isCalledAfter(mask: File, photograph: File): boolean {
  const name = plain(mask.name.replace(AGAIN, ""));
  const stem = plain(photograph.name.replace(/\.[^.]*$/, ""));
  return (
    name.startsWith(stem) && SUFFIX.test(name) && /^(-[^/]*)?(-mask\.png|\.geojson)$/i.test(name.slice(stem.length))
  );
}

/** As the server writes names: without what file systems refuse. */
function plain(name: string): string {
  return name.normalize("NFC").replace(/[<>:"/\\|?*_]+/g, "_");
}

/** What a mask or outlines say of a photograph of this size, with these classes. Rejects with MisfitError. */
export async function masksIn(file: File, layers: readonly Layer[], size: Size): Promise<ReadMasks> {
  return /\.geojson$/i.test(file.name) ? outlinedMasks(file, layers, size) : pngMasks(file, layers, size);
}

async function pngMasks(file: File, layers: readonly Layer[], size: Size): Promise<ReadMasks> {
  const { width, height, values } = await decodeGreyPng(file).catch(() => {
    throw misfit((words) => words.png);
  });
  if (width !== size.width || height !== size.height) {
    throw misfit((words) => words.size(width, height, size.width, size.height));
  }
  const thresholds = thresholdsIn((await pngTexts(file)).get("Threshold") ?? "", layers);
  const only = layers.findIndex(({ name }) => name && plain(file.name).includes(`-${plain(name)}-mask`));
  const most = values.reduce((most, value) => Math.max(most, value), 0);
  const labels = layers.length > 1 && only < 0;
  if (labels ? most > layers.length : values.some((value) => value !== 0 && value !== 255))
    throw misfit((words) => words.values);
  const bitsOf = (label: number) => values.map((value) => Number(value === label));
  if (labels) return { bits: layers.map((_, number) => bitsOf(number + 1)), oneOnly: true, thresholds };
  const one = bitsOf(255);
  return { bits: layers.map((_, number) => (number === Math.max(0, only) ? one : null)), oneOnly: false, thresholds };
}

async function outlinedMasks(file: File, layers: readonly Layer[], size: Size): Promise<ReadMasks> {
  const features = await file
    .text()
    .then(outlinedIn)
    .catch(() => {
      throw misfit((words) => words.geojson);
    });
  if (!fitsIn(features, size)) throw misfit((words) => words.outside(size.width, size.height));
  const several = layers.length > 1;
  const own = layers.map(({ name }) => features.filter((feature) => !several || feature.name === name));
  if (features.length && own.every((some) => !some.length)) throw misfit((words) => words.classes);
  const bits = own.map((some) =>
    some.length || !several
      ? filled(
          some.flatMap(({ rings }) => rings),
          size,
        )
      : null,
  );
  const told = own.flatMap(([first], number) =>
    first && first.threshold !== null ? [[layers[number]!.name, first.threshold] as const] : [],
  );
  return { bits, oneOnly: false, thresholds: Object.fromEntries(told) };
}

/** "0.5", or "artery:0.5,vein:0.4", as far as there are such classes. */
function thresholdsIn(text: string, layers: readonly Layer[]): Thresholds {
  const told = text.split(",").map((part) => {
    const end = part.lastIndexOf(":");
    return [part.slice(0, Math.max(0, end)), Number(part.slice(end + 1) || Number.NaN)] as const;
  });
  return Object.fromEntries(
    told.filter(([name, value]) => layers.some((one) => one.name === name) && value >= 0 && value <= 1),
  );
}

/**
 * Makes a correction, as one step, of which the masks at some thresholds are those of a file: what differs from the model's
 * is marked, the rest is the model's again. `own`: the model's maps, which the correction is attached to.
 */
export async function correctTo(
  correction: Correction,
  { bits, oneOnly }: ReadMasks,
  own: readonly Grey[],
  layers: readonly Layer[],
): Promise<boolean> {
  const breathe = breather();
  const cuts = cutsOf(
    layers.map((one) => ({ ...one, shown: true })),
    correction.exclusive,
  );
  const classes = own.map(({ values }) => ({ bytes: values }));
  const { width, height } = own[0]!;
  const claimedAt = (pixel: number) => bits.findIndex((one) => one?.[pixel]);
  const markOfOne = (layer: number, pixel: number): Mark => {
    const claimed = claimedAt(pixel);
    const now = winnerOf(classes, cuts, pixel);
    if (claimed >= 0) return claimed === now ? KEEP : claimed === layer ? PAINTED : ERASED;
    return now >= 0 && bits[now] ? ERASED : KEEP;
  };
  const markOfEach = (layer: number, pixel: number): Mark => {
    const said = bits[layer]?.[pixel];
    const isIn = classes[layer]!.bytes[pixel]! >= cuts[layer]!;
    if (said === undefined || Boolean(said) === isIn) return KEEP;
    return said ? PAINTED : oneOnly && claimedAt(pixel) >= 0 ? KEEP : ERASED;
  };
  const markOf = correction.exclusive ? markOfOne : markOfEach;
  correction.begin();
  for (let layer = 0; layer < own.length; layer++) {
    for (let y = 0; y < height; y++) {
      correction.write(runsOf(layer * height + y, width, (x) => markOf(layer, y * width + x)));
      await breathe();
    }
  }
  return correction.end();
}

function* runsOf(row: number, width: number, markAt: (x: number) => Mark): Generator<Run, void> {
  for (let from = 0; from < width; ) {
    const mark = markAt(from);
    let to = from + 1;
    while (to < width && markAt(to) === mark) to++;
    yield { row, from, to, mark };
    from = to;
  }
}
