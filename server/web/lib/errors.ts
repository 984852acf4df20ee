import type { Messages } from "@/lib/messages";

export type Cause = keyof Messages["trouble"];

/** What went wrong. */
export interface Trouble {
  readonly cause: Cause;
  /** The words of whoever told it, mostly the server's. */
  readonly said: string;
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

const REMEDIES: Readonly<Record<Cause, Trouble["remedy"]>> = {
  ImageDecodeError: null,
  ImageTooLargeError: null,
  FieldOfViewError: null,
  BusyError: "retry",
  NotReadyError: "retry",
  InternalError: "retry",
  Unreachable: "retry",
  KeyNeeded: "key",
  KeyWrong: "key",
  Empty: null,
  Unreadable: null,
  ProxyTooLarge: "retry",
  ProxyRefused: "retry",
  BadGateway: "retry",
  GatewayTimeout: "retry",
  CutOff: "retry",
  Unknown: "retry",
};

/** What answers of something between the page and the server mean: it knows nothing of the API and sends HTML. */
const BY_STATUS: Readonly<Record<number, Cause>> = {
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

/** The cause of any error. */
export function trouble(error: unknown): Trouble {
  const type = error instanceof ApiError ? error.type : "";
  const said = error instanceof Error ? error.message : String(error);
  const cause = Object.hasOwn(REMEDIES, type) ? (type as Cause) : "Unknown";
  return { cause, said, remedy: REMEDIES[cause] };
}

/** What the person at the screen is told: what happened and what to do. */
export interface TroubleWords {
  readonly title: string;
  readonly advice: string;
  /** The server's own words, for whoever looks after it; empty where there are none, or they are the advice. */
  readonly detail: string;
  /** The language of the advice, where it is the server's: it speaks English. */
  readonly lang: "en" | undefined;
}

export function wordsOf({ cause, said }: Trouble, messages: Messages): TroubleWords {
  const words = messages.trouble[cause];
  return "advice" in words
    ? { ...words, detail: said, lang: undefined }
    : { ...words, advice: said.charAt(0).toUpperCase() + said.slice(1), detail: "", lang: "en" };
}

/** The same in a line. */
export function adviceOf(trouble: Trouble, messages: Messages): string {
  const { title, advice } = wordsOf(trouble, messages);
  return `${title}. ${advice}`;
}
