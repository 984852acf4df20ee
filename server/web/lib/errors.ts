/** What the person at the screen is told: what happened and what to do. */
export interface Trouble {
  readonly title: string;
  readonly advice: string;
  /** The server's own words, for whoever looks after it; empty when there are none. */
  readonly detail: string;
  /** What may let the same photograph pass: another try, or the server's API key. */
  readonly remedy: "retry" | "key" | null;
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

/** Without advice, the server's words are it: they name what is wrong with the file and what helps. */
type Words = Omit<Trouble, "detail" | "advice"> & { readonly advice?: string };

const WORDS: Record<string, Words> = {
  ImageDecodeError: {
    title: "This file could not be opened as a photograph",
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
  KeyNeeded: {
    title: "This server asks for a key",
    advice: "The person who runs the server knows it. This page forgets it when its tab is closed.",
    remedy: "key",
  },
  KeyWrong: {
    title: "That is not the server’s key",
    advice: "Check it letter by letter, or ask the person who runs the server for it.",
    remedy: "key",
  },
  Empty: {
    title: "This file is empty",
    advice: "It has 0 bytes: it was not copied or exported to its end. Fetch it again from where it comes from.",
    remedy: null,
  },
  Unreadable: {
    title: "This file can’t be read any more",
    advice: "It was moved, renamed or changed after it was chosen, or its drive is gone. Add it again.",
    remedy: null,
  },
  ProxyTooLarge: {
    title: "This photograph is too large for the way to the server",
    advice:
      "A proxy in front of the server refuses files of this size. The person who runs it can allow larger ones " +
      "(client_max_body_size); a smaller export of the photograph may pass.",
    remedy: "retry",
  },
  ProxyRefused: {
    title: "Access to the server is refused",
    advice: "Something in front of the server refused this request. Sign in again, or ask the person who runs it.",
    remedy: "retry",
  },
  BadGateway: {
    title: "The server does not answer",
    advice: "A proxy in front of it does, but not the server itself: it may be starting again. Try again in a moment.",
    remedy: "retry",
  },
  GatewayTimeout: {
    title: "The server took too long",
    advice:
      "A proxy in front of it stopped waiting. Try again; if it happens again, tell the person who runs the server.",
    remedy: "retry",
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

/** What answers of something between the page and the server mean: it knows nothing of the API and sends HTML. */
const BY_STATUS: Record<number, string> = {
  401: "ProxyRefused",
  403: "ProxyRefused",
  407: "ProxyRefused",
  408: "GatewayTimeout",
  413: "ProxyTooLarge",
  429: "BusyError",
  502: "BadGateway",
  503: "BadGateway",
  504: "GatewayTimeout",
};

/** The error in an answer that is no file of results. `keyed`: whether a key was sent. */
export function failure(status: number, body: string, keyed: boolean): ApiError {
  try {
    const { error } = JSON.parse(body) as { error: { type: string; message: string } };
    return new ApiError(status === 401 ? (keyed ? "KeyWrong" : "KeyNeeded") : error.type, error.message);
  } catch {
    const said = status === 200 ? "The answer is not the server’s." : `The answer has status ${status}.`;
    return new ApiError(BY_STATUS[status] ?? (status === 200 ? "ProxyRefused" : ""), said);
  }
}

/** Any error in words a clinician understands. */
export function trouble(error: unknown): Trouble {
  const type = error instanceof ApiError ? error.type : "";
  const said = error instanceof Error ? error.message : String(error);
  const { title, advice, remedy } = WORDS[type] ?? UNKNOWN;
  return advice === undefined
    ? { title, advice: said.charAt(0).toUpperCase() + said.slice(1), detail: "", remedy }
    : { title, advice, detail: said, remedy };
}
