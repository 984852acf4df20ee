import type { View } from "@/lib/renderer";
import { COLOURS, DEFAULTS, type Settings } from "@/lib/settings";

import styles from "./Panel.module.css";

const VIEWS: readonly (readonly [View, string])[] = [
  ["overlay", "Overlay"],
  ["original", "Original"],
  ["mask", "Mask"],
];

interface Props {
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
  /** The one in force. */
  readonly threshold: number;
  /** The model's own; null before it is known. */
  readonly modelThreshold: number | null;
}

export function ThresholdControl({ change, threshold, modelThreshold }: Props) {
  return (
    <section className={styles.section}>
      <div className={styles.row}>
        <label htmlFor="threshold">Threshold</label>
        <output htmlFor="threshold" className={styles.value}>
          {threshold.toFixed(2)}
        </output>
      </div>
      <input
        id="threshold"
        type="range"
        min={0}
        max={1}
        step={0.01}
        value={threshold}
        onChange={(event) => change({ threshold: event.target.valueAsNumber })}
      />
      <div className={styles.row}>
        <span className={styles.hint}>Lower finds more, higher only the surest</span>
        <button
          type="button"
          className={styles.link}
          disabled={modelThreshold === null || threshold === modelThreshold}
          onClick={() => change({ threshold: null })}
        >
          Reset
        </button>
      </div>
    </section>
  );
}

export function ViewControl({ settings, change }: Props) {
  const comparing = settings.wiper !== null;
  return (
    <section className={styles.section}>
      <fieldset className={styles.segments}>
        <legend className={styles.hidden}>View</legend>
        {VIEWS.map(([view, name]) => (
          <label key={view}>
            <input type="radio" name="view" checked={settings.view === view} onChange={() => change({ view })} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <label className={styles.check}>
        <input type="checkbox" checked={comparing} onChange={() => change({ wiper: comparing ? null : 0.5 })} />
        Compare with the original
      </label>
    </section>
  );
}

export function OverlayControl({ settings, change }: Props) {
  const custom = !COLOURS.some(([colour]) => colour === settings.colour);
  return (
    <section className={styles.section}>
      <fieldset className={styles.swatches}>
        <legend>Overlay colour</legend>
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
      <div className={styles.row}>
        <label htmlFor="opacity">Opacity</label>
        <output htmlFor="opacity" className={styles.value}>
          {Math.round(settings.opacity * 100)} %
        </output>
      </div>
      <input
        id="opacity"
        type="range"
        min={0}
        max={1}
        step={0.05}
        value={settings.opacity}
        onChange={(event) => change({ opacity: event.target.valueAsNumber })}
      />
    </section>
  );
}

/** Whether the overlay on the screen is the one that the server writes. */
export function isServersOverlay({ colour, opacity }: Settings): boolean {
  return colour === DEFAULTS.colour && opacity === DEFAULTS.opacity;
}
