import { useEffect, useRef } from "react";

import type { GaugeControl } from "@/hooks/useGauges";
import { useMessages } from "@/hooks/useMessages";
import type { GaugeKind } from "@/lib/gauge";
import { readingText } from "@/lib/readings";

import { Announcement } from "./Announcement";
import styles from "./Correct.module.css";
import { ToolChoice, type ToolKey } from "./ToolChoice";

const TOOLS: readonly ToolKey<GaugeKind>[] = [
  ["length", "L", "M2.500 13.500l11-11 4 4-11 11zM6 10l2 2M8.500 7.500l1.500 1.500M11 5l2 2"],
  [
    "width",
    "T",
    "M3 3c4 3 4 11 0 14M17 3c-4 3-4 11 0 14M7.500 10h5M9 8.500L7.500 10 9 11.500M11 8.500l1.500 1.500-1.500 1.500",
  ],
  ["rectangle", "A", "M3 5h14v10H3z"],
  ["ellipse", "N", "M2.500 10a7.500 5.500 0 0 1 15 0 7.500 5.500 0 0 1-15 0z"],
];

/** What measures on the photograph, over the picture: tools, and how they are used. */
export function GaugeBar({ control }: { readonly control: GaugeControl }) {
  const words = useMessages();
  const { gauge } = words;
  const { tool, choose, gauges, readings, layers, umPerPx, focus, missed } = control;
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    bar.current!.scrollIntoView({ block: "nearest" }); // enlarged, a page scrolls
  }, []);
  const last = gauges.find(({ number }) => number === focus?.number);
  const text = last && readingText(readings.get(last.number), layers, umPerPx, words);
  return (
    <div ref={bar} className={styles.bar} role="group" aria-label={gauge.bar}>
      <ToolChoice legend={gauge.bar} tools={TOOLS} names={gauge.tools} chosen={tool} choose={choose} />
      <button type="button" className={styles.done} title={words.correct.endKey} onClick={() => choose(null)}>
        {words.correct.end}
      </button>
      <p className={styles.said} role="status">
        {missed ? gauge.noVessel : tool && gauge.how[tool]}
      </p>
      <Announcement text={text && last ? `${gauge.name(gauge.kinds[last.kind], last.number)}: ${text}` : ""} />
    </div>
  );
}
