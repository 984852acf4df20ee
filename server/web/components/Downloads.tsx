import type { Download } from "@/hooks/useDownload";
import type { Format } from "@/lib/api";
import type { Layer } from "@/lib/classes";

import styles from "./Panel.module.css";

const FORMATS: readonly (readonly [Format, string, string])[] = [
  ["mask", "Mask", "PNG"],
  ["overlay", "Overlay", "PNG"],
  ["svg", "Outlines", "SVG"],
  ["geojson", "Outlines", "GeoJSON"],
];

interface Props {
  readonly download: Download;
  readonly layers: readonly Layer[];
}

/** Files of the classes that are shown; of several also a mask of each. */
export function Downloads({ download, layers }: Props) {
  const several = layers.length > 1;
  const count = layers.filter(({ shown }) => shown).length;
  const none = count === 0;
  return (
    <section className={styles.section}>
      <h2>Download</h2>
      <div className={styles.downloads}>
        {FORMATS.map(([format, name, kind]) => (
          <Button
            key={format}
            name={count > 1 && format === "mask" ? "Label map" : name}
            kind={kind}
            off={none}
            onClick={() => void download.start(format)}
          />
        ))}
        {several &&
          layers.map(({ name }) => (
            <Button
              key={name}
              name={name}
              kind="Mask PNG"
              off={false}
              onClick={() => void download.start("mask", name)}
            />
          ))}
      </div>
      <p className={styles.hint} role="status">
        {download.said ||
          (none
            ? "Every class is switched off."
            : several
              ? "At these thresholds, in full resolution, of the classes that are shown."
              : "At this threshold, in full resolution.")}
      </p>
    </section>
  );
}

interface ButtonProps {
  readonly name: string;
  readonly kind: string;
  readonly off: boolean;
  readonly onClick: () => void;
}

function Button({ name, kind, off, onClick }: ButtonProps) {
  return (
    <button type="button" className={styles.download} aria-disabled={off} onClick={() => off || onClick()}>
      {name} <small>{kind}</small>
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <path d="M10 3v9m-3.500-3.500L10 12l3.500-3.500M4 16.500h12" />
      </svg>
    </button>
  );
}
