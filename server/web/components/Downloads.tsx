import { useState } from "react";

import { type Format, predictFile } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { save } from "@/lib/files";

import styles from "./Panel.module.css";

const FORMATS: readonly (readonly [Format, string, string])[] = [
  ["mask", "Mask", "PNG"],
  ["overlay", "Overlay", "PNG"],
  ["svg", "Outlines", "SVG"],
  ["geojson", "Outlines", "GeoJSON"],
];

interface Props {
  readonly file: File;
  readonly threshold: number;
  /** Whether the overlay on the screen looks otherwise than the file. */
  readonly otherOverlay: boolean;
}

export function Downloads({ file, threshold, otherOverlay }: Props) {
  const [said, setSaid] = useState("");
  const download = async (format: Format) => {
    setSaid("Preparing …");
    try {
      const { file: made, name } = await predictFile(file, format, threshold);
      save(made, name);
      setSaid(`${name} saved.`);
    } catch (error) {
      const { title, advice } = trouble(error);
      setSaid(`${title}. ${advice}`);
    }
  };
  return (
    <section className={styles.section}>
      <h2>Download</h2>
      <div className={styles.downloads}>
        {FORMATS.map(([format, name, kind]) => (
          <button key={format} type="button" className={styles.download} onClick={() => void download(format)}>
            {name} <small>{kind}</small>
            <svg viewBox="0 0 20 20" aria-hidden="true">
              <path d="M10 3v9m-3.500-3.500L10 12l3.500-3.500M4 16.500h12" />
            </svg>
          </button>
        ))}
      </div>
      <p className={styles.hint} role="status">
        {said || "At this threshold, in full resolution."}
        {otherOverlay && " Overlay files are always green, 55 %."}
      </p>
    </section>
  );
}
