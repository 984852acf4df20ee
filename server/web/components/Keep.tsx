import { useRef } from "react";

import type { Keeping } from "@/hooks/useKept";
import { useMessages } from "@/hooks/useMessages";

import styles from "./Keep.module.css";

/** What is kept in this browser, in a sentence, and the choice behind it. */
export function Keep({ keeping }: { readonly keeping: Keeping }) {
  const { keeping: words, help } = useMessages();
  const dialog = useRef<HTMLDialogElement>(null);
  const { on, trouble, left, turn, forget } = keeping;
  const told = trouble && (trouble === "full" ? words.full(left.join(", ")) : words[trouble]);
  return (
    <>
      <span className={styles.line}>
        {on ? words.on : words.off}{" "}
        <button type="button" className={styles.change} onClick={() => dialog.current!.showModal()}>
          {words.change}
        </button>
      </span>
      <span role="status" className={styles.trouble}>
        {told}
      </span>
      <dialog ref={dialog} className={styles.keep} aria-labelledby="keep-title">
        <form method="dialog">
          <h2 id="keep-title">{words.title}</h2>
          <button type="submit" className={styles.close} aria-label={help.close}>
            ×
          </button>
        </form>
        <label>
          <input type="checkbox" checked={on} onChange={({ target }) => turn(target.checked)} />
          {words.keep}
        </label>
        <p>
          {words.rule} <strong>{words.others}</strong>
        </p>
        {told && <p className={styles.trouble}>{told}</p>}
        <button
          type="button"
          className={styles.forget}
          onClick={() => {
            dialog.current!.close();
            forget();
          }}
        >
          {words.forget}
        </button>
        <p className={styles.small}>{words.forgetRule}</p>
      </dialog>
    </>
  );
}
