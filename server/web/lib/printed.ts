import type { MeasuredDocument } from "@/lib/api";
import type { Layer } from "@/lib/classes";
import type { Messages } from "@/lib/messages";
import { tellWarning } from "@/lib/messages/doubts";
import type { Result } from "@/lib/strip";

/** A line of what is printed of a photograph. */
export interface PrintedFact {
  readonly name: string;
  readonly value: string;
  /** Of the class that it is about. */
  readonly colour?: string;
  /** Of words that the server said. */
  readonly lang?: "en" | undefined;
}

/** What is known of a photograph's vessels. */
interface Told {
  /** Of each layer, 0..1; null where they are not known. */
  readonly shares: readonly (number | undefined)[] | null;
  /** What the server has measured, where it was asked to. */
  readonly measured: MeasuredDocument | null;
  /** Whether a person has corrected them. */
  readonly corrected: boolean;
  /** What was measured on it by hand, in a line; empty where nothing was. */
  readonly gauged: string;
}

/** All that is told of a photograph on paper. Figures have the names of the table. */
export function printedFacts(
  result: Result,
  layers: readonly Layer[],
  { shares, measured, corrected, gauged }: Told,
  { print, region, keeping, correct, gauge, doubts }: Messages,
): PrintedFact[] {
  const figures = Object.entries(measured?.measurements.figures ?? {}).flatMap(([name, figure]) =>
    figure === null ? [] : `${name} ${threeDigits(figure)}`,
  );
  const { model, device, precision, width, height, quality, warnings } = result;
  return [
    ...layers.map(({ name, colour, threshold, shown }, at) => ({
      name: name || print.vessels,
      value:
        print.density(shares?.[at], region[result.region], threshold) +
        (shown ? "" : print.notShown) +
        (corrected ? ` · ${correct.corrected}` : ""),
      colour,
    })),
    { name: print.model, value: print.on(model, device, precision) },
    { name: print.photograph, value: print.pixels(width, height) },
    ...(quality ? [{ name: keeping.quality, value: keeping.verdict[quality.verdict] }] : []),
    ...warnings.map((warning) => {
      const { text: value, lang } = tellWarning(warning, doubts);
      return { name: print.warning, value, lang };
    }),
    ...(gauged ? [{ name: gauge.list, value: gauged }] : []),
    ...(figures.length ? [{ name: keeping.measurements, value: figures.join(" · ") }] : []),
  ];
}

/** Without a fraction where it has three digits and more. */
function threeDigits(figure: number): number {
  return Math.abs(figure) >= 100 ? Math.round(figure) : Number(figure.toPrecision(3));
}
