/** How a language writes what follows a figure, with the space before it where it has one. */
export interface Units {
  readonly percent: string;
  readonly milliseconds: string;
  readonly seconds: string;
}

export interface Grammar<Category extends Intl.LDMLPluralRule> {
  /** A figure with so many decimals. */
  readonly number: (value: number, decimals?: number) => string;
  /** A share of 0..1 in %; "–" where it is not known. */
  readonly percent: (share: number | undefined, decimals?: number) => string;
  /** A time in ms, in the unit in which it is read at a glance. */
  readonly duration: (ms: number) => string;
  /** The form that goes with a count: a language names each of its own. */
  readonly plural: (count: number, forms: Readonly<Record<Category, string>>) => string;
}

/** Figures and plurals of a language, which is named by a BCP 47 tag. */
export function grammarOf<Category extends Intl.LDMLPluralRule>(tag: string, units: Units): Grammar<Category> {
  const rules = new Intl.PluralRules(tag);
  const formats = [0, 1, 2].map(
    (decimals) =>
      new Intl.NumberFormat(tag, {
        minimumFractionDigits: decimals,
        maximumFractionDigits: decimals,
        useGrouping: false,
      }),
  );
  const number = (value: number, decimals = 0) => formats[decimals]!.format(value);
  return {
    number,
    percent: (share, decimals = 1) => `${share === undefined ? "–" : number(100 * share, decimals)}${units.percent}`,
    duration: (ms) => (ms < 1000 ? number(ms) + units.milliseconds : number(ms / 1000, 1) + units.seconds),
    plural: (count, forms) => forms[rules.select(count) as Category],
  };
}
