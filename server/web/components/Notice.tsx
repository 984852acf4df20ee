import { type FormEvent, Fragment, useEffect, useRef } from "react";

import { useMessages } from "@/hooks/useMessages";
import { analyst } from "@/lib/analyst";
import { type Trouble, wordsOf } from "@/lib/errors";
import { nameOf } from "@/lib/frames";
import { tellWarning } from "@/lib/messages/doubts";
import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

import styles from "./Notice.module.css";

interface Props {
  readonly photograph: Photograph;
  readonly picture: Picture | null;
  /** What keeps it from being analysed; null where nothing does. */
  readonly trouble: Trouble | null;
  /** Sends again what such a remedy may help: another try, or a key that was entered. */
  readonly again: (remedy: "retry" | "key") => void;
}

/** What is happening to the photograph, or what went wrong, in words. */
export function Notice({ photograph, picture, trouble, again }: Props) {
  const messages = useMessages();
  const words = messages.notice;
  const { progress } = photograph;
  if (trouble) {
    const { title, advice, detail, lang } = wordsOf(trouble, messages);
    const { remedy } = trouble;
    return (
      <div className={styles.trouble} role="alert">
        <h2>{title}</h2>
        <p className={styles.file}>
          <bdi>{nameOf(photograph)}</bdi>
        </p>
        <p lang={lang} dir="auto">
          {advice}
        </p>
        {detail && (
          <details>
            <summary>{words.serverSaid}</summary>
            <p lang="en" dir="ltr">
              {detail}
            </p>
          </details>
        )}
        {remedy === "retry" && (
          <button type="button" onClick={() => again("retry")}>
            {messages.tryAgain}
          </button>
        )}
        {remedy === "key" && analyst.enterKey && <KeyForm take={analyst.enterKey} entered={() => again("key")} />}
      </div>
    );
  }
  if (progress.step === "done") {
    const { warnings } = progress.result;
    const unseen = Boolean(picture?.maps.length && !picture.photograph);
    return (
      <p
        className={warnings.length || unseen ? styles.note : styles.hidden}
        data-doubtful={warnings.length > 0}
        role="status"
      >
        <span className={styles.hidden}>{words.found} </span>
        <span>
          {warnings.map((warning) => {
            const { text, lang } = tellWarning(warning, messages.doubts);
            return (
              <Fragment key={warning}>
                <bdi lang={lang}>{text}</bdi>{" "}
              </Fragment>
            );
          })}
          {unseen && words.unseen}
        </span>
      </p>
    );
  }
  return (
    <p className={`${styles.note} ${styles.busy}`} role="status">
      {progress.step === "waiting"
        ? words.waiting
        : progress.step === "working" && progress.sent < 1
          ? words.sending
          : words.finding}
    </p>
  );
}

interface KeyProps {
  readonly take: (key: string) => void;
  readonly entered: () => void;
}

function KeyForm({ take, entered }: KeyProps) {
  const words = useMessages().notice;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const enter = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    take(String(new FormData(event.currentTarget).get("key")));
    entered();
  };
  return (
    <form className={styles.key} onSubmit={enter}>
      <label>
        {words.key}
        <input
          ref={field}
          name="key"
          type="password"
          autoComplete="off"
          required
          pattern="[!-~]+"
          title={words.keyPattern}
        />
      </label>
      <button type="submit">{words.enter}</button>
    </form>
  );
}
