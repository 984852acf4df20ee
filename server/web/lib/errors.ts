/** What the person at the screen is told: what happened and what to do. */
export interface Trouble {
  readonly title: string;
  readonly advice: string;
  /** The server's own words, for whoever looks after it; empty when there are none. */
  readonly detail: string;
  /** Whether the same photograph may pass at another try. */
  readonly retry: boolean;
}

/** A request that failed: the type and message of the API's error answer. */
export class ApiError extends Error {
  constructor(
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

type Words = Omit<Trouble, "detail">;

const WORDS: Record<string, Words> = {
  ImageDecodeError: {
    title: "This file could not be opened as a photograph",
    advice: "It may be damaged or of another kind. Export it again as JPEG, PNG or TIFF.",
    retry: false,
  },
  ImageTooLargeError: {
    title: "This photograph is too large",
    advice: "It has more pixels or bytes than this server accepts. Export it at a smaller size.",
    retry: false,
  },
  FieldOfViewError: {
    title: "No retina could be found",
    advice: "The photograph is black or shows next to nothing of the eye. Check that it is the right file.",
    retry: false,
  },
  BusyError: {
    title: "The server is busy",
    advice: "Other photographs are waiting. Try again in a moment.",
    retry: true,
  },
  NotReadyError: {
    title: "The server is not ready",
    advice: "It is starting or stopping. Try again in a moment.",
    retry: true,
  },
  InternalError: {
    title: "Something went wrong on the server",
    advice: "The photograph may be sent again. If it fails again, tell the person who runs the server.",
    retry: true,
  },
  Unreachable: {
    title: "The server could not be reached",
    advice: "Check that it is running and that this device is on the same network, then try again.",
    retry: true,
  },
  CutOff: {
    title: "The server broke off the upload",
    advice: "The file may be larger than it accepts. Export the photograph at a smaller size, or try again.",
    retry: true,
  },
};

const UNKNOWN: Words = {
  title: "The photograph could not be analysed",
  advice: "Try again. If it fails again, tell the person who runs the server.",
  retry: true,
};

/** Any error in words a clinician understands. */
export function trouble(error: unknown): Trouble {
  const type = error instanceof ApiError ? error.type : "";
  const detail = error instanceof Error ? error.message : String(error);
  return { ...(WORDS[type] ?? UNKNOWN), detail };
}
