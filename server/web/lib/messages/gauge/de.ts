import type { GaugeWords } from "./en";

export const gauge: GaugeWords = {
  title: "Messen",
  start: "Lineal, Breite, Bereich",
  bar: "Messwerkzeuge",
  tools: {
    length: "Lineal",
    width: "Gefäßbreite",
    rectangle: "Dichte in einem Rechteck",
    ellipse: "Dichte in einer Ellipse",
  },
  how: {
    length: "Eine Linie ziehen oder beide Enden antippen. Die Leertaste setzt eine in die Mitte.",
    width: "Ein Gefäß antippen: Die Breite folgt der Schwelle. Die Leertaste setzt eine Messung in die Mitte.",
    rectangle: "Aufziehen oder zwei Ecken antippen. Die Leertaste setzt eines in die Mitte.",
    ellipse: "Aufziehen oder zwei Ecken antippen. Die Leertaste setzt eine in die Mitte.",
  },
  kinds: { length: "Lineal", width: "Breite", rectangle: "Rechteck", ellipse: "Ellipse" },
  name: (kind, number) => `${kind} ${number}`,
  parts: { from: "erstes Ende", to: "zweites Ende", whole: "Ort" },
  part: (name, part, reading) => `${name}, ${part}${reading && `: ${reading}`}`,
  list: "Gemessen",
  px: (value) => `${value}\u00a0px`,
  um: (value) => `${value}\u00a0µm`,
  noVessel: "bei dieser Schwelle hier kein Gefäß",
  outside: "außerhalb des Bildfelds",
  scale: "µm pro Pixel",
  noScale: "Nicht bekannt. Für Angaben in µm bitte eintragen.",
  scaleTold: "Nach Angabe der Datei.",
  scaleForAll: (count) => `Diesen Maßstab für alle ${count}`,
  save: "Gemessenes speichern (CSV)",
};
