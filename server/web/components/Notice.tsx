import { type FormEvent, useEffect, useRef } from "react";

import { enterKey } from "@/lib/api";
import type { Trouble } from "@/lib/errors";
import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

import styles from "./Notice.module.css";

const UNSEEN = "This browser can’t show this file, so the vessels alone are shown.";

interface Props {
  readonly photograph: Photograph;
  readonly picture: Picture | null;
  /** What keeps it from being analysed; null where nothing does. */
  readonly trouble: Trouble | null;
  /** Sends again what such a remedy may help: another try, or a key that was entered. */
  readonly again: (remedy: "retry" | "key") => void;
}

/** What is happening to the photograph, or what went wrong, in words. */
export function Notice({ photograph: { file, progress }, picture, trouble, again }: Props) {
  if (trouble) {
    const { title, advice, detail, remedy } = trouble;
    return (
      <div className={styles.trouble} role="alert">
        <h2>{title}</h2>
        <p className={styles.file}>
          <bdi>{file.name}</bdi>
        </p>
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
    const { warnings } = progress.result;
    const unseen = picture?.maps.length && !picture.photograph ? [UNSEEN] : [];
    const words = [...warnings, ...unseen].join(" ");
    return (
      <p className={words ? styles.note : styles.hidden} data-doubtful={warnings.length > 0} role="status">
        <span className={styles.hidden}>Vessels found. </span>
        {words}
      </p>
    );
  }
  return (
    <p className={`${styles.note} ${styles.busy}`} role="status">
      {progress.step === "waiting"
        ? "Waiting for its turn"
        : progress.step === "working" && progress.sent < 1
          ? "Sending"
          : "Finding vessels"}
    </p>
  );
}

function KeyForm({ entered }: { readonly entered: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
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
          ref={field}
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
