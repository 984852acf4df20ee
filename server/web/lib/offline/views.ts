import { ApiError } from "@/lib/errors";
import type { Outline } from "@/lib/field";
import type { Grey } from "@/lib/png";
import type { Point, Size } from "@/lib/viewport";

import { type Box, blank, cutOut, each, longerOf, rounded } from "./pixels";
import { around, contourOf, filled, hullOf, partsOf, type Shape, shapeOf, take } from "./shapes";

// What runtime/photo/views.py does, with its numbers and in its words; there are the reasons.
const SURVEY = 256;
const EDGE_RISE = 0.12;
const MIN_RISE = 6;
const MIN_AREA = 0.05;
const MAX_PAGE_RANGE = 6;
const PAGE_EDGE_PIXELS = 2;
const MIN_SECOND = 0.5;
const MAX_WAIST = 0.85;
const MIN_EDGE_POINTS = 12;
const CORNER_SHARE = 0.03;
const MAX_ROUNDNESS_ERROR = 0.02;

/** How large one field of view is, and where, in pixels of the photograph. */
export interface Scale {
  readonly box: Box;
  readonly diameter: number;
  /** Whether its edge was; else the diameter is the longer side. */
  readonly seen: boolean;
  readonly outline: Outline;
}

/** The fields of view of a photograph, given as red, green and blue, the largest first. Throws ApiError. */
export function findScales(channels: readonly Grey[]): Scale[] {
  const { width, height } = channels[0]!;
  const step = Math.max(1, Math.floor(Math.max(width, height) / SURVEY));
  const small = blank({ width: Math.ceil(width / step), height: Math.ceil(height / step) });
  const placeOf = (at: number) => ((at % small.width) + Math.floor(at / small.width) * width) * step;
  const survey = channels.map(({ values }) => each(small, (_, at) => values[placeOf(at)]!));
  const grey = each(small, (_, at) => Math.max(...survey.map(({ values }) => values[at]!)));
  const page = findPage(survey, grey);
  const found = page ? scalesOnPage(grey, page) : scalesInFrame(grey);
  if (!page && !found.length) throw new ApiError("FieldOfViewError", "95 % of its pixels are black, or nearly.");
  return (found.length ? found : [wholeFrame(grey)])
    .map((scale) => enlarged(scale, step, { width, height }))
    .sort((one, other) => longerOf(other.box) - longerOf(one.box));
}

/** Of a photograph reduced by `factor`, in the pixels of the whole one. */
export function enlarged({ box, diameter, seen, outline }: Scale, factor: number, { width, height }: Size): Scale {
  const [right, bottom] = [Math.min(box.right * factor, width), Math.min(box.bottom * factor, height)];
  const larger = { top: box.top * factor, left: box.left * factor, bottom, right };
  const place = (at: number, end: number, largerEnd: number) =>
    at >= end - 1 ? largerEnd - 1 : at && at * factor + Math.floor(factor / 2);
  return {
    box: larger,
    diameter: diameter === longerOf(box) ? longerOf(larger) : diameter * factor,
    seen,
    outline: outline.map(({ x, y }) => ({ x: place(x, box.right, right), y: place(y, box.bottom, bottom) })),
  };
}

function wholeFrame({ width, height }: Size): Scale {
  const box = { top: 0, left: 0, bottom: height, right: width };
  const outline = hullOf([0, width - 1].flatMap((x) => [0, height - 1].map((y) => ({ x, y }))));
  return { box, diameter: longerOf(box), seen: false, outline };
}

