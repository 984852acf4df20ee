import { useMessages } from "@/hooks/useMessages";
import type { Health } from "@/lib/api";
import type { Layer } from "@/lib/classes";
import type { Result } from "@/lib/strip";

import panel from "./Panel.module.css";
import styles from "./Reading.module.css";

interface DensityProps {
  readonly result: Result;
  readonly layers: readonly Layer[];
  /** Of each layer, 0..1; undefined where it is not known. */
  readonly densities: readonly (number | undefined)[];
}

/** How much of the retina is vessel: what is read first. */
export function Density({ result, layers, densities }: DensityProps) {
  const { percent, panel: words, region: regions } = useMessages();
  const region = regions[result.region];
  return (
    <section className={styles.density}>
      <h2>{layers.length > 1 ? words.density : words.vesselDensity}</h2>
      {layers.map(({ name, colour }, number) => (
        <p key={name}>
          {name && (
            <svg className={styles.dot} viewBox="0 0 10 10" aria-hidden="true">
              <circle cx="5" cy="5" r="4" fill={colour} />
            </svg>
          )}
          <strong data-testid="density">{percent(densities[number])}</strong>{" "}
          <span>{name ? `${name}, ${region}` : region}</span>
        </p>
      ))}
    </section>
  );
}

interface FactsProps {
  readonly result: Result | null;
  readonly health: Health | null;
}

/** The quiet corner: what found it, and how long it took. */
export function Facts({ result, health }: FactsProps) {
  const { facts: words, panel: panelWords, size } = useMessages();
  const model = result?.model ?? (health?.model && `${health.model} ${health.model_version}`);
  const device = result?.device ?? health?.device;
  const precision = result?.precision ?? health?.precision;
  return (
    <section className={styles.facts}>
      <h2 className={panel.hidden}>{words.title}</h2>
      <dl>
        {result?.quality?.verdict === "good" && <Pair name={words.quality} value={panelWords.quality.good} />}
        {model && <Pair name={words.model} value={model} />}
        {device && <Pair name={words.device} value={`${device}, ${precision}`} title={health?.device_name ?? ""} />}
        {result && <Pair name={words.size} value={size(result.width, result.height)} />}
        {result && <Pair name={words.time} value={words.times(result.totalTime, result.serverTime)} />}
      </dl>
    </section>
  );
}

interface PairProps {
  readonly name: string;
  readonly value: string;
  readonly title?: string | undefined;
}

function Pair({ name, value, title }: PairProps) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>
        <bdi>{value}</bdi>
      </dd>
    </div>
  );
}
