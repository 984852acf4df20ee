import type { View } from "@/lib/renderer";
import { COLOURS, compared, type Settings, seen, type Thresholds } from "@/lib/settings";

import styles from "./Panel.module.css";
import { Reset, Slider } from "./Slider";

const VIEWS: readonly (readonly [View, string, string])[] = [
  ["overlay", "Vessels", "V"],
  ["original", "Original", "O"],
  ["mask", "Mask", "M"],
];

interface Props {
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
  /** Whether there is nothing yet that it could act on. */
  readonly off: boolean;
}

interface ThresholdProps extends Pick<Props, "off"> {
  readonly choose: (thresholds: Thresholds) => void;
  /** The one in force. */
  readonly threshold: number;
  /** The model's own; null before it is known. */
  readonly modelThreshold: number | null;
}

export function ThresholdControl({ choose, off, threshold, modelThreshold }: ThresholdProps) {
  return (
    <section className={styles.section}>
      <Slider
        id="threshold"
        label="Threshold"
        large
        off={off}
        step={0.01}
        value={threshold}
        told={threshold.toFixed(2)}
        mark={modelThreshold}
        onChange={(value) => choose({ "": value })}
      />
      <div className={styles.ends}>
        <span>More vessels</span>
        <Reset own={modelThreshold === null || threshold === modelThreshold} reset={() => choose({})} />
        <span>Surest only</span>
      </div>
    </section>
  );
}

interface ApplyProps extends Pick<Props, "off"> {
  readonly count: number;
  readonly apply: () => void;
}

/** The thresholds of this photograph for the others too; it keeps the focus when all have them. */
export function ApplyToAll({ count, off, apply }: ApplyProps) {
  return (
    <section className={styles.apply}>
      <button type="button" aria-disabled={off} onClick={() => off || apply()}>
        Apply to all {count}
      </button>
    </section>
  );
}

export function ViewControl({ settings, change, off }: Props) {
  return (
    <section className={styles.section} data-off={off}>
      <fieldset className={styles.segments}>
        <legend className={styles.hidden}>View</legend>
        {VIEWS.map(([view, name, key]) => (
          <label key={view} title={`${name} (${key})`}>
            <input
              type="radio"
              name="view"
              checked={settings.view === view}
              aria-disabled={off}
              onChange={() => off || change(seen(view, settings))}
            />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <label className={styles.switch}>
        Compare with the original
        <input
          type="checkbox"
          checked={settings.wiper !== null}
          aria-disabled={off}
          onChange={() => off || change(compared(settings))}
        />
      </label>
    </section>
  );
}

interface OverlayProps extends Props {
  /** Whether all vessels have one colour. */
  readonly coloured: boolean;
}

/** Colour and opacity, which nothing but the vessels on the photograph has. */
export function OverlayControl({ settings, change, off, coloured }: OverlayProps) {
  const inactive = off || settings.view !== "overlay";
  return (
    <section className={styles.section} data-off={inactive}>
      {coloured && <Swatches settings={settings} change={change} off={inactive} />}
      <Slider
        id="opacity"
        label="Opacity"
        off={inactive}
        step={0.05}
        value={settings.opacity}
        told={`${Math.round(settings.opacity * 100)} %`}
        onChange={(opacity) => change({ opacity })}
      />
    </section>
  );
}

function Swatches({ settings, change, off }: Props) {
  const custom = !COLOURS.some(([colour]) => colour === settings.colour);
  const choose = (colour: string) => off || change({ colour });
  return (
    <fieldset className={styles.swatches}>
      <legend>Colour</legend>
      {COLOURS.map(([colour, name]) => (
        <label key={colour} title={name}>
          <input
            type="radio"
            name="colour"
            aria-label={name}
            checked={settings.colour === colour}
            aria-disabled={off}
            onChange={() => choose(colour)}
          />
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <circle cx="12" cy="12" r="9" fill={colour} />
          </svg>
        </label>
      ))}
      <label className={styles.custom} data-chosen={custom} title="Another colour">
        <input
          type="color"
          aria-label="Another colour"
          value={settings.colour}
          disabled={off}
          onChange={(event) => choose(event.target.value)}
        />
      </label>
    </fieldset>
  );
}
