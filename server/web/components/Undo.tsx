import { type Dispatch, useEffect } from "react";

import { useMessages } from "@/hooks/useMessages";
import { nameOf } from "@/lib/frames";
import type { Messages } from "@/lib/messages";
import { keyOf } from "@/lib/shortcuts";
import type { Strip, StripAction } from "@/lib/strip";
import type { Undoable } from "@/lib/undoable";

import styles from "./Undo.module.css";

interface Props {
  readonly undo: Strip["undo"];
  readonly dispatch: Dispatch<StripAction>;
  /** Called after a press of a button here: it is gone, and its focus with it. */
  readonly onPressed: () => void;
}

/** What was done last and can be undone: it stays until it is undone or forgotten, for who reads slowly too. */
export function Undo({ undo, dispatch, onPressed }: Props) {
  const all = useMessages();
  const words = all.undo;
  const last = undo.at(-1);
  const some = last !== undefined;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const letters = (event.target as Element).closest(
        "input:not([type=range], [type=radio], [type=checkbox], [type=file], [type=color])",
      );
      if (keyOf(event) !== "z" || event.shiftKey || !(event.ctrlKey || event.metaKey) || letters) return;
      event.preventDefault();
      dispatch({ type: "undo" });
    };
    if (some) window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [some, dispatch]);

  const act = (type: "undo" | "forget") => {
    dispatch({ type });
    onPressed();
  };
  return (
    <div className={styles.undo} data-empty={!last} role="status">
      {last && (
        <>
          <p>{toldOf(last, all)}</p>
          <button type="button" onClick={() => act("undo")}>
            {words.undo}
          </button>
          <button type="button" aria-label={words.dismiss} title={words.forget} onClick={() => act("forget")}>
            ×
          </button>
        </>
      )}
    </div>
  );
}

function toldOf(last: Undoable, { undo: words, models }: Messages) {
  if (last.type === "applied") return words.applied(last.before.size);
  if (last.type === "asked") return models.asked(last.before.size);
  return words.removed(<bdi key="name">{nameOf(last.photograph)}</bdi>);
}
