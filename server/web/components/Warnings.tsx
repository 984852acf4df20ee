import { useMessages } from "@/hooks/useMessages";
import { tellWarning } from "@/lib/messages/doubts";
import type { Result } from "@/lib/strip";

import styles from "./Panel.module.css";

/** What is doubtful about the photograph, above all that was found in it. */
export function Warnings({ warnings, quality }: Pick<Result, "warnings" | "quality">) {
  const { panel: words, doubts } = useMessages();
  return (
    <section className={styles.warnings}>
      <h2>
        {quality && quality.verdict !== "good" ? words.quality[quality.verdict] : words.warnings(warnings.length)}
      </h2>
      {warnings.map((warning) => {
        const { text, lang } = tellWarning(warning, doubts);
        return (
          <p key={warning} lang={lang} dir="auto">
            {text}
          </p>
        );
      })}
    </section>
  );
}
