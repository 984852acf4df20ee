import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

import styles from "./Notice.module.css";

interface Props {
  readonly photograph: Photograph;
  readonly picture: Picture | null;
  readonly retry: () => void;
}

/** What is happening to the photograph, or what went wrong, in words. */
export function Notice({ photograph: { file, progress }, picture, retry }: Props) {
  if (progress.step === "failed") {
    const { title, advice, detail, retry: again } = progress.trouble;
    return (
      <div className={styles.trouble} role="alert">
        <h2>{title}</h2>
        <p className={styles.file}>{file.name}</p>
        <p>{advice}</p>
        {detail && (
          <details>
            <summary>What the server said</summary>
            <p>{detail}</p>
          </details>
        )}
        {again && (
          <button type="button" onClick={retry}>
            Try again
          </button>
        )}
      </div>
    );
  }
  if (progress.step === "done") {
    const unseen = picture && !picture.photograph;
    return (
      <p className={unseen ? styles.note : styles.hidden} role="status">
        {unseen ? "This browser can’t show files of this kind, so the vessels alone are shown." : "Vessels found."}
      </p>
    );
  }
  return (
    <p className={`${styles.note} ${styles.busy}`} role="status">
      {progress.step === "waiting" ? "Waiting for its turn" : progress.sent < 1 ? "Sending" : "Finding vessels"}
    </p>
  );
}
