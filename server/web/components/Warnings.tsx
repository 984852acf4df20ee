import { useMessages } from "@/hooks/useMessages";
import type { Result } from "@/lib/strip";

import styles from "./Panel.module.css";

/** What is doubtful about the photograph, above all that was found in it. */
export function Warnings({ warnings, quality }: Pick<Result, "warnings" | "quality">) {
  const words = useMessages().panel;
  return (
    <section className={styles.warnings}>
      <h2>
        {quality && quality.verdict !== "good" ? words.quality[quality.verdict] : words.warnings(warnings.length)}
      </h2>
      {warnings.map((warning) => (
        <p key={warning} lang="en" dir="ltr">
          {warning}
        </p>
      ))}
    </section>
  );
}
