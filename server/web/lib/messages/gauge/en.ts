/** What the page says of what is measured on a photograph. */
export const gauge = {
  title: "Measure",
  start: "Ruler, width, region",
  bar: "Measuring tools",
  tools: {
    length: "Ruler",
    width: "Vessel width",
    rectangle: "Density of a rectangle",
    ellipse: "Density of an ellipse",
  },
  /** How a tool is used. */
  how: {
    length: "Drag a line, or press at both ends.",
    width: "Press on a vessel: the width follows the threshold.",
    rectangle: "Drag, or press at two corners.",
    ellipse: "Drag, or press at two corners.",
  },
  keys: "Space puts one in the middle. Arrow keys move a part that has the focus, with Shift by 10 px; Delete removes it.",
  kinds: { length: "Ruler", width: "Width", rectangle: "Rectangle", ellipse: "Ellipse" },
  name: (kind: string, number: number) => `${kind} ${number}`,
  parts: { from: "first end", to: "second end", whole: "place" },
  part: (name: string, part: string, reading: string) => `${name}, ${part}${reading && `: ${reading}`}`,
  list: "Measured",
  px: (value: string) => `${value} px`,
  um: (value: string) => `${value} µm`,
  noVessel: "No vessel here at this threshold",
  outside: "Outside of the field of view",
  scale: "µm per pixel",
  noScale: "Not known. Enter it to read µm too.",
  scaleTold: "As the file tells it.",
  scaleForAll: (count: number) => `This scale for all ${count}`,
  save: "Save what is measured (CSV)",
};

export type GaugeWords = typeof gauge;
