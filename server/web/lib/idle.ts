const LEAST = 2; // ms that must be left before a step is begun
const MOST = 12; // ms at a time: a browser with nothing to do offers 50, and what comes meanwhile waits
const SLICE = 5; // ms at a time where the browser does not say when it is idle

/** Runs tasks to their end, one after the other, in the time that the page leaves over. Returns what stops them. */
export function whenIdle(tasks: readonly Generator<undefined, void>[]): () => void {
  const left = [...tasks];
  let stop = () => {};
  const run = (timeLeft: () => number) => {
    while (left.length && timeLeft() > LEAST) if (left[0]!.next().done) left.shift();
    if (left.length) wait();
  };
  const wait = () => {
    if ("requestIdleCallback" in window) {
      const handle = requestIdleCallback((deadline) => {
        const end = performance.now() + MOST;
        run(() => Math.min(deadline.timeRemaining(), end - performance.now()));
      });
      stop = () => cancelIdleCallback(handle);
    } else {
      const timer = setTimeout(() => {
        const end = performance.now() + SLICE;
        run(() => end - performance.now() + LEAST);
      }, 20);
      stop = () => clearTimeout(timer);
    }
  };
  if (left.length) wait();
  return () => stop();
}

/** For long work in steps: what it returns, called after each of them, lets the page do what waits every few ms. */
export function breather(most = 8): () => Promise<void> {
  let end = performance.now() + most;
  return async () => {
    if (performance.now() < end) return;
    await new Promise((resolve) => setTimeout(resolve));
    end = performance.now() + most;
  };
}
