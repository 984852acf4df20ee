import type { Dispatch } from "react";

import type { GaugeControl } from "@/hooks/useGauges";
import { useMessages } from "@/hooks/useMessages";
import { readingText, scaleOf } from "@/lib/readings";
import type { Photograph, StripAction } from "@/lib/strip";

import correct from "./Correct.module.css";
import styles from "./Gauge.module.css";
import panel from "./Panel.module.css";
import { ScaleField } from "./ScaleField";

interface Props {
  readonly control: GaugeControl;
  readonly selected: Photograph;
  readonly photographs: readonly Photograph[];
  readonly dispatch: Dispatch<StripAction>;
  /** Saves what is measured on all photographs. */
  readonly save: () => void;
  /** Whether there is nothing yet to measure. */
  readonly off: boolean;
}

/** The beginning of measuring, what was measured, and the scale. */
export function GaugePanel({ control, selected, photographs, dispatch, save, off }: Props) {
  const words = useMessages();
  const { gauge } = words;
  const { tool, choose, gauges, readings, layers, umPerPx, remove } = control;
  const on = tool !== null;
  return (
    <section className={panel.section} data-off={off}>
      <h2>{gauge.title}</h2>
      <button
        type="button"
        className={correct.wide}
        aria-disabled={off}
        aria-pressed={on}
        onClick={() => off || choose(on ? null : "length")}
      >
        {gauge.start} <kbd>L</kbd>
      </button>
      {on && <p className={panel.hint}>{gauge.keys}</p>}
      {gauges.length > 0 && (
        <ol className={styles.list} aria-label={gauge.list}>
          {gauges.map(({ number, kind }) => (
            <li key={number}>
              <span>{gauge.name(gauge.kinds[kind], number)}</span>
              <strong>{readingText(readings.get(number), layers, umPerPx, words) || "…"}</strong>
              <button
                type="button"
                className={styles.remove}
                aria-label={words.remove(gauge.name(gauge.kinds[kind], number))}
                onClick={() => remove(number)}
              >
                ×
              </button>
            </li>
          ))}
        </ol>
      )}
      {!off && (on || gauges.length > 0) && (
        <>
          <ScaleField
            key={selected.id}
            photograph={selected}
            told={scaleOf({ ...selected, umPerPx: null })}
            others={photographs.some((one) => scaleOf(one) !== scaleOf(selected)) ? photographs.length : 0}
            dispatch={dispatch}
          />
          {photographs.some((one) => one.gauges.length > 0) && (
            <button type="button" className={correct.wide} onClick={save}>
              {gauge.save}
            </button>
          )}
        </>
      )}
    </section>
  );
}
