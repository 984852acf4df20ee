import type { CSSProperties } from "react";

import styles from "./Slider.module.css";

interface Props {
  readonly id: string;
  readonly label: string;
  /** 0..1 */
  readonly value: number;
  readonly step: number;
  /** The value in words. */
  readonly told: string;
  /** A place to come back to, shown below the track; null for none. */
  readonly mark?: number | null;
  readonly large?: boolean;
  readonly onChange: (value: number) => void;
}

export function Slider({ id, label, value, step, told, mark = null, large = false, onChange }: Props) {
  return (
    <div className={styles.slider} data-large={large}>
      <label htmlFor={id}>{label}</label>
      <output htmlFor={id}>{told}</output>
      <div className={styles.rail}>
        <input
          id={id}
          type="range"
          min={0}
          max={1}
          step={step}
          value={value}
          aria-valuetext={told}
          style={{ "--at": value } as CSSProperties}
          onChange={(event) => onChange(event.target.valueAsNumber)}
        />
        {mark !== null && <span className={styles.mark} style={{ "--at": mark } as CSSProperties} />}
      </div>
    </div>
  );
}
