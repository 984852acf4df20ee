/** What the person at the screen is told: what happened and what to do. */
export interface Trouble {
  readonly title: string;
  readonly advice: string;
  /** The server's own words, for whoever looks after it; empty when there are none. */
  readonly detail: string;
  /** What may let the same photograph pass: another try, or the server's API key. */
  readonly remedy: "retry" | "key" | null;
}

/** The type of an error that a key will mend. */
export const KEY_NEEDED = "KeyNeeded";

/** A request that failed: the type and message of the API's error answer. */
export class ApiError extends Error {
  constructor(
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

/** Without advice, the server's words are it: they name what is wrong with the file and what helps. */
type Words = Omit<Trouble, "detail" | "advice"> & { readonly advice?: string };

const WORDS: Record<string, Words> = {
  ImageDecodeError: {
    title: "This file could not be opened as a photograph",
    remedy: null,
  },
  SeveralClasses: {
    title: "This page shows models of one class",
    remedy: null,
  },
  ImageTooLargeError: {
    title: "This photograph is too large",
    remedy: null,
  },
  FieldOfViewError: {
    title: "No retina could be found",
    advice: "The photograph is black or shows next to nothing of the eye. Check that it is the right file.",
    remedy: null,
  },
  BusyError: {
    title: "The server is busy",
    advice: "Other photographs are waiting. Try again in a moment.",
    remedy: "retry",
  },
  NotReadyError: {
    title: "The server is not ready",
    advice: "It is starting or stopping. Try again in a moment.",
    remedy: "retry",
  },
  InternalError: {
    title: "Something went wrong on the server",
    advice: "The photograph may be sent again. If it fails again, tell the person who runs the server.",
    remedy: "retry",
  },
  Unreachable: {
    title: "The server could not be reached",
    advice: "Check that it is running and that this device is on the same network, then try again.",
    remedy: "retry",
  },
  [KEY_NEEDED]: {
    title: "This server asks for a key",
    advice: "The person who runs the server knows it. This page forgets it when its tab is closed.",
    remedy: "key",
  },
  CutOff: {
    title: "The server broke off the upload",
    advice: "The file may be larger than it accepts. Export the photograph at a smaller size, or try again.",
    remedy: "retry",
  },
};

const UNKNOWN: Words = {
  title: "The photograph could not be analysed",
  advice: "Try again. If it fails again, tell the person who runs the server.",
  remedy: "retry",
};

/** Any error in words a clinician understands. */
export function trouble(error: unknown): Trouble {
  const type = error instanceof ApiError ? error.type : "";
  const said = error instanceof Error ? error.message : String(error);
  const { title, advice, remedy } = WORDS[type] ?? UNKNOWN;
  return advice === undefined
    ? { title, advice: said.charAt(0).toUpperCase() + said.slice(1), detail: "", remedy }
    : { title, advice, detail: said, remedy };
}
