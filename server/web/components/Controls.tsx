import type { View } from "@/lib/renderer";
import { COLOURS, compared, type Settings, seen } from "@/lib/settings";

import styles from "./Panel.module.css";
import { Reset, Slider } from "./Slider";

const VIEWS: readonly (readonly [View, string, string])[] = [
  ["overlay", "Overlay", "V"],
  ["original", "Original", "O"],
  ["mask", "Mask", "M"],
];

interface Props {
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
}

interface ThresholdProps extends Pick<Props, "change"> {
  /** The one in force. */
  readonly threshold: number;
  /** The model's own; null before it is known. */
  readonly modelThreshold: number | null;
}

export function ThresholdControl({ change, threshold, modelThreshold }: ThresholdProps) {
  return (
    <section className={styles.section}>
      <Slider
        id="threshold"
        label="Threshold"
        large
        step={0.01}
        value={threshold}
        told={threshold.toFixed(2)}
        mark={modelThreshold}
        onChange={(value) => change({ threshold: value })}
      />
      <div className={styles.ends}>
        <span>More vessels</span>
        <Reset
          own={modelThreshold === null || threshold === modelThreshold}
          reset={() => change({ threshold: null })}
        />
        <span>Surest only</span>
      </div>
    </section>
  );
}

export function ViewControl({ settings, change }: Props) {
  return (
    <section className={styles.section}>
      <fieldset className={styles.segments}>
        <legend className={styles.hidden}>View</legend>
        {VIEWS.map(([view, name, key]) => (
          <label key={view} title={`${name} (${key})`}>
            <input
              type="radio"
              name="view"
              checked={settings.view === view}
              onChange={() => change(seen(view, settings))}
            />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <label className={styles.switch}>
        Compare with the original
        <input type="checkbox" checked={settings.wiper !== null} onChange={() => change(compared(settings))} />
      </label>
    </section>
  );
}

interface OverlayProps extends Props {
  /** Whether all vessels have one colour. */
  readonly coloured: boolean;
}

export function OverlayControl({ settings, change, coloured }: OverlayProps) {
  return (
    <section className={styles.section}>
      {coloured && <Swatches settings={settings} change={change} />}
      <Slider
        id="opacity"
        label="Opacity"
        step={0.05}
        value={settings.opacity}
        told={`${Math.round(settings.opacity * 100)} %`}
        onChange={(opacity) => change({ opacity })}
      />
    </section>
  );
}

function Swatches({ settings, change }: Props) {
  const custom = !COLOURS.some(([colour]) => colour === settings.colour);
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
            onChange={() => change({ colour })}
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
          onChange={(event) => change({ colour: event.target.value })}
        />
      </label>
    </fieldset>
  );
}
