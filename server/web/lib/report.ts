import type { Layer } from "@/lib/classes";
import { type Corrected, correctedMaps } from "@/lib/corrected";
import { vesselShares } from "@/lib/cover";
import { mapsOf } from "@/lib/decoded";
import { nameOf } from "@/lib/frames";
import { breather } from "@/lib/idle";
import { measuredOf } from "@/lib/measurements";
import type { Messages } from "@/lib/messages";
import { type PdfPage, pdfOf } from "@/lib/pdf";
import { decodeGreyPng } from "@/lib/png";
import { type PrintedFact, printedFacts } from "@/lib/printed";
import { cut } from "@/lib/probability";
import { measuredText, readingsOf, scaleOf } from "@/lib/readings";
import { halvesOf, reducedFor } from "@/lib/reduce";
import { layersOf, rgb, type Settings } from "@/lib/settings";
import type { Photograph, Result } from "@/lib/strip";
import type { Size } from "@/lib/viewport";
import { sharesOf } from "@/lib/worklist";

const DOTS = 200 / 25.4; // px of a mm: 200 for an inch
const PAGE = { width: 1654, height: 2339 }; // px: A4
const MARGIN = 15 * DOTS;
const GAP = 5 * DOTS;
const TALLEST = 130 * DOTS; // of a picture
const COLUMN = 30 * DOTS; // of the names of facts
const SIZES = { title: 40, text: 28, small: 25 }; // px: 14, 10 and 9 points
const QUALITY = 0.88; // of the JPEG: letters stay clean

/** A PDF file with a page for each photograph that has a result, as it is printed. Rejects with the signal's reason. */
export async function reportOf(
  photographs: readonly Photograph[],
  settings: Settings,
  words: Messages,
  onDone: (count: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  const pages: PdfPage[] = [];
  for (const photograph of photographs) {
    const { progress } = photograph;
    if (progress.step !== "done") continue;
    pages.push(await pageOf(photograph, progress.result, settings, words));
    signal.throwIfAborted();
    onDone(pages.length);
  }
  return pdfOf(pages, words.title, document.documentElement.lang);
}

/** One at a time is decoded, and not remembered: all of them would not fit into memory. */
async function pageOf(photograph: Photograph, result: Result, settings: Settings, words: Messages): Promise<PdfPage> {
  const name = nameOf(photograph);
  const layers = layersOf(result, photograph.thresholds, settings);
  const gauged = measuredText(await readingsOf(photograph, settings), layers, scaleOf(photograph), words);
  const facts = printedFacts(result, layers, { ...toldOf(photograph), gauged }, words);
  const { canvas, context } = emptyPage();
  let y = written(context, isolated(name), MARGIN, MARGIN, PAGE.width - 2 * MARGIN, `650 ${SIZES.title}px`) + GAP;
  const size = pictureSize(result);
  const original = await originalOf(result, size);
  const right = PAGE.width - MARGIN - size.width;
  const [first, second] = rightToLeft() ? [right, MARGIN] : [MARGIN, right];
  context.drawImage(original, first, y);
  context.drawImage(original, second, y);
  context.globalAlpha = settings.opacity;
  for (const layer of await vesselsOf(result, photograph.corrected, layers, size)) context.drawImage(layer, second, y);
  context.globalAlpha = 1;
  y += size.height + DOTS;
  const { print } = words;
  written(context, print.original, first, y, size.width, `${SIZES.small}px`);
  y = written(context, print.overlay, second, y, size.width, `${SIZES.small}px`) + GAP;
  for (const fact of facts) y = factWritten(context, fact, y);
  y = written(context, words.notMedical, MARGIN, y + GAP, PAGE.width - 2 * MARGIN, `650 ${SIZES.text}px`);
  written(context, words.notForDiagnosis, MARGIN, y, PAGE.width - 2 * MARGIN, `${SIZES.text}px`);
  const told = facts.map(({ name, value }) => `${name}: ${value}`);
  return {
    jpeg: await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY }),
    ...PAGE,
    title: name,
    text: [name, ...told, words.notMedical, words.notForDiagnosis].join(". "),
  };
}

function toldOf(photograph: Photograph) {
  return {
    shares: sharesOf(photograph),
    measured: measuredOf(photograph),
    corrected: photograph.corrected?.some ?? false,
  };
}

function emptyPage() {
  const canvas = new OffscreenCanvas(PAGE.width, PAGE.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, PAGE.width, PAGE.height);
  context.textBaseline = "top";
  context.direction = rightToLeft() ? "rtl" : "ltr";
  return { canvas, context };
}

