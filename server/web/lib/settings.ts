import type { Layer } from "@/lib/classes";
import type { Colour, View } from "@/lib/renderer";
import type { Result } from "@/lib/strip";

/** How results are shown; the same for all photographs. */
export interface Settings {
  readonly view: View;
  /** "#rrggbb" */
  readonly colour: string;
  readonly opacity: number;
  /** Where the photograph alone ends and the result begins, 0..1; null: no comparison. */
  readonly wiper: number | null;
  /** Whether the photograph alone is seen beside the result; never together with the wiper. */
  readonly beside: boolean;
  /** What was chosen for classes of models that tell several apart, by their names. */
  readonly classes: Readonly<Record<string, ClassChoice>>;
}

/** What is not there is the model's. */
export interface ClassChoice {
  readonly colour?: string;
  readonly hidden?: boolean;
}

/**
 * What was chosen for one photograph, 0..1, by the names of classes; of a model that tells none apart by "". What is not
 * there is the model's.
 */
export type Thresholds = Readonly<Record<string, number>>;

/** Blue, and more of it than in the server's own overlays: who can't tell green from red sees it on a red retina. */
export const DEFAULTS: Settings = {
  view: "overlay",
  colour: "#33ccff",
  opacity: 0.75,
  wiper: null,
  beside: false,
  classes: {},
};

/** The classes of a result as they are shown; before there is one, a single class. */
export function layersOf(
  result: Pick<Result, "classes" | "threshold"> | null,
  thresholds: Thresholds,
  { colour, classes }: Pick<Settings, "colour" | "classes">,
): Layer[] {
  if (!result?.classes.length)
    return [{ name: "", threshold: thresholds[""] ?? result?.threshold ?? 0.5, colour, shown: true }];
  return result.classes.map((own) => {
    const chosen = classes[own.name];
    return {
      name: own.name,
      threshold: thresholds[own.name] ?? own.threshold,
      colour: chosen?.colour ?? own.colour,
      shown: !chosen?.hidden,
    };
  });
}

/** A choice for one class. */
export function chosen({ classes }: Settings, name: string, choice: ClassChoice): Partial<Settings> {
  return { classes: { ...classes, [name]: { ...classes[name], ...choice } } };
}

/** The thresholds of all classes that are shown moved by so much; null: back to the model's. */
export function moved(thresholds: Thresholds, layers: readonly Layer[], by: number | null): Thresholds {
  const others = Object.entries(thresholds).filter(([name]) => !layers.some((one) => one.shown && one.name === name));
  if (by === null) return Object.fromEntries(others);
  const shown = layers.filter((one) => one.shown);
  return {
    ...Object.fromEntries(others),
    ...Object.fromEntries(shown.map(({ name, threshold }) => [name, hundredths(threshold + by)])),
  };
}

/** Whether two choices are the same. */
export function sameThresholds(one: Thresholds, other: Thresholds): boolean {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => one[name] === other[name]);
}

/** Another view. The original is not compared with itself. */
export function seen(view: View, { wiper, beside }: Settings): Partial<Settings> {
  return view === "original" ? { view, wiper: null, beside: false } : { view, wiper, beside };
}

/** The comparison switched on or off. */
export function compared({ view, wiper }: Settings): Partial<Settings> {
  return { wiper: wiper === null ? 0.5 : null, beside: false, view: view === "original" ? "overlay" : view };
}

/** The photograph beside the result, or not. */
export function setBeside({ view, beside }: Settings): Partial<Settings> {
  return { beside: !beside, wiper: null, view: view === "original" ? "overlay" : view };
}

/** The same while the original alone is looked at for a moment. */
export function peeked(settings: Settings): Settings {
  return { ...settings, view: "original", wiper: null };
}

export const COLOURS = [
  ["#33ccff", "blue"],
  ["#00ff66", "green"],
  ["#ffe600", "yellow"],
  ["#ff4fd8", "magenta"],
  ["#ffffff", "white"],
] as const;

export function rgb(colour: string): Colour {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** A number of hundredths within 0..1: sums of 0.01 would drift. */
export function hundredths(value: number): number {
  return Math.round(100 * Math.min(1, Math.max(0, value))) / 100;
}
