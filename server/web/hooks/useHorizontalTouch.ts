import { type ChangeEvent, type PointerEvent, useRef } from "react";

import { isRightToLeft } from "@/lib/languages";
import { hundredths } from "@/lib/settings";

const SLOP = 8; // CSS px that a finger moves before its way is known
const THUMB = 20; // CSS px, nearly: its middle goes from one half of it to the other half

type Press = PointerEvent<HTMLInputElement>;

/** A finger on a slider, from its touch to its end. */
interface Touch {
  readonly x: number;
  readonly y: number;
  /** Whether it moves the slider, and does not scroll the page. */
  taken: boolean;
}

/**
 * What a range input of 0..1 needs so that a finger that scrolls the page leaves its value alone: browsers move the thumb at
 * the first touch. The value follows a finger that moves sideways, or that is lifted where it came down.
 */
export function useHorizontalTouch(onChange: (value: number) => void) {
  const touch = useRef<Touch | null>(null);
  const follow = ({ currentTarget, clientX }: Press) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    const share = (clientX - left - THUMB / 2) / (width - THUMB);
    onChange(hundredths(isRightToLeft() ? 1 - share : share));
  };
  const begin = ({ pointerType, clientX, clientY }: Press) => {
    touch.current = pointerType === "touch" ? { x: clientX, y: clientY, taken: false } : null;
  };
  const move = (event: Press) => {
    const { current } = touch;
    if (!current) return;
    const [across, along] = [Math.abs(event.clientX - current.x), Math.abs(event.clientY - current.y)];
    current.taken ||= across > SLOP && across > along;
    if (current.taken) follow(event);
  };
  const change = ({ target }: ChangeEvent<HTMLInputElement>) => {
    if (!touch.current) onChange(target.valueAsNumber);
  };
  const end = (event: Press) => {
    if (touch.current) follow(event);
    // What the browser makes of the same touch comes after it.
    setTimeout(forget);
  };
  const forget = () => {
    touch.current = null;
  };
  return { onPointerDown: begin, onPointerMove: move, onPointerUp: end, onPointerCancel: forget, onChange: change };
}
