// The words of runtime/photo/quality.py, of which tests/preparation.test.ts is witness.
const GUESSED =
  "No edge of the field of view is seen, so the scale is a guess: the longer side is taken for the diameter. " +
  "Tell the scale if you know it.";

/** What is doubtful about the fields of view of a photograph, in sentences. `seen`: whether their edges were. */
export function warningsOf(fields: number, seen: boolean): string[] {
  return [
    ...(fields > 1 ? [`${fields} fields of view are seen; each is segmented at its own scale.`] : []),
    ...(seen ? [] : [GUESSED]),
  ];
}
