import { useMessages } from "@/hooks/useMessages";
import type { Layer } from "@/lib/classes";
import { HEAT_GRADIENT } from "@/lib/heat";

import styles from "./Compared.module.css";

const MOST = { probability: 1, spread: 0.5 } as const; // what the lightest colour stands for

interface Props {
  readonly view: keyof typeof MOST;
  readonly layers: readonly Layer[];
  /** Whether there is nothing yet that it is the legend of. */
  readonly waiting: boolean;
}

/** What the colours of a heat map mean, and where the thresholds lie among them. */
export function HeatLegend({ view, layers, waiting }: Props) {
  const words = useMessages();
  const most = MOST[view];
  const marks = view === "probability" ? layers.filter(({ shown }) => shown) : [];
  return (
    <figure className={styles.legend}>
      <figcaption>{waiting ? words.download.preparing : words.viewer.heat[view]}</figcaption>
      <div className={styles.scale} style={{ background: HEAT_GRADIENT }}>
        {marks.map(({ name, threshold }) => (
          <span key={name} className={styles.mark} style={{ left: `${100 * threshold}%` }} />
        ))}
      </div>
      <div className={styles.ticks}>
        {[0, most / 2, most].map((share) => (
          <span key={share}>{words.percent(share, 0)}</span>
        ))}
      </div>
    </figure>
  );
}
