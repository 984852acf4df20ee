import { useMessages } from "@/hooks/useMessages";
import type { Layer } from "@/lib/classes";
import { type ClassChoice, chosen, type Settings, type Thresholds } from "@/lib/settings";
import type { Result } from "@/lib/strip";

import styles from "./Legend.module.css";
import panel from "./Panel.module.css";
import { Reset, Slider } from "./Slider";

interface Props {
  readonly result: Result;
  readonly layers: readonly Layer[];
  readonly thresholds: Thresholds;
  readonly choose: (thresholds: Thresholds) => void;
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
}

/** The classes that a model tells apart: of each its colour, whether it is shown, and its threshold. */
export function Legend({ result, layers, thresholds, choose, settings, change }: Props) {
  const { number: figure, panel: words } = useMessages();
  const look = (name: string, choice: ClassChoice) => change(chosen(settings, name, choice));
  return (
    <section className={panel.section}>
      <div className={styles.head}>
        <h2>{words.thresholds}</h2>
        <Reset own={Object.keys(thresholds).length === 0} reset={() => choose({})} />
      </div>
      {layers.map(({ name, threshold, colour, shown }, number) => (
        <div key={name} className={styles.class} data-shown={shown} role="group" aria-label={name}>
          <input
            type="color"
            aria-label={words.colourOf(name)}
            title={words.colourOf(name)}
            value={colour}
            onChange={(event) => look(name, { colour: event.target.value })}
          />
          <Slider
            id={`threshold-${number}`}
            label={name}
            name={words.thresholdOf(name)}
            step={0.01}
            value={threshold}
            told={figure(threshold, 2)}
            mark={result.classes[number]?.threshold ?? null}
            onChange={(value) => choose({ ...thresholds, [name]: value })}
          />
          <label className={panel.switch} title={words.show(name)}>
            <input
              type="checkbox"
              aria-label={words.show(name)}
              checked={shown}
              onChange={() => look(name, { hidden: shown })}
            />
          </label>
        </div>
      ))}
    </section>
  );
}
