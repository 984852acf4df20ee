import type { KeyboardEvent } from "react";

import { useMessages } from "@/hooks/useMessages";
import type { Peek } from "@/hooks/usePeek";

import styles from "./Compared.module.css";

/** Shows the original for as long as it is held, by a finger, a mouse or a key. */
export function PeekButton({ peeking, hold }: Peek) {
  const words = useMessages().viewer;
  const press = (event: KeyboardEvent) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    hold(event.type === "keydown");
  };
  return (
    <button
      type="button"
      className={styles.peek}
      aria-pressed={peeking}
      title={`${words.peek} (O)`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        hold(true);
      }}
      onLostPointerCapture={() => hold(false)}
      onKeyDown={press}
      onKeyUp={press}
      onBlur={() => hold(false)}
      onContextMenu={(event) => event.preventDefault()} // which a long touch would open
    >
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <path d="M2 10s3-5.500 8-5.500S18 10 18 10s-3 5.500-8 5.500S2 10 2 10z" />
        <circle cx="10" cy="10" r="2.500" />
      </svg>
      <span className={styles.word}>{words.peek}</span>
    </button>
  );
}