/** What surrounds the photograph in one flat colour, as bright as a retina; null where nothing does. */
function findPage(survey: readonly Grey[], grey: Grey): Grey | null {
  const corners = survey.map(cornerMedians); // of each channel four
  const colours = corners.map((four) => four.toSorted((a, b) => a - b)).map(([, low, high]) => (low! + high!) / 2);
  const brightest = Math.max(...colours);
  if (brightest < 2 * MIN_RISE || brightest <= 0.5 * quantile(grey, 0.95)) return null;
  const isPage = (corner: number) =>
    corners.every((four, channel) => Math.abs(four[corner]! - colours[channel]!) <= MAX_PAGE_RANGE);
  if ([0, 1, 2, 3].filter(isPage).length < 3) return null;
  const isAlike = (value: number, colour: number) =>
    value >= rounded(colour - MAX_PAGE_RANGE) && value <= rounded(Math.min(colour + MAX_PAGE_RANGE, 255));
  const alike = each(grey, (_, at) => survey.every(({ values }, channel) => isAlike(values[at]!, colours[channel]!)));
  const last = grey.values.length - 1;
  const page = shapeOf(grey, take(alike, [0, grey.width - 1, last - grey.width + 1, last]));
  return around(page.lit, PAGE_EDGE_PIXELS, (some) => Math.max(...some));
}

function scalesOnPage(grey: Grey, page: Grey): Scale[] {
  const parts = partsOf(each(page, (value) => !value));
  const largest = Math.max(...parts.map(({ length }) => length));
  const least = Math.max((MIN_AREA * grey.values.length) / 4, (MIN_SECOND ** 2 / 2) * largest);
  const shown = each(grey, (value, at) => (page.values[at] ? 0 : value));
  const frames = parts.filter(({ length }) => length >= least).map((places) => shapeOf(grey, places).box);
  return frames.flatMap((frame) => scalesInFrame(cutOut(shown, frame)).map((scale) => moved(scale, frame)));
}

function moved({ box, outline, ...scale }: Scale, { top, left }: Box): Scale {
  const there = { top: box.top + top, left: box.left + left, bottom: box.bottom + top, right: box.right + left };
  return { ...scale, box: there, outline: outline.map(({ x, y }) => ({ x: x + left, y: y + top })) };
}

/** Those of one photograph; none of one that is black. */
function scalesInFrame(sharp: Grey): Scale[] {
  const grey = around(sharp, 1, (nine) => Math.floor((nine.reduce((sum, value) => sum + value) + 4) / 9));
  const background = cornerMedians(grey).sort((a, b) => a - b)[1]!;
  const bright = quantile(grey, 0.95);
  if (bright < MIN_RISE) return [];
  const level = background + Math.max(MIN_RISE, EDGE_RISE * (bright - background));
  const parts = partsOf(each(grey, (value) => value > level)).sort((one, other) => other.length - one.length);
  const area = parts[0]?.length ?? 0;
  if (background > 0.5 * bright || area < MIN_AREA * grey.values.length) return [wholeFrame(grey)];
  const discs = touchingDiscs(shapeOf(grey, parts[0]!));
  const least = MIN_SECOND * Math.max(...discs.map(({ box }) => longerOf(box)));
  const isLarge = ({ box }: Shape) => longerOf(box) >= least;
  const others = parts.slice(1).filter(({ length }) => length >= least); // fewer pixels are no longer
  const shapes = others.map((places) => shapeOf(grey, places)).filter(isLarge);
  const further = shapes.flatMap(touchingDiscs).filter((disc) => isLarge(disc) && isDisc(disc));
  return [...discs, ...further].map(scaleOf);
}

/** Above left and right, below left and right. */
function cornerMedians(grey: Grey): number[] {
  const side = Math.min(grey.width, grey.height, Math.max(2, Math.floor(Math.min(grey.width, grey.height) / 40)));
  const medianAt = (top: number, left: number) =>
    quantile(cutOut(grey, { top, left, bottom: top + side, right: left + side }), 0.5);
  return [0, grey.height - side].flatMap((top) => [0, grey.width - side].map((left) => medianAt(top, left)));
}

/** As numpy's. */
function quantile({ values }: Grey, share: number): number {
  const sorted = values.toSorted();
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place % 1);
}

