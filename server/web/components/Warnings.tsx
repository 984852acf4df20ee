import { useMessages } from "@/hooks/useMessages";

import styles from "./Panel.module.css";

/** What is doubtful about the photograph, above all that was found in it. */
export function Warnings({ warnings }: { readonly warnings: readonly string[] }) {
  const words = useMessages().panel;
  return (
    <section className={styles.warnings}>
      <h2>{words.warnings(warnings.length)}</h2>
      {warnings.map((warning) => (
        <p key={warning} lang="en" dir="ltr">
          {warning}
        </p>
      ))}
    </section>
  );
}
