import { useMessages } from "@/hooks/useMessages";
import type { ReadBack } from "@/hooks/useReadBack";

import styles from "./Correct.module.css";

/** What has become of masks and outlines that were added; it stays until it is dismissed. */
export function CorrectNote({ readBack }: { readonly readBack: ReadBack }) {
  const words = useMessages();
  const { said, dismiss } = readBack;
  return (
    <div className={styles.note} data-empty={!said} role="status">
      {said && (
        <>
          <p>{said(words)}</p>
          <button type="button" aria-label={words.correct.dismiss} onClick={dismiss}>
            ×
          </button>
        </>
      )}
    </div>
  );
}
