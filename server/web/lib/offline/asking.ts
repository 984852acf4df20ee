import { ApiError } from "@/lib/errors";

import type { Network } from "./network";
import type { Answer, Found, Question } from "./worker";

const WORKER = `${process.env.OFFLINE}/worker.js`; // scripts/offline.mjs names the folder

let worker: Worker | null = null;
let turn: Promise<unknown> = Promise.resolve();

/** Finds the vessels of a photograph, in a thread of its own. Rejects with ApiError, or the signal's reason. */
export async function findVessels(photograph: File, signal?: AbortSignal): Promise<Found> {
  const answer = await ask({ photograph }, signal);
  if ("found" in answer) return answer.found;
  throw new ApiError("InternalError", "The worker did not answer what it was asked.");
}

/** What the model is, once it is loaded. */
export async function describeNetwork(): Promise<Omit<Network, "infer">> {
  const answer = await ask({});
  if ("ready" in answer) return answer.ready;
  throw new ApiError("InternalError", "The worker did not answer what it was asked.");
}

/** One question at a time, so that each answer is that of the last question. */
function ask(question: Question, signal?: AbortSignal): Promise<Answer> {
  const answer = turn.then(() => asked(question, signal));
  turn = answer.catch(() => null);
  return answer;
}

function asked(question: Question, signal?: AbortSignal): Promise<Answer> {
  signal?.throwIfAborted();
  worker ??= startWorker();
  const asking = worker;
  return new Promise<Answer>((resolve, reject) => {
    const stop = (why: unknown) => {
      asking.terminate(); // nothing else ends the network in the middle of a photograph
      worker = null;
      reject(why);
    };
    const ended = new AbortController();
    const listen = { signal: ended.signal };
    const settle = (then: () => void) => {
      ended.abort();
      then();
    };
    signal?.addEventListener("abort", () => settle(() => stop(signal.reason)), listen);
    asking.addEventListener(
      "error",
      ({ message }) => settle(() => stop(new ApiError("InternalError", message || `${WORKER} can't be loaded.`))),
      listen,
    );
    asking.addEventListener(
      "message",
      ({ data }: MessageEvent<Answer>) =>
        settle(() => ("error" in data ? reject(new ApiError(data.error.type, data.error.message)) : resolve(data))),
      listen,
    );
    asking.postMessage(question);
  });
}

/** From an address made here: such a worker is bound by the page's own content security policy, one of a file is not. */
function startWorker(): Worker {
  const script = `import ${JSON.stringify(new URL(WORKER, document.baseURI).href)};`;
  return new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });
}
