import { type Dispatch, useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import { scaleOf } from "@/lib/readings";
import type { Photograph, StripAction } from "@/lib/strip";

import correct from "./Correct.module.css";
import styles from "./Gauge.module.css";
import panel from "./Panel.module.css";

interface Props {
  readonly photograph: Photograph;
  /** What its file tells; null: nothing. */
  readonly told: number | null;
  /** How many photographs there are, where not all have this scale; else 0. */
  readonly others: number;
  readonly dispatch: Dispatch<StripAction>;
}

/** How large a pixel is: as the file tells it, or as a person says. It is never guessed. */
export function ScaleField({ photograph, told, others, dispatch }: Props) {
  const { id } = photograph;
  const words = useMessages().gauge;
  const [text, setText] = useState(String(photograph.umPerPx ?? told ?? ""));
  const enter = (text: string) => {
    setText(text);
    const value = Number(text);
    const said = text.trim() !== "" && value > 0 && Number.isFinite(value) && value !== told;
    dispatch({ type: "scale", id, umPerPx: said ? value : null });
  };
  const scale = scaleOf(photograph);
  const hint = scale === null ? words.noScale : photograph.umPerPx === null ? words.scaleTold : "";
  return (
    <>
      <label className={correct.row}>
        {words.scale}
        <input
          type="number"
          className={styles.scale}
          inputMode="decimal"
          min={0}
          step="any"
          value={text}
          onChange={({ target }) => enter(target.value)}
          onBlur={() => setText(scale === null ? "" : String(scale))}
        />
      </label>
      {hint && <p className={panel.hint}>{hint}</p>}
      {scale !== null && others > 0 && (
        <button
          type="button"
          className={correct.wide}
          onClick={() => dispatch({ type: "scale", id: "all", umPerPx: scale })}
        >
          {words.scaleForAll(others)}
        </button>
      )}
    </>
  );
}
