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
    length: "Eine Linie ziehen oder beide Enden antippen.",
    width: "Ein Gefäß antippen: Die Breite folgt der Schwelle.",
    rectangle: "Aufziehen oder zwei Ecken antippen.",
    ellipse: "Aufziehen oder zwei Ecken antippen.",
  },
  keys: "Die Leertaste setzt eine Messung in die Mitte. Pfeiltasten bewegen den Teil mit dem Fokus, mit Umschalt um 10 px; Entf löscht sie.",
  kinds: { length: "Lineal", width: "Breite", rectangle: "Rechteck", ellipse: "Ellipse" },
  name: (kind, number) => `${kind} ${number}`,
  parts: { from: "erstes Ende", to: "zweites Ende", whole: "Ort" },
  part: (name, part, reading) => `${name}, ${part}${reading && `: ${reading}`}`,
  list: "Gemessen",
  px: (value) => `${value}\u00a0px`,
  um: (value) => `${value}\u00a0µm`,
  noVessel: "Bei dieser Schwelle hier kein Gefäß",
  outside: "Außerhalb des Bildfelds",
  scale: "µm pro Pixel",
  noScale: "Nicht bekannt. Für Angaben in µm bitte eintragen.",
  scaleTold: "Nach Angabe der Datei.",
  scaleForAll: (count) => `Diesen Maßstab für alle ${count}`,
  save: "Gemessenes speichern (CSV)",
};