/** A connected part, or the discs of which it consists: cut where they touch. */
function touchingDiscs(shape: Shape): Shape[] {
  const { lit } = shape;
  const places = [...lit.values.keys()];
  const whole = filled(shape).values;
  for (const of of [(at: number) => at % lit.width, (at: number) => Math.floor(at / lit.width)]) {
    const widths: number[] = [];
    for (const at of places) widths[of(at)] = (widths[of(at)] ?? 0) + whole[at]!;
    const waist = findWaist(widths);
    if (waist === null) continue;
    const halfOf = (before: boolean) => places.filter((at) => lit.values[at] && of(at) < waist === before);
    const halves = [shapeOf(lit, halfOf(true)), shapeOf(lit, halfOf(false))];
    const [less, more] = halves.map(({ box }) => longerOf(box)).sort((a, b) => a - b);
    if (less! >= MIN_SECOND * more! && halves.every(isDisc)) return halves.flatMap(touchingDiscs);
  }
  return [shape];
}

/** Where a shape with these widths is narrower than on either side of it; null: nowhere. */
function findWaist(widths: readonly number[]): number | null {
  const most = (some: readonly number[]) => Math.max(...some);
  const between = widths.map((width, at) => {
    const smaller = Math.min(most(widths.slice(0, at + 1)), most(widths.slice(at)));
    return 2 * smaller >= most(widths) ? width / Math.max(smaller, 1) : 1;
  });
  const least = Math.min(...between);
  return least < MAX_WAIST ? between.indexOf(least) : null;
}

/** The pixels along the outside of a part, without those along the sides of its box. */
function edgePoints({ lit, box: { left, top, right, bottom } }: Shape): Point[] {
  const contours = partsOf(lit).map(([first]) => contourOf(lit, first!));
  const longest = contours.reduce((best, one) => (one.length > best.length ? one : best));
  return longest.filter(({ x, y }) => x > left + 2 && y > top + 2 && x < right - 3 && y < bottom - 3);
}

function scaleOf(shape: Shape): Scale {
  const { lit, box } = shape;
  const inner = around(lit, 1, (nine) => Math.min(...nine));
  const shrunk = inner.values.includes(1) ? inner : lit;
  const outline = hullOf(partsOf(shrunk).flatMap(([first]) => contourOf(shrunk, first!)));
  const diameter = discDiameter(shape);
  return { box, diameter: diameter ?? longerOf(box), seen: diameter !== null, outline };
}

/** Of a disc, by as much of its edge as the frame shows; null where that is too little. */
function discDiameter(shape: Shape): number | null {
  const { lit, box } = shape;
  const { width, height, values } = cutOut(lit, box);
  const [x, y] = [rounded(CORNER_SHARE * width), rounded(CORNER_SHARE * height)];
  const rows = [y, height - 1 - y].map((row) => row * width);
  if (rows.every((start) => values[start + x] && values[start + width - 1 - x])) return null;
  const inside = (box.left > 0 && box.right < lit.width) || (box.top > 0 && box.bottom < lit.height);
  return inside ? longerOf(box) : fitCircle(edgePoints(shape));
}

const isDisc = (shape: Shape) => fitCircle(edgePoints(shape)) !== null;

/** The diameter of the circle through points by least squares; null where they lie on none. */
function fitCircle(points: readonly Point[]): number | null {
  if (points.length < MIN_EDGE_POINTS) return null;
  const mean = (of: (point: Point) => number, some: readonly Point[] = centred) =>
    some.reduce((sum, one) => sum + of(one), 0) / some.length;
  const [left, top] = [mean(({ x }) => x, points), mean(({ y }) => y, points)];
  const centred = points.map(({ x, y }) => ({ x: x - left, y: y - top }));
  const [xx, xy, yy] = [mean(({ x }) => x * x), mean(({ x, y }) => x * y), mean(({ y }) => y * y)];
  const [a, b] = [mean(({ x, y }) => x * (x * x + y * y)) / 2, mean(({ x, y }) => y * (x * x + y * y)) / 2];
  const [across, down] = [(a * yy - b * xy) / (xx * yy - xy * xy), (b * xx - a * xy) / (xx * yy - xy * xy)];
  const radius = Math.sqrt(across * across + down * down + xx + yy);
  const error = mean(({ x, y }) => (Math.hypot(x - across, y - down) - radius) ** 2);
  return Math.sqrt(error) < MAX_ROUNDNESS_ERROR * radius ? 2 * radius : null;
}
