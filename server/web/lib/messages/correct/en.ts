import type { grammarOf } from "../grammar";

type Grammar = Pick<ReturnType<typeof grammarOf<"one" | "other">>, "number" | "plural">;

/** What the page says of corrections of masks. */
export const correct = ({ number, plural }: Grammar) => ({
  title: "Correct",
  start: "Correct the mask",
  end: "Done",
  endKey: "Done (Escape)",
  tools: { brush: "Brush", eraser: "Eraser", fill: "Fill a gap" },
  toolKey: (tool: string, key: string) => `${tool} (${key})`,
  bar: "Correction tools",
  size: "Size",
  pixels: (count: number) => `${number(count)} px`,
  of: "Of",
  pressure: "Pen pressure sets the size",
  least: "Smaller than",
  leastUnit: "pixels",
  specks: "Remove specks",
  holes: "Fill holes",
  undo: "Undo",
  redo: "Redo",
  discard: "Discard correction",
  corrected: "Corrected by a person",
  said: {
    down: "Brush down. Arrow keys draw, Space lifts it.",
    lifted: "Brush lifted",
    undone: "Undone",
    redone: "Done again",
    specks: (count: number) => plural(count, { one: `${count} pixel removed`, other: `${count} pixels removed` }),
    holes: (count: number) => plural(count, { one: `${count} pixel filled`, other: `${count} pixels filled` }),
    open: "Nothing was filled: this place is not closed on all sides, or is vessel already.",
    discarded: "Correction discarded. Undo brings it back.",
    loaded: (file: string) => `${file} was read as the correction of its photograph.`,
  },
  misfit: {
    alone: (file: string) => `${file}: there is no photograph of this name. Add the photograph too.`,
    refused: (file: string, why: string) => `${file} is no correction of its photograph: ${why}`,
    png: "it is not an 8-bit grey PNG.",
    size: (width: number, height: number, wide: number, high: number) =>
      `it has ${width} × ${height} pixels, the photograph has ${wide} × ${high}.`,
    values: "it has other values than a mask’s.",
    geojson: "it is not GeoJSON of polygons.",
    outside: (width: number, height: number) => `it reaches beyond the photograph’s ${width} × ${height} pixels.`,
    classes: "it has none of the model’s classes.",
    unread: "it could not be read.",
  },
  dismiss: "Dismiss",
});

export type CorrectWords = ReturnType<typeof correct>;
