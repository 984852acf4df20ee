import type { FormEvent } from "react";

import { enterKey } from "@/lib/api";
import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

import styles from "./Notice.module.css";

interface Props {
  readonly photograph: Photograph;
  readonly picture: Picture | null;
  /** Sends again what such a remedy may help: another try, or a key that was entered. */
  readonly again: (remedy: "retry" | "key") => void;
}

/** What is happening to the photograph, or what went wrong, in words. */
export function Notice({ photograph: { file, progress }, picture, again }: Props) {
  if (progress.step === "failed") {
    const { title, advice, detail, remedy } = progress.trouble;
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
        {remedy === "retry" && (
          <button type="button" onClick={() => again("retry")}>
            Try again
          </button>
        )}
        {remedy === "key" && <KeyForm entered={() => again("key")} />}
      </div>
    );
  }
  if (progress.step === "done") {
    const unseen = picture?.map && !picture.photograph;
    return (
      <p className={unseen ? styles.note : styles.hidden} role="status">
        {unseen ? "This browser can’t show this file, so the vessels alone are shown." : "Vessels found."}
        {!unseen && progress.result.warnings.map((warning) => ` ${warning}`)}
      </p>
    );
  }
  return (
    <p className={`${styles.note} ${styles.busy}`} role="status">
      {progress.step === "waiting" ? "Waiting for its turn" : progress.sent < 1 ? "Sending" : "Finding vessels"}
    </p>
  );
}

function KeyForm({ entered }: { readonly entered: () => void }) {
  const enter = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    enterKey(String(new FormData(event.currentTarget).get("key")));
    entered();
  };
  return (
    <form className={styles.key} onSubmit={enter}>
      <label>
        Key
        <input
          name="key"
          type="password"
          autoComplete="off"
          required
          pattern="[!-~]+"
          title="Letters, digits and signs"
        />
      </label>
      <button type="submit">Go on</button>
    </form>
  );
}
