import type { Download } from "@/hooks/useDownload";
import type { Format } from "@/lib/api";

import styles from "./Panel.module.css";

const FORMATS: readonly (readonly [Format, string, string])[] = [
  ["mask", "Mask", "PNG"],
  ["overlay", "Overlay", "PNG"],
  ["svg", "Outlines", "SVG"],
  ["geojson", "Outlines", "GeoJSON"],
];

export function Downloads({ download }: { readonly download: Download }) {
  return (
    <section className={styles.section}>
      <h2>Download</h2>
      <div className={styles.downloads}>
        {FORMATS.map(([format, name, kind]) => (
          <button key={format} type="button" className={styles.download} onClick={() => void download.start(format)}>
            {name} <small>{kind}</small>
            <svg viewBox="0 0 20 20" aria-hidden="true">
              <path d="M10 3v9m-3.500-3.500L10 12l3.500-3.500M4 16.500h12" />
            </svg>
          </button>
        ))}
      </div>
      <p className={styles.hint} role="status">
        {download.said || "At this threshold, in full resolution."}
      </p>
    </section>
  );
}
