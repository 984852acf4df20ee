import type { CorrectControl } from "@/hooks/useCorrection";
import { useMessages } from "@/hooks/useMessages";
import type { Layer } from "@/lib/classes";

import styles from "./Correct.module.css";
import panel from "./Panel.module.css";

interface Props {
  readonly correct: CorrectControl;
  readonly layers: readonly Layer[];
  /** Whether there is nothing yet to correct. */
  readonly off: boolean;
}

/** The beginning of a correction, and what it offers beside drawing. */
export function CorrectPanel({ correct, layers, off }: Props) {
  const { correct: words } = useMessages();
  const { on, turn, tools, choose } = correct;
  return (
    <section className={panel.section} data-off={off}>
      <h2>{words.title}</h2>
      {correct.some && <p className={panel.hint}>{words.corrected}</p>}
      <button
        type="button"
        className={styles.wide}
        aria-disabled={off}
        aria-pressed={on}
        onClick={() => off || turn(!on)}
      >
        {words.start} <kbd>E</kbd>
      </button>
      {on && !off && (
        <>
          {layers.length > 1 && (
            <label className={styles.row}>
              {words.of}
              <select value={tools.layer} onChange={({ target }) => choose({ layer: Number(target.value) })}>
                {layers.map(({ name }, number) => (
                  <option key={name} value={number}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          )}
          <label className={styles.row}>
            {words.least}
            <span>
              <input
                type="number"
                min={2}
                max={9999}
                value={tools.least}
                onChange={({ target }) => {
                  if (target.valueAsNumber >= 1) choose({ least: Math.min(9999, Math.round(target.valueAsNumber)) });
                }}
              />{" "}
              {words.leastUnit}
            </span>
          </label>
          <div className={styles.pair}>
            <button type="button" title={`${words.specks} (D)`} onClick={() => correct.clean("specks")}>
              {words.specks}
            </button>
            <button type="button" title={`${words.holes} (G)`} onClick={() => correct.clean("holes")}>
              {words.holes}
            </button>
          </div>
          <label className={panel.switch}>
            {words.pressure}
            <input type="checkbox" checked={tools.pressure} onChange={() => choose({ pressure: !tools.pressure })} />
          </label>
          <button
            type="button"
            className={styles.wide}
            aria-disabled={!correct.some}
            onClick={() => correct.some && correct.discard()}
          >
            {words.discard}
          </button>
        </>
      )}
    </section>
  );
}
