import type { Layer } from "@/lib/classes";
import type { Colour, View } from "@/lib/renderer";
import type { Result } from "@/lib/strip";

/** How the result is shown; the same for all photographs. */
export interface Settings {
  /** 0..1; null: the model's own. */
  readonly threshold: number | null;
  readonly view: View;
  /** "#rrggbb" */
  readonly colour: string;
  readonly opacity: number;
  /** Where the photograph alone ends and the result begins, 0..1; null: no comparison. */
  readonly wiper: number | null;
  /** What was chosen for classes of models that tell several apart, by their names. */
  readonly classes: Readonly<Record<string, ClassChoice>>;
}

/** What is not there is the model's. */
export interface ClassChoice {
  readonly threshold?: number | undefined;
  readonly colour?: string;
  readonly hidden?: boolean;
}

/** Blue, and more of it than in the server's own overlays: who can't tell green from red sees it on a red retina. */
export const DEFAULTS: Settings = {
  threshold: null,
  view: "overlay",
  colour: "#33ccff",
  opacity: 0.75,
  wiper: null,
  classes: {},
};

/** The classes of a result as they are shown; before there is one, a single class. */
export function layersOf(result: Pick<Result, "classes" | "threshold"> | null, settings: Settings): Layer[] {
  const { threshold, colour, classes } = settings;
  if (!result?.classes.length)
    return [{ name: "", threshold: threshold ?? result?.threshold ?? 0.5, colour, shown: true }];
  return result.classes.map((own) => {
    const chosen = classes[own.name];
    return {
      name: own.name,
      threshold: chosen?.threshold ?? own.threshold,
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
export function moved(settings: Settings, layers: readonly Layer[], by: number | null): Partial<Settings> {
  const [first] = layers;
  const to = ({ threshold }: Layer) => (by === null ? undefined : hundredths(threshold + by));
  if (!first?.name) return { threshold: (first && to(first)) ?? null };
  const classes = { ...settings.classes };
  for (const one of layers) if (one.shown) classes[one.name] = { ...classes[one.name], threshold: to(one) };
  return { classes };
}

/** Another view. The original is not compared with itself. */
export function seen(view: View, { wiper }: Settings): Partial<Settings> {
  return { view, wiper: view === "original" ? null : wiper };
}

/** The comparison switched on or off. */
export function compared({ view, wiper }: Settings): Partial<Settings> {
  return { wiper: wiper === null ? 0.5 : null, view: view === "original" ? "overlay" : view };
}

export const COLOURS = [
  ["#33ccff", "Blue"],
  ["#00ff66", "Green"],
  ["#ffe600", "Yellow"],
  ["#ff4fd8", "Magenta"],
  ["#ffffff", "White"],
] as const;

export function rgb(colour: string): Colour {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** A number of hundredths within 0..1: sums of 0.01 would drift. */
export function hundredths(value: number): number {
  return Math.round(100 * Math.min(1, Math.max(0, value))) / 100;
}
