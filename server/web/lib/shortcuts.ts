/** What the help shows; the keys are bound where the thing is done. */
export const SHORTCUTS: readonly (readonly [keys: readonly string[], does: string])[] = [
  [["[", "]"], "Threshold down, up by 0.01"],
  [["{", "}"], "Threshold down, up by 0.1"],
  [["R"], "The model’s own threshold"],
  [["V", "O", "M"], "Vessels, original, mask"],
  [["C"], "Compare: wiper on or off"],
  [["<", ">"], "Move the wiper"],
  [["+", "−"], "Zoom in, out"],
  [["0", "1"], "Fit to the window, 100 %"],
  [["←", "→"], "Previous, next photograph"],
  [["↑", "↓"], "A line up, down among all photographs. All four move an enlarged picture that has the focus"],
  [["J", "K"], "Next, previous photograph"],
  [["Enter", "Esc"], "Open a photograph, back to all"],
  [["Delete"], "Remove the photograph that has the focus"],
  [["Ctrl Z"], "Undo"],
  [["U"], "Add photographs"],
  [["S"], "Download the mask"],
  [["?"], "This help"],
];

/** What a key that is held does once only. */
const ONCE = ["c", "s", "u", "?"];

type Press = Pick<KeyboardEvent, "key" | "repeat" | "ctrlKey" | "metaKey" | "altKey" | "getModifierState">;

/** What a press of a key is bound to; nothing where Ctrl or the like makes it the browser's own. */
export function boundTo<T>(press: Press, keys: Readonly<Record<string, T>>): T | undefined {
  // Brackets and braces need AltGr on many keyboards, which some systems report as Ctrl with Alt.
  const modified = (press.ctrlKey || press.metaKey || press.altKey) && !press.getModifierState("AltGraph");
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return modified || (press.repeat && ONCE.includes(key)) ? undefined : keys[key];
}
