import type { GaugeWords } from "./en";

export const gauge: GaugeWords = {
  title: "Medir",
  start: "Regla, calibre, región",
  bar: "Herramientas de medición",
  tools: {
    length: "Regla",
    width: "Calibre del vaso",
    rectangle: "Densidad en un rectángulo",
    ellipse: "Densidad en una elipse",
  },
  how: {
    length: "Trace una línea o pulse en ambos extremos.",
    width: "Pulse en un vaso: el calibre sigue al umbral.",
    rectangle: "Arrastre o pulse en dos esquinas.",
    ellipse: "Arrastre o pulse en dos esquinas.",
  },
  keys: "La barra espaciadora pone una medida en el centro. Las flechas mueven la parte que tiene el foco, con Mayús 10 px; Supr la elimina.",
  kinds: { length: "Regla", width: "Calibre", rectangle: "Rectángulo", ellipse: "Elipse" },
  name: (kind, number) => `${kind} ${number}`,
  parts: { from: "primer extremo", to: "segundo extremo", whole: "lugar" },
  part: (name, part, reading) => `${name}, ${part}${reading && `: ${reading}`}`,
  list: "Mediciones",
  px: (value) => `${value}\u00a0px`,
  um: (value) => `${value}\u00a0µm`,
  noVessel: "Aquí no hay ningún vaso con este umbral",
  outside: "Fuera del campo fotografiado",
  scale: "µm por píxel",
  noScale: "No se conoce. Introdúzcala para leer también en µm.",
  scaleTold: "Según el archivo.",
  scaleForAll: (count) => `Esta escala para las ${count}`,
  save: "Guardar lo medido (CSV)",
};
