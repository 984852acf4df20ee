import type { Colour, View } from "@/lib/renderer";

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
}

/** The colour and opacity of the server's own overlays. */
export const DEFAULTS: Settings = { threshold: null, view: "overlay", colour: "#00ff66", opacity: 0.55, wiper: null };

/** Another view. The original is not compared with itself. */
export function seen(view: View, { wiper }: Settings): Partial<Settings> {
  return { view, wiper: view === "original" ? null : wiper };
}

/** The comparison switched on or off. */
export function compared({ view, wiper }: Settings): Partial<Settings> {
  return { wiper: wiper === null ? 0.5 : null, view: view === "original" ? "overlay" : view };
}

export const COLOURS = [
  ["#00ff66", "Green"],
  ["#33ccff", "Blue"],
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
