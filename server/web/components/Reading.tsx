import type { Health } from "@/lib/api";
import { density } from "@/lib/probability";
import type { Result } from "@/lib/strip";
import { duration } from "@/lib/words";

import styles from "./Panel.module.css";

interface Props {
  readonly result: Result | null;
  readonly threshold: number;
  readonly health: Health | null;
}

/** The quiet corner: how much of the retina is vessel, what found it, and how long it took. */
export function Reading({ result, threshold, health }: Props) {
  const model = result?.model ?? (health?.model && `${health.model} ${health.model_version}`);
  const device = result?.device ?? health?.device;
  const precision = result?.precision ?? health?.precision;
  const counts = result?.counts;
  return (
    <section className={styles.reading}>
      <h2>Vessel density</h2>
      <p>
        <strong data-testid="density">{counts ? (100 * density(counts, threshold)).toFixed(1) : "–"}</strong> %{" "}
        <span>{result?.region === "image" ? "of the image" : "of the field of view"}</span>
      </p>
      <dl>
        {model && <Pair name="Model" value={model} />}
        {device && <Pair name="Device" value={`${device}, ${precision}`} title={health?.device_name ?? ""} />}
        {result && <Pair name="Size" value={`${result.width} × ${result.height}`} />}
        {result && (
          <Pair
            name="Time"
            value={`${duration(result.totalTime)}, ${duration(result.serverTime)} of it on the server`}
          />
        )}
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
      <dd>{value}</dd>
    </div>
  );
}
