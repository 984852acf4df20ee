import { type ChangeEvent, type PointerEvent, useRef } from "react";

const SLOP = 8; // CSS px that a finger moves before its way is known

/** A finger on a slider, from its touch to its end. */
interface Touch {
  readonly x: number;
  readonly y: number;
  /** Whether it moves the slider, and does not scroll the page. */
  taken: boolean;
  /** What it would set the slider to. */
  wanted: number | null;
}

/**
 * What a range input needs so that a finger that scrolls the page leaves its value alone: browsers move the thumb at the
 * first touch. The value follows a finger that moves sideways, or that is lifted where it came down.
 */
export function useHorizontalTouch(onChange: (value: number) => void) {
  const touch = useRef<Touch | null>(null);
  const begin = ({ pointerType, clientX, clientY }: PointerEvent) => {
    touch.current = pointerType === "touch" ? { x: clientX, y: clientY, taken: false, wanted: null } : null;
  };
  const take = (one: Touch) => {
    one.taken = true;
    if (one.wanted !== null) onChange(one.wanted);
  };
  const move = ({ clientX, clientY }: PointerEvent) => {
    const { current } = touch;
    if (!current || current.taken) return;
    const [across, along] = [Math.abs(clientX - current.x), Math.abs(clientY - current.y)];
    if (across > SLOP && across > along) take(current);
  };
  const change = ({ target }: ChangeEvent<HTMLInputElement>) => {
    const { current } = touch;
    if (current && !current.taken) current.wanted = target.valueAsNumber;
    else onChange(target.valueAsNumber);
  };
  const end = () => {
    if (touch.current) take(touch.current);
    touch.current = null;
  };
  const forget = () => {
    touch.current = null;
  };
  return { onPointerDown: begin, onPointerMove: move, onPointerUp: end, onPointerCancel: forget, onChange: change };
}
