import { useMessages } from "@/hooks/useMessages";

import styles from "./Correct.module.css";

/** A tool, its key, and what is drawn on it. */
export type ToolKey<Name extends string> = readonly [tool: Name, key: string, path: string];

interface Props<Name extends string> {
  readonly legend: string;
  readonly tools: readonly ToolKey<Name>[];
  readonly names: Readonly<Record<Name, string>>;
  readonly chosen: Name | null;
  readonly choose: (tool: Name) => void;
}

/** One of several tools, as radio buttons. */
export function ToolChoice<Name extends string>({ legend, tools, names, chosen, choose }: Props<Name>) {
  const { toolKey } = useMessages().correct;
  return (
    <fieldset className={styles.tools}>
      <legend className={styles.hidden}>{legend}</legend>
      {tools.map(([tool, key, path]) => (
        <label key={tool} title={toolKey(names[tool], key)}>
          <input
            type="radio"
            name="tool"
            aria-label={names[tool]}
            checked={chosen === tool}
            onChange={() => choose(tool)}
          />
          <Icon path={path} />
        </label>
      ))}
    </fieldset>
  );
}

export function Icon({ path }: { readonly path: string }) {
  return (
    <svg viewBox="0 0 20 20" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}
