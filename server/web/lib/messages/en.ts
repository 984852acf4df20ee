import type { ReactNode } from "react";

import { correct } from "./correct/en";
import { DOUBTS } from "./doubts";
import { gauge } from "./gauge/en";
import { grammarOf } from "./grammar";
import { KEEPING } from "./keeping";
import { MODELS } from "./models";

const { number, percent, duration, plural } = grammarOf<"one" | "other">("en", {
  percent: " %",
  milliseconds: " ms",
  seconds: " s",
});

/**
 * All that the page says. The other languages have the same entries, which the type `Messages` proves. An entry with a
 * `ReactNode` is a sentence around something that is not text alone, such as a file's name.
 */
export const en = {
  number,
  percent,
  duration,
  title: "vesselrt: blood vessels in eye photographs",
  /** "2 of 3" */
  place: (number: number, all: number) => `${number} of ${all}`,
  size: (width: number, height: number) => `${width} × ${height}`,
  tryAgain: "Try again",
  view: {
    overlay: "Vessels",
    original: "Original",
    mask: "Mask",
    probability: "Probability",
    spread: "Disagreement",
  },
  region: { "field of view": "of the field of view", image: "of the image" },
  notMedical: "Not a medical device.",
  notForDiagnosis: "Not for diagnosis or treatment.",
  header: {
    all: "All photographs",
    allKey: "All photographs (Escape)",
    add: "Add photographs",
    help: "Help",
    language: "Language",
  },
  invitation: {
    title: "Blood vessels in eye photographs",
    mouse: "Drop fundus photographs anywhere on this page, paste one, or choose them from your files.",
    touch: "Choose fundus photographs, or take one.",
    choose: "Choose photographs",
    take: "Take a photograph",
    formats:
      "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF or DICOM. Photographs go to this server only, and are not stored.",
    sample: "Show the sample",
    drop: "Drop to add",
  },
  /** How far a photograph has come. */
  state: { done: "done", check: "check", failed: "failed", waiting: "waiting", working: "analysing" },
  sending: (share: number) => `sending ${percent(share, 0)}`,
  photographs: "Photographs",
  filmStrip: "Film strip",
  remove: (name: string) => `Remove ${name}`,
  worklist: {
    tally: (figures: ReactNode): ReactNode => [figures, " done"],
    told: (done: number, all: number) => `${done} of ${all} done`,
    attention: (count: number) => plural(count, { one: `${count} needs attention`, other: `${count} need attention` }),
    sort: "Sort by",
    by: { name: "Name", density: "Density", state: "State" },
  },
  saveAll: {
    title: "Save all",
    mask: { name: "Masks", kind: "ZIP of PNG" },
    overlay: { name: "Overlays", kind: "ZIP of PNG" },
    geojson: { name: "Outlines", kind: "ZIP of GeoJSON" },
    csv: { name: "Table", kind: "CSV: density, threshold, model, warnings" },
    training: { name: "Training set", kind: "ZIP of images and masks, for vesselrt train" },
    preparing: {
      mask: "Preparing masks",
      overlay: "Preparing overlays",
      geojson: "Preparing outlines",
      training: "Preparing masks",
    },
    saved: {
      mask: (count: number) => plural(count, { one: `${count} mask saved.`, other: `${count} masks saved.` }),
      overlay: (count: number) => plural(count, { one: `${count} overlay saved.`, other: `${count} overlays saved.` }),
      geojson: (count: number) => plural(count, { one: `${count} outline saved.`, other: `${count} outlines saved.` }),
      training: (count: number, corrected = 0) =>
        plural(count, {
          one: `Training set of ${count} photograph saved, ${corrected} corrected.`,
          other: `Training set of ${count} photographs saved, ${corrected} corrected.`,
        }),
      csv: "Table saved.",
    },
    missing: (names: string) => `The server made none of ${names}.`,
    several: (names: string) => `Left out, for a file of several photographs can’t be the image of one mask: ${names}.`,
  },
  doubts: DOUBTS.en,
  keeping: KEEPING.en,
  models: MODELS.en,
  undo: {
    undo: "Undo",
    dismiss: "Dismiss",
    forget: "Forget what was removed",
    removed: (name: ReactNode): ReactNode => [name, " removed."],
    applied: (count: number) =>
      plural(count, {
        one: `The threshold of ${count} photograph was changed.`,
        other: `The threshold of ${count} photographs was changed.`,
      }),
  },
  viewer: {
    label: {
      overlay: "vessels",
      original: "original",
      mask: "mask",
      probability: "probability",
      spread: "disagreement",
    },
    /** What the colours of a heat map stand for. */
    heat: { probability: "Probability of a vessel", spread: "How far the models differ (standard deviation)" },
    peek: "Hold: original",
    zoom: "Zoom",
    zoomOut: "Zoom out",
    zoomIn: "Zoom in",
    fit: "Fit (0) or 100 % (1)",
    wiper: "Comparison: original on the left",
    wiperAt: (share: number) => `${percent(share, 0)} original`,
  },
  notice: {
    unseen: "This browser can’t show this file, so the vessels alone are shown.",
    found: "Vessels found.",
    waiting: "Waiting for its turn",
    sending: "Sending",
    finding: "Finding vessels",
    serverSaid: "What the server said",
    key: "Key",
    keyPattern: "Letters, digits and signs",
    enter: "Go on",
    gettingReady: "The server is getting ready.",
  },
  panel: {
    title: "Result",
    vesselDensity: "Vessel density",
    /** How far a photograph can be trusted to show its vessels; the warnings say why. */
    quality: { good: "good", usable: "Usable with care", reject: "Not good enough for figures" },
    density: "Density",
    announced: (densities: readonly string[]) => `Density: ${densities.join(", ")}`,
    vessels: "vessels",
    warnings: (count: number) => plural(count, { one: "Warning", other: "Warnings" }),
    threshold: "Threshold",
    thresholds: "Thresholds",
    thresholdOf: (name: string) => `${name}: threshold`,
    more: "More vessels",
    surest: "Surest only",
    reset: "Reset",
    applyToAll: (count: number) => `Apply to all ${count}`,
    view: "View",
    compare: "Compare with the original",
    beside: "Original and result side by side",
    opacity: "Opacity",
    colour: "Colour",
    colours: { blue: "Blue", green: "Green", yellow: "Yellow", magenta: "Magenta", white: "White" },
    otherColour: "Another colour",
    colourOf: (name: string) => `Colour of ${name}`,
    show: (name: string) => `Show ${name}`,
  },
  correct: correct({ number, plural }),
  gauge,
  download: {
    title: "Download",
    mask: "Mask",
    labelMap: "Label map",
    overlay: "Overlay",
    outlines: "Outlines",
    maskKind: "Mask PNG",
    noClass: "Every class is switched off.",
    several: "At these thresholds, in full resolution, of the classes that are shown.",
    one: "At this threshold, in full resolution.",
    preparing: "Preparing …",
    saved: (name: string) => `${name} saved.`,
  },
  facts: {
    title: "About this result",
    quality: "Quality",
    model: "Model",
    device: "Device",
    size: "Size",
    time: "Time",
    times: (total: number, server: number) => `${duration(total)}, ${duration(server)} of it on the server`,
  },
  print: {
    original: "Original",
    overlay: "With the vessels found",
    vessels: "Vessels",
    density: (share: number | undefined, region: string, threshold: number) =>
      `${percent(share)} ${region}, at a threshold of ${number(threshold, 2)}`,
    notShown: ", not shown",
    model: "Model",
    on: (model: string, device: string, precision: string) => `${model}, on ${device} in ${precision}`,
    photograph: "Photograph",
    pixels: (width: number, height: number) => `${width} × ${height} pixels`,
    warning: "Warning",
  },
  help: {
    title: "Keys and gestures",
    close: "Close",
    gestures: "Wheel or pinch to zoom, drag to move, double click for 100 % and back.",
    drawing: "While correcting: one finger or a pen draws, two fingers or the middle mouse button move the picture.",
    singleKeys: "Single keys are shortcuts",
    rule: "A pixel is vessel where its probability reaches the threshold.",
    density:
      "The density is the share of the field of view that is vessel; the server finds the field by the photograph’s dark surround.",
    medical: "Not a medical device: not for diagnosis or treatment.",
    sample: "Sample photograph: Häggström, CC0.",
    licences: (link: (text: string) => ReactNode): ReactNode => [link("Licences"), " of what this page is made with."],
    keys: { enter: "Enter", escape: "Esc", delete: "Delete", undo: "Ctrl Z", redo: "Ctrl Shift Z", space: "Space" },
    does: {
      step: "Threshold down, up by 0.01; while correcting, the brush smaller, larger",
      leap: "Threshold down, up by 0.1",
      reset: "The model’s own threshold",
      view: "Vessels, original, mask, probability. O held: the original for that long",
      compare: "Compare: wiper on or off",
      wipe: "Move the wiper, centre it",
      beside: "Original and result side by side, or not",
      zoom: "Zoom in, out",
      fit: "Fit to the window, 100 %",
      arrows: "Previous, next photograph",
      lines: "A line up, down among all photographs. All four move an enlarged picture that has the focus",
      next: "Next, previous photograph",
      open: "Open a photograph, back to all",
      delete: "Remove the photograph that has the focus",
      undo: "Undo",
      add: "Add photographs",
      save: "Download the mask",
      correct: "Correct the mask, and end that",
      tools: "Brush, eraser, fill a gap",
      brushDown: "Put the brush down, lift it; arrow keys move it, with Shift by a pixel",
      clean: "Remove specks, fill holes",
      redo: "Do again",
      measure: "Ruler, vessel width: begin, and end that",
      regions: "Density of a rectangle, of an ellipse",
      help: "This help",
    },
  },
  /** By cause, in words that a clinician understands. Without advice, the server's words are it: they name what helps. */
  trouble: {
    ImageDecodeError: { title: "This file could not be opened as a photograph" },
    ImageTooLargeError: { title: "This photograph is too large" },
    FieldOfViewError: {
      title: "No retina could be found",
      advice: "The photograph is black or shows next to nothing of the eye. Check that it is the right file.",
    },
    BusyError: {
      title: "The server is busy",
      advice: "Other photographs are waiting. Try again in a moment.",
    },
    NotReadyError: {
      title: "The server is not ready",
      advice: "It is starting or stopping. Try again in a moment.",
    },
    InternalError: {
      title: "Something went wrong on the server",
      advice: "The photograph may be sent again. If it fails again, tell the person who runs the server.",
    },
    Unreachable: {
      title: "The server could not be reached",
      advice: "Check that it is running and that this device is on the same network, then try again.",
    },
    KeyNeeded: {
      title: "This server asks for a key",
      advice: "The person who runs the server knows it. This page forgets it when its tab is closed.",
    },
    KeyWrong: {
      title: "That is not the server’s key",
      advice: "Check it letter by letter, or ask the person who runs the server for it.",
    },
    Empty: {
      title: "This file is empty",
      advice: "It has 0 bytes: it was not copied or exported to its end. Fetch it again from where it comes from.",
    },
    Unreadable: {
      title: "This file can’t be read any more",
      advice: "It was moved, renamed or changed after it was chosen, or its drive is gone. Add it again.",
    },
    ProxyTooLarge: {
      title: "This photograph is too large for the way to the server",
      advice:
        "A proxy in front of the server refuses files of this size. The person who runs it can allow larger ones " +
        "(client_max_body_size); a smaller export of the photograph may pass.",
    },
    ProxyRefused: {
      title: "Access to the server is refused",
      advice: "Something in front of the server refused this request. Sign in again, or ask the person who runs it.",
    },
    BadGateway: {
      title: "The server does not answer",
      advice:
        "A proxy in front of it does, but not the server itself: it may be starting again. Try again in a moment.",
    },
    GatewayTimeout: {
      title: "The server took too long",
      advice:
        "A proxy in front of it stopped waiting. Try again; if it happens again, tell the person who runs the server.",
    },
    CutOff: {
      title: "The server broke off the upload",
      advice: "The file may be larger than it accepts. Export the photograph at a smaller size, or try again.",
    },
    Unknown: {
      title: "The photograph could not be analysed",
      advice: "Try again. If it fails again, tell the person who runs the server.",
    },
  },
};

export type Messages = typeof en;
