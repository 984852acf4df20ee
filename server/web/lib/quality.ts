/** How far a photograph can be trusted to show its vessels. */
export interface Quality {
  /** "usable": thin vessels may be missing, and figures be less exact. "reject": not to be used for figures. */
  readonly verdict: "good" | "usable" | "reject";
  /** Why it is not good, in the server's words, such as "blurred" or "no_edge". */
  readonly reasons: readonly string[];
}

/** As the server sends it: "good", or "usable: blurred, dark". Null where it was not judged. */
export function qualityOf(text: string): Quality | null {
  const [, verdict, reasons] = /^(good|usable|reject)(?:: (.+))?$/.exec(text) ?? [];
  return verdict ? { verdict: verdict as Quality["verdict"], reasons: reasons?.split(", ") ?? [] } : null;
}
