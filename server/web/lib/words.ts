/** A time in ms, in the unit in which it is read at a glance. */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A share of 0..1 in %, with one decimal; "–" where it is not known. */
export function percent(share: number | undefined): string {
  return share === undefined ? "–" : (100 * share).toFixed(1);
}
