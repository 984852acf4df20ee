import type { Download } from "@/hooks/useDownload";
import { useMessages } from "@/hooks/useMessages";
import { analyst } from "@/lib/analyst";
import type { Format } from "@/lib/api";
import type { Layer } from "@/lib/classes";

import styles from "./Panel.module.css";

const FORMATS = [
  ["mask", "mask", "PNG"],
  ["overlay", "overlay", "PNG"],
  ["svg", "outlines", "SVG"],
  ["geojson", "outlines", "GeoJSON"],
] as const satisfies readonly (readonly [Format, string, string])[];
const OFFERED = FORMATS.filter(([format]) => analyst.formats.includes(format));

interface Props {
  readonly download: Download;
  readonly layers: readonly Layer[];
}

/** Files of the classes that are shown; of several also a mask of each. */
export function Downloads({ download, layers }: Props) {
  const words = useMessages().download;
  const several = layers.length > 1;
  const count = layers.filter(({ shown }) => shown).length;
  const none = count === 0;
  return (
    <section className={styles.section}>
      <h2>{words.title}</h2>
      <div className={styles.downloads}>
        {OFFERED.map(([format, name, kind]) => (
          <Button
            key={format}
            name={words[count > 1 && format === "mask" ? "labelMap" : name]}
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
              kind={words.maskKind}
              off={false}
              onClick={() => void download.start("mask", name)}
            />
          ))}
      </div>
      <p className={styles.hint} role="status">
        {download.said || (none ? words.noClass : several ? words.several : words.one)}
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
