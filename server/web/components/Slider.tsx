import type { CSSProperties } from "react";

import { useHorizontalTouch } from "@/hooks/useHorizontalTouch";
import { useMessages } from "@/hooks/useMessages";

import styles from "./Slider.module.css";

interface Props {
  readonly id: string;
  readonly label: string;
  /** What a screen reader calls it, where that is more than the label. */
  readonly name?: string;
  /** 0..1 */
  readonly value: number;
  readonly step: number;
  /** The value in words. */
  readonly told: string;
  /** A place to come back to, shown below the track; null for none. */
  readonly mark?: number | null;
  readonly large?: boolean;
  /** Whether it can't act now. */
  readonly off?: boolean;
  readonly onChange: (value: number) => void;
}

export function Slider(props: Props) {
  const { id, label, name, value, step, told, mark = null, large = false, off = false, onChange } = props;
  const touch = useHorizontalTouch((value) => off || onChange(value));
  return (
    <div className={styles.slider} data-large={large} data-off={off}>
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
          aria-label={name}
          aria-valuetext={told}
          aria-disabled={off}
          style={{ "--at": value } as CSSProperties}
          {...touch}
        />
        {mark !== null && <span className={styles.mark} style={{ "--at": mark } as CSSProperties} />}
      </div>
    </div>
  );
}

interface ResetProps {
  /** Whether all is as the model has it. */
  readonly own: boolean;
  readonly reset: () => void;
}

/** Back to the model's own; it keeps the focus when nothing is left to do. */
export function Reset({ own, reset }: ResetProps) {
  const words = useMessages().panel;
  return (
    <button type="button" className={styles.reset} aria-disabled={own} onClick={() => own || reset()}>
      {words.reset}
    </button>
  );
}
