import type { Dispatch } from "react";

import type { Photograph, Strip, StripAction } from "@/lib/strip";
import { duration } from "@/lib/words";

import styles from "./FilmStrip.module.css";

export function FilmStrip({ strip, dispatch }: { readonly strip: Strip; readonly dispatch: Dispatch<StripAction> }) {
  return (
    <ol className={styles.strip} aria-label="Photographs">
      {strip.photographs.map((one) => (
        <li
          key={one.id}
          className={styles.frame}
          data-selected={one.id === strip.selected}
          data-step={one.progress.step}
        >
          <button
            type="button"
            className={styles.choose}
            aria-current={one.id === strip.selected}
            aria-label={`${one.file.name}: ${told(one)}`}
            onClick={() => dispatch({ type: "select", id: one.id })}
          >
            {one.thumbnail ? <img src={one.thumbnail} alt="" /> : <span className={styles.blank} />}
            {one.progress.step === "working" && (
              <progress
                className={styles.progress}
                aria-label="Sent"
                {...(one.progress.sent < 1 ? { value: one.progress.sent } : {})}
              />
            )}
            <span className={styles.state}>{told(one)}</span>
          </button>
          <button
            type="button"
            className={styles.remove}
            aria-label={`Remove ${one.file.name}`}
            onClick={() => dispatch({ type: "remove", id: one.id })}
          >
            ×
          </button>
        </li>
      ))}
    </ol>
  );
}

function told({ progress }: Photograph): string {
  switch (progress.step) {
    case "waiting":
      return "waiting";
    case "working":
      return progress.sent < 1 ? `sending ${Math.round(progress.sent * 100)} %` : "analysing";
    case "done":
      return duration(progress.result.totalTime);
    case "failed":
      return "failed";
  }
}
