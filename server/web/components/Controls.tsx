import { useMessages } from "@/hooks/useMessages";
import type { View } from "@/lib/renderer";
import { COLOURS, compared, type Settings, seen, setBeside, type Thresholds } from "@/lib/settings";

import styles from "./Panel.module.css";
import { Reset, Slider } from "./Slider";

const VIEWS: readonly (readonly [View, string])[] = [
  ["overlay", "V"],
  ["original", "O"],
  ["mask", "M"],
  ["probability", "P"],
];
const SPREAD = ["spread", ""] as const; // only some models have it

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
  const { number, panel: words } = useMessages();
  return (
    <section className={styles.section}>
      <Slider
        id="threshold"
        label={words.threshold}
        large
        off={off}
        step={0.01}
        value={threshold}
        told={number(threshold, 2)}
        mark={modelThreshold}
        onChange={(value) => choose({ "": value })}
      />
      <div className={styles.ends}>
        <span>{words.more}</span>
        <Reset own={modelThreshold === null || threshold === modelThreshold} reset={() => choose({})} />
        <span>{words.surest}</span>
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
  const words = useMessages().panel;
  return (
    <section className={styles.apply}>
      <button type="button" aria-disabled={off} onClick={() => off || apply()}>
        {words.applyToAll(count)}
      </button>
    </section>
  );
}

interface ViewProps extends Props {
  /** How many maps the model averages. */
  readonly members: number;
}

export function ViewControl({ settings, change, off, members }: ViewProps) {
  const { view: names, panel: words } = useMessages();
  return (
    <section className={styles.section} data-off={off}>
      <fieldset className={styles.segments}>
        <legend className={styles.hidden}>{words.view}</legend>
        {[...VIEWS, ...(members > 1 ? [SPREAD] : [])].map(([view, key]) => (
          <label key={view} title={key && `${names[view]} (${key})`}>
            <input
              type="radio"
              name="view"
              checked={settings.view === view}
              aria-disabled={off}
              onChange={() => off || change(seen(view, settings))}
            />
            <span>{names[view]}</span>
          </label>
        ))}
      </fieldset>
      <label className={styles.switch}>
        {words.compare}
        <input
          type="checkbox"
          checked={settings.wiper !== null}
          aria-disabled={off}
          onChange={() => off || change(compared(settings))}
        />
      </label>
      <label className={styles.switch}>
        {words.beside}
        <input
          type="checkbox"
          checked={settings.beside}
          aria-disabled={off}
          onChange={() => off || change(setBeside(settings))}
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
  const { percent, panel: words } = useMessages();
  const inactive = off || settings.view !== "overlay";
  return (
    <section className={styles.section} data-off={inactive}>
      {coloured && <Swatches settings={settings} change={change} off={inactive} />}
      <Slider
        id="opacity"
        label={words.opacity}
        off={inactive}
        step={0.05}
        value={settings.opacity}
        told={percent(settings.opacity, 0)}
        onChange={(opacity) => change({ opacity })}
      />
    </section>
  );
}

function Swatches({ settings, change, off }: Props) {
  const words = useMessages().panel;
  const custom = !COLOURS.some(([colour]) => colour === settings.colour);
  const choose = (colour: string) => off || change({ colour });
  return (
    <fieldset className={styles.swatches}>
      <legend>{words.colour}</legend>
      {COLOURS.map(([colour, name]) => (
        <label key={colour} title={words.colours[name]}>
          <input
            type="radio"
            name="colour"
            aria-label={words.colours[name]}
            checked={settings.colour === colour}
            aria-disabled={off}
            onChange={() => choose(colour)}
          />
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <circle cx="12" cy="12" r="9" fill={colour} />
          </svg>
        </label>
      ))}
      <label className={styles.custom} data-chosen={custom} title={words.otherColour}>
        <input
          type="color"
          aria-label={words.otherColour}
          value={settings.colour}
          disabled={off}
          onChange={(event) => choose(event.target.value)}
        />
      </label>
    </fieldset>
  );
}
