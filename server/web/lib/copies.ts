// How large the reduced copies are that the worklist shows.

const LEAST = 640; // px
const MOST = 1280; // of 200 photographs no more than some ten MB
const ACROSS = 5; // cards that a large screen shows side by side, see Worklist.module.css
const STEP = 64;

/** Pixels from side to side: as many as a card has where the window fills this screen. */
export function copyWidth(): number {
  return copyWidthOn(screen.width * devicePixelRatio);
}

/** The same on a screen of so many device pixels. */
export function copyWidthOn(devicePixels: number): number {
  return Math.min(MOST, Math.max(LEAST, STEP * Math.ceil(devicePixels / ACROSS / STEP)));
}
