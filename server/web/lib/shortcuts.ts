/** What the help shows; the keys are bound where the thing is done. */
export const SHORTCUTS: readonly (readonly [keys: readonly string[], does: string])[] = [
  [["[", "]"], "Threshold down, up by 0.01"],
  [["{", "}"], "Threshold down, up by 0.1"],
  [["R"], "The model’s own threshold"],
  [["V", "O", "M"], "Overlay, original, mask"],
  [["C"], "Compare: wiper on or off"],
  [["<", ">"], "Move the wiper"],
  [["+", "−"], "Zoom in, out"],
  [["0", "1"], "Fit to the window, 100 %"],
  [["←", "→", "↑", "↓"], "Move the picture, when it has the focus"],
  [["J", "K"], "Next, previous photograph"],
  [["U"], "Add photographs"],
  [["S"], "Download the mask"],
  [["?"], "This help"],
];
