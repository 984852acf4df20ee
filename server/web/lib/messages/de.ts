import { correct } from "./correct/de";
import { DOUBTS } from "./doubts";
import type { Messages } from "./en";
import { gauge } from "./gauge/de";
import { grammarOf } from "./grammar";
import { KEEPING } from "./keeping";
import { MODELS } from "./models";

const { number, percent, duration, plural } = grammarOf<"one" | "other">("de", {
  percent: "\u00a0%",
  milliseconds: "\u00a0ms",
  seconds: "\u00a0s",
});

export const de: Messages = {
  number,
  percent,
  duration,
  title: "vesselrt: Blutgefäße in Augenaufnahmen",
  place: (number, all) => `${number} von ${all}`,
  size: (width, height) => `${width} × ${height}`,
  tryAgain: "Erneut versuchen",
  view: {
    overlay: "Gefäße",
    original: "Original",
    mask: "Maske",
    probability: "Wahrscheinlichkeit",
    spread: "Abweichung",
  },
  region: { "field of view": "des Bildfelds", image: "des Bildes" },
  notMedical: "Kein Medizinprodukt.",
  notForDiagnosis: "Nicht für Diagnose oder Behandlung.",
  header: {
    all: "Alle Aufnahmen",
    allKey: "Alle Aufnahmen (Esc)",
    add: "Hinzufügen",
    help: "Hilfe",
    language: "Sprache",
  },
  invitation: {
    title: "Blutgefäße in Augenaufnahmen",
    mouse: "Ziehen Sie Fundusaufnahmen auf diese Seite, fügen Sie eine ein oder wählen Sie Dateien aus.",
    touch: "Wählen Sie Fundusaufnahmen aus oder machen Sie eine.",
    choose: "Aufnahmen auswählen",
    take: "Aufnahme machen",
    formats:
      "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF oder DICOM. Aufnahmen gehen nur an diesen Server und werden nicht gespeichert.",
    sample: "Beispiel zeigen",
    drop: "Zum Hinzufügen loslassen",
  },
  state: {
    done: "fertig",
    check: "prüfen",
    failed: "Fehler",
    waiting: "wartet",
    working: "Auswertung",
  },
  sending: (share) => `Senden ${percent(share, 0)}`,
  photographs: "Aufnahmen",
  filmStrip: "Filmstreifen",
  remove: (name) => `${name} entfernen`,
  worklist: {
    tally: (figures) => [figures, " fertig"],
    told: (done, all) => `${done} von ${all} fertig`,
    attention: (count) => `${count} zu prüfen`,
    sort: "Sortieren nach",
    by: { name: "Name", density: "Dichte", state: "Status" },
  },
  saveAll: {
    title: "Alle speichern",
    mask: { name: "Masken", kind: "PNG im ZIP" },
    overlay: { name: "Überlagerungen", kind: "PNG im ZIP" },
    geojson: { name: "Umrisse", kind: "GeoJSON im ZIP" },
    csv: { name: "Tabelle", kind: "CSV: Dichte, Schwellenwert, Modell, Hinweise" },
    training: { name: "Trainingsdatensatz", kind: "ZIP mit Bildern und Masken, für vesselrt train" },
    preparing: {
      training: "Masken werden vorbereitet",
      mask: "Masken werden erstellt",
      overlay: "Überlagerungen werden erstellt",
      geojson: "Umrisse werden erstellt",
    },
    saved: {
      mask: (count) => plural(count, { one: `${count} Maske gespeichert.`, other: `${count} Masken gespeichert.` }),
      overlay: (count) =>
        plural(count, { one: `${count} Überlagerung gespeichert.`, other: `${count} Überlagerungen gespeichert.` }),
      geojson: (count) =>
        plural(count, { one: `${count} Umrissdatei gespeichert.`, other: `${count} Umrissdateien gespeichert.` }),
      training: (count, corrected = 0) =>
        `Trainingsdatensatz mit ${number(count)} Aufnahmen gespeichert, davon ${number(corrected)} korrigiert.`,
      csv: "Tabelle gespeichert.",
    },
    missing: (names) => `Keine Datei vom Server für ${names}.`,
    several: (names) =>
      `Weggelassen, da eine Datei mit mehreren Aufnahmen nicht das Bild einer Maske sein kann: ${names}.`,
  },
  doubts: DOUBTS.de,
  keeping: KEEPING.de,
  models: MODELS.de,
  undo: {
    undo: "Rückgängig",
    dismiss: "Schließen",
    forget: "Entferntes endgültig verwerfen",
    removed: (name) => [name, " entfernt."],
    applied: (count) =>
      plural(count, {
        one: `Schwellenwert von ${count} Aufnahme geändert.`,
        other: `Schwellenwert von ${count} Aufnahmen geändert.`,
      }),
  },
  viewer: {
    label: {
      overlay: "Gefäße",
      original: "Original",
      mask: "Maske",
      probability: "Wahrscheinlichkeit",
      spread: "Abweichung",
    },
    heat: {
      probability: "Wahrscheinlichkeit eines Gefäßes",
      spread: "Abweichung der Modelle voneinander (Standardabweichung)",
    },
    peek: "Halten: Original",
    zoom: "Zoom",
    zoomOut: "Verkleinern",
    zoomIn: "Vergrößern",
    fit: "Einpassen (0) oder 100 % (1)",
    wiper: "Vergleich: links das Original",
    wiperAt: (share) => `${percent(share, 0)} Original`,
  },
  notice: {
    unseen: "Dieser Browser kann die Datei nicht anzeigen, deshalb sind nur die Gefäße zu sehen.",
    found: "Gefäße gefunden.",
    waiting: "In der Warteschlange",
    sending: "Wird gesendet",
    finding: "Gefäße werden gesucht",
    serverSaid: "Meldung des Servers",
    key: "Schlüssel",
    keyPattern: "Buchstaben, Ziffern und Zeichen",
    enter: "Weiter",
    gettingReady: "Der Server startet.",
  },
  panel: {
    title: "Ergebnis",
    vesselDensity: "Gefäßdichte",
    quality: { good: "gut", usable: "Mit Vorsicht verwendbar", reject: "Für Messwerte nicht gut genug" },
    density: "Dichte",
    announced: (densities) => `Dichte: ${densities.join(", ")}`,
    vessels: "Gefäße",
    warnings: (count) => plural(count, { one: "Hinweis", other: "Hinweise" }),
    threshold: "Schwellenwert",
    thresholds: "Schwellenwerte",
    thresholdOf: (name) => `${name}: Schwellenwert`,
    more: "Mehr Gefäße",
    surest: "Nur sichere",
    reset: "Zurücksetzen",
    applyToAll: (count) => `Für alle ${count} übernehmen`,
    view: "Ansicht",
    compare: "Mit dem Original vergleichen",
    beside: "Original und Ergebnis nebeneinander",
    opacity: "Deckkraft",
    colour: "Farbe",
    colours: { blue: "Blau", green: "Grün", yellow: "Gelb", magenta: "Magenta", white: "Weiß" },
    otherColour: "Andere Farbe",
    colourOf: (name) => `Farbe von ${name}`,
    show: (name) => `${name} anzeigen`,
  },
  correct: correct(number),
  gauge,
  download: {
    title: "Herunterladen",
    mask: "Maske",
    labelMap: "Klassenkarte",
    overlay: "Überlagerung",
    outlines: "Umrisse",
    maskKind: "Maske PNG",
    noClass: "Alle Klassen sind ausgeblendet.",
    several: "Mit diesen Schwellenwerten, in voller Auflösung, für die angezeigten Klassen.",
    one: "Mit diesem Schwellenwert, in voller Auflösung.",
    preparing: "Wird erstellt …",
    saved: (name) => `${name} gespeichert.`,
  },
  facts: {
    title: "Zu diesem Ergebnis",
    quality: "Qualität",
    model: "Modell",
    device: "Gerät",
    size: "Größe",
    time: "Dauer",
    times: (total, server) => `${duration(total)}, davon ${duration(server)} auf dem Server`,
  },
  print: {
    original: "Original",
    overlay: "Mit den gefundenen Gefäßen",
    vessels: "Gefäße",
    density: (share, region, threshold) =>
      `${percent(share)} ${region}, bei einem Schwellenwert von ${number(threshold, 2)}`,
    notShown: ", ausgeblendet",
    model: "Modell",
    on: (model, device, precision) => `${model}, auf ${device} in ${precision}`,
    photograph: "Aufnahme",
    pixels: (width, height) => `${width} × ${height} Pixel`,
    warning: "Hinweis",
  },
  help: {
    title: "Tasten und Gesten",
    close: "Schließen",
    gestures: "Mausrad oder zwei Finger zum Zoomen, Ziehen zum Verschieben, Doppelklick für 100 % und zurück.",
    drawing:
      "Beim Korrigieren: Ein Finger oder Stift zeichnet, zwei Finger oder die mittlere Maustaste bewegen das Bild.",
    singleKeys: "Einzelne Tasten sind Kurzbefehle",
    rule: "Ein Pixel gilt als Gefäß, wenn seine Wahrscheinlichkeit den Schwellenwert erreicht.",
    density:
      "Die Dichte ist der Anteil der Gefäße am Bildfeld; der Server erkennt das Bildfeld am dunklen Rand der Aufnahme.",
    medical: "Kein Medizinprodukt: nicht für Diagnose oder Behandlung.",
    sample: "Beispielaufnahme: Häggström, CC0.",
    licences: (link) => [link("Lizenzen"), " der Bestandteile dieser Seite."],
    keys: {
      enter: "Eingabe",
      escape: "Esc",
      delete: "Entf",
      undo: "Strg Z",
      redo: "Strg Umschalt Z",
      space: "Leertaste",
    },
    does: {
      step: "Schwellenwert um 0,01 senken, erhöhen; beim Korrigieren Pinsel kleiner, größer",
      leap: "Schwellenwert um 0,1 senken, erhöhen",
      reset: "Schwellenwert des Modells",
      view: "Gefäße, Original, Maske, Wahrscheinlichkeit. O gehalten: so lange das Original",
      compare: "Vergleich ein oder aus",
      wipe: "Vergleichslinie verschieben, in die Mitte setzen",
      beside: "Original und Ergebnis nebeneinander oder nicht",
      zoom: "Vergrößern, verkleinern",
      fit: "Ins Fenster einpassen, 100 %",
      arrows: "Vorige, nächste Aufnahme",
      lines: "Unter allen Aufnahmen eine Zeile nach oben, unten. Alle vier verschieben ein vergrößertes Bild im Fokus",
      next: "Nächste, vorige Aufnahme",
      open: "Aufnahme öffnen, zurück zu allen",
      delete: "Aufnahme im Fokus entfernen",
      undo: "Rückgängig",
      add: "Aufnahmen hinzufügen",
      save: "Maske herunterladen",
      correct: "Maske korrigieren und das beenden",
      tools: "Pinsel, Radierer, Lücke füllen",
      brushDown: "Pinsel aufsetzen, abheben; Pfeiltasten bewegen ihn, mit Umschalt um ein Pixel",
      clean: "Flecken entfernen, Löcher füllen",
      redo: "Wiederholen",
      measure: "Lineal, Gefäßbreite: beginnen und beenden",
      regions: "Dichte in einem Rechteck, in einer Ellipse",
      help: "Diese Hilfe",
    },
  },
  trouble: {
    ImageDecodeError: { title: "Diese Datei konnte nicht als Aufnahme geöffnet werden" },
    ImageTooLargeError: { title: "Diese Aufnahme ist zu groß" },
    FieldOfViewError: {
      title: "Keine Netzhaut gefunden",
      advice: "Die Aufnahme ist schwarz oder zeigt kaum etwas vom Auge. Prüfen Sie, ob es die richtige Datei ist.",
    },
    BusyError: {
      title: "Der Server ist ausgelastet",
      advice: "Andere Aufnahmen warten noch. Versuchen Sie es gleich noch einmal.",
    },
    NotReadyError: {
      title: "Der Server ist nicht bereit",
      advice: "Er startet oder wird beendet. Versuchen Sie es gleich noch einmal.",
    },
    InternalError: {
      title: "Auf dem Server ist ein Fehler aufgetreten",
      advice:
        "Sie können die Aufnahme noch einmal senden. Tritt der Fehler wieder auf, melden Sie ihn dem Betreiber des Servers.",
    },
    Unreachable: {
      title: "Der Server ist nicht erreichbar",
      advice: "Prüfen Sie, ob er läuft und ob dieses Gerät im selben Netz ist, und versuchen Sie es dann erneut.",
    },
    KeyNeeded: {
      title: "Dieser Server verlangt einen Schlüssel",
      advice: "Der Betreiber des Servers kennt ihn. Diese Seite vergisst ihn, wenn ihr Tab geschlossen wird.",
    },
    KeyWrong: {
      title: "Das ist nicht der Schlüssel des Servers",
      advice: "Prüfen Sie ihn Zeichen für Zeichen oder fragen Sie den Betreiber des Servers danach.",
    },
    Empty: {
      title: "Diese Datei ist leer",
      advice:
        "Sie hat 0 Byte: Sie wurde nicht vollständig kopiert oder exportiert. Holen Sie sie noch einmal von der Quelle.",
    },
    Unreadable: {
      title: "Diese Datei ist nicht mehr lesbar",
      advice:
        "Sie wurde nach dem Auswählen verschoben, umbenannt oder geändert, oder ihr Laufwerk fehlt. Fügen Sie sie neu hinzu.",
    },
    ProxyTooLarge: {
      title: "Diese Aufnahme ist zu groß für den Weg zum Server",
      advice:
        "Ein Proxy vor dem Server lehnt Dateien dieser Größe ab. Der Betreiber kann größere zulassen " +
        "(client_max_body_size); kleiner exportiert kommt die Aufnahme vielleicht durch.",
    },
    ProxyRefused: {
      title: "Der Zugang zum Server wurde abgelehnt",
      advice: "Etwas vor dem Server hat diese Anfrage abgelehnt. Melden Sie sich neu an oder fragen Sie den Betreiber.",
    },
    BadGateway: {
      title: "Der Server antwortet nicht",
      advice:
        "Ein Proxy davor antwortet, der Server selbst nicht: Vielleicht startet er neu. Versuchen Sie es gleich noch einmal.",
    },
    GatewayTimeout: {
      title: "Der Server hat zu lange gebraucht",
      advice:
        "Ein Proxy davor hat nicht länger gewartet. Versuchen Sie es erneut; geschieht es wieder, melden Sie es dem Betreiber.",
    },
    CutOff: {
      title: "Der Server hat die Übertragung abgebrochen",
      advice:
        "Vielleicht ist die Datei größer, als er annimmt. Exportieren Sie die Aufnahme kleiner oder versuchen Sie es erneut.",
    },
    Unknown: {
      title: "Die Aufnahme konnte nicht ausgewertet werden",
      advice: "Versuchen Sie es erneut. Tritt der Fehler wieder auf, melden Sie ihn dem Betreiber des Servers.",
    },
  },
};