/** Two of them stand side by side. */
function pictureSize({ width, height }: Size): Size {
  const scale = Math.min((PAGE.width - 2 * MARGIN - GAP) / 2 / width, TALLEST / height);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}

/** The photograph reduced; black where the browser can't show it. */
async function originalOf({ photograph, width }: Result, size: Size): Promise<OffscreenCanvas> {
  const canvas = new OffscreenCanvas(size.width, size.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillRect(0, 0, size.width, size.height);
  const decoded = photograph && (await createImageBitmap(photograph).catch(() => null));
  if (!decoded) return canvas;
  const { image, smooth } = reducedFor(decoded, await halvesOf(decoded, size.width / 2), size.width / width);
  context.imageSmoothingQuality = smooth;
  context.drawImage(image, 0, 0, size.width, size.height);
  decoded.close();
  return canvas;
}

/** Of each class that is shown its vessels in its colour, as opaque as the share of them below a pixel. */
async function vesselsOf(
  result: Result,
  corrected: Corrected | null,
  layers: readonly Layer[],
  size: Size,
): Promise<OffscreenCanvas[]> {
  const maps = correctedMaps(mapsOf(await decodeGreyPng(result.map), layers.length), corrected);
  const cuts = layers.map(({ threshold }) => cut(threshold));
  const shares = await vesselShares({ maps, exclusive: result.exclusive }, cuts, size);
  const breathe = breather();
  const drawn: OffscreenCanvas[] = [];
  for (const [number, { colour, shown }] of layers.entries()) {
    if (!shown) continue;
    const image = new ImageData(size.width, size.height);
    const [red, green, blue] = rgb(colour);
    for (let place = 0; place < size.width * size.height; place++) {
      image.data.set([red, green, blue, shares[number]![place]!], 4 * place);
      if (place % size.width === 0) await breathe();
    }
    const canvas = new OffscreenCanvas(size.width, size.height);
    canvas.getContext("2d", { willReadFrequently: true })!.putImageData(image, 0, 0);
    drawn.push(canvas);
  }
  return drawn;
}

type Context = OffscreenCanvasRenderingContext2D;

/** Name and value of a fact, and a line below them. Returns where the next one begins. */
function factWritten(context: Context, { name, value, colour }: PrintedFact, top: number): number {
  const mirrored = rightToLeft();
  const width = PAGE.width - 2 * MARGIN - COLUMN;
  const [names, values] = mirrored ? [PAGE.width - MARGIN - COLUMN, MARGIN] : [MARGIN, MARGIN + COLUMN];
  const y = top + DOTS;
  const dot = colour ? 4 * DOTS : 0;
  if (colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(mirrored ? values + width - 1.5 * DOTS : values + 1.5 * DOTS, y + 14, 1.5 * DOTS, 0, 2 * Math.PI);
    context.fill();
  }
  const end = Math.max(
    written(context, name, names, y, COLUMN - DOTS, `${SIZES.text}px`),
    written(context, value, mirrored ? values : values + dot, y, width - dot, `${SIZES.text}px`),
  );
  context.fillStyle = "#999";
  context.fillRect(MARGIN, end + DOTS / 2, PAGE.width - 2 * MARGIN, 1);
  return end + DOTS;
}

/** Writes a text in lines that are no wider than `width`. Returns where the next line would be. */
function written(context: Context, text: string, left: number, top: number, width: number, font: string): number {
  context.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  context.fillStyle = "#000";
  context.textAlign = "start";
  const height = 1.35 * Number.parseInt(/(\d+)px/.exec(font)![1]!, 10);
  const start = rightToLeft() ? left + width : left;
  const lines = linesOf(text, (line) => context.measureText(line).width <= width);
  for (const [number, line] of lines.entries()) context.fillText(line, start, top + number * height);
  return top + lines.length * height;
}

/** A text in lines that fit: broken between words, and words that fit into no line between their letters. */
export function linesOf(text: string, fits: (line: string) => boolean): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (fits(longer)) {
      line = longer;
      continue;
    }
    if (line) lines.push(line);
    line = "";
    for (const { segment } of new Intl.Segmenter().segment(word)) {
      if (line && !fits(line + segment)) {
        lines.push(line);
        line = "";
      }
      line += segment;
    }
  }
  return [...lines, line];
}

/** A name keeps its own direction, whatever stands beside it. */
function isolated(name: string): string {
  return `\u2068${name}\u2069`;
}

function rightToLeft(): boolean {
  return document.documentElement.dir === "rtl";
}
