import type { KeyboardEvent, PointerEvent } from "react";

import { useMessages } from "@/hooks/useMessages";
import { hundredths } from "@/lib/settings";

import styles from "./Viewer.module.css";

interface Props {
  readonly at: number;
  /** What is on the right, in a word. */
  readonly result: string;
  readonly onMove: (at: number) => void;
}

/** The line between the photograph on its left and the result on its right. */
export function Wiper({ at, result, onMove }: Props) {
  const { view: names, viewer: words } = useMessages();
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    const { left, width } = event.currentTarget.parentElement!.getBoundingClientRect();
    onMove(Math.min(1, Math.max(0, (event.clientX - left) / width)));
  };
  const press = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    onMove(hundredths(at + by));
  };
  const centre = () => onMove(0.5);
  return (
    <div
      className={styles.wiper}
      style={{ left: `${at * 100}%` }}
      role="slider"
      tabIndex={0}
      aria-label={words.wiper}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(at * 100)}
      aria-valuetext={words.wiperAt(at)}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={drag}
      onDoubleClick={centre}
      onKeyDown={press}
    >
      <span className={styles.side}>{names.original}</span>
      <span className={styles.side}>{result}</span>
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <path d="M7 5l-5 5 5 5M13 5l5 5-5 5" />
      </svg>
    </div>
  );
}
