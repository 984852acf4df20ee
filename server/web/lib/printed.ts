import type { MeasuredDocument } from "@/lib/api";
import type { Layer } from "@/lib/classes";
import type { Messages } from "@/lib/messages";
import type { Result } from "@/lib/strip";

/** A line of what is printed of a photograph. */
export interface PrintedFact {
  readonly name: string;
  readonly value: string;
  /** Of the class that it is about. */
  readonly colour?: string;
  /** Of words that the server said. */
  readonly lang?: "en";
}

/**
 * All that is told of a photograph on paper. Figures have the names of the table. `shares`: of each layer, 0..1; null where they are not known. `measured`: what the
 * server has measured, where it was asked to.
 */
export function printedFacts(
  result: Result,
  layers: readonly Layer[],
  shares: readonly (number | undefined)[] | null,
  measured: MeasuredDocument | null,
  { print, region, keeping }: Messages,
): PrintedFact[] {
  const figures = Object.entries(measured?.measurements.figures ?? {}).flatMap(([name, figure]) =>
    figure === null ? [] : `${name} ${threeDigits(figure)}`,
  );
  const { model, device, precision, width, height, quality, warnings } = result;
  return [
    ...layers.map(({ name, colour, threshold, shown }, at) => ({
      name: name || print.vessels,
      value: print.density(shares?.[at], region[result.region], threshold) + (shown ? "" : print.notShown),
      colour,
    })),
    { name: print.model, value: print.on(model, device, precision) },
    { name: print.photograph, value: print.pixels(width, height) },
    ...(quality
      ? [{ name: keeping.quality, value: [keeping.verdict[quality.verdict], ...quality.reasons].join(", ") }]
      : []),
    ...warnings.map((value) => ({ name: print.warning, value, lang: "en" as const })),
    ...(figures.length ? [{ name: keeping.measurements, value: figures.join(" · ") }] : []),
  ];
}

/** Without a fraction where it has three digits and more. */
function threeDigits(figure: number): number {
  return Math.abs(figure) >= 100 ? Math.round(figure) : Number(figure.toPrecision(3));
}
