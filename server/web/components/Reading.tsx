import type { Health } from "@/lib/api";
import { density } from "@/lib/probability";
import type { Result } from "@/lib/strip";

import styles from "./Panel.module.css";

export function DensityReading({ result, threshold }: { readonly result: Result | null; readonly threshold: number }) {
  const percent = result ? (100 * density(result.counts, threshold)).toFixed(1) : "–";
  return (
    <section className={styles.section}>
      <h2>Vessel density</h2>
      <p className={styles.reading}>
        <span data-testid="density">{percent}</span> %
      </p>
      <p className={styles.hint}>
        {result?.region === "image" ? "Vessel pixels of all pixels of the image" : "Vessel pixels of the field of view"}
      </p>
    </section>
  );
}

/** The quiet corner: what was used, and how long it took. */
export function Particulars({ result, health }: { readonly result: Result | null; readonly health: Health | null }) {
  const model = result?.model ?? (health?.model && `${health.model} ${health.model_version}`);
  const device = result?.device ?? health?.device;
  const precision = result?.precision ?? health?.precision;
  return (
    <dl className={styles.particulars}>
      {model && <Pair name="Model" value={model} />}
      {device && <Pair name="Device" value={`${device}, ${precision}`} title={health?.device_name ?? ""} />}
      {result && (
        <>
          <Pair name="Size" value={`${result.width} × ${result.height}`} />
          <Pair name="Time" value={`${ms(result.serverTime)} on the server, ${ms(result.totalTime)} in all`} />
        </>
      )}
    </dl>
  );
}

function Pair({
  name,
  value,
  title,
}: {
  readonly name: string;
  readonly value: string;
  readonly title?: string | undefined;
}) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function ms(time: number): string {
  return `${Math.round(time)} ms`;
}
