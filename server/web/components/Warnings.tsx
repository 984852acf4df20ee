import styles from "./Panel.module.css";

/** What is doubtful about the photograph, above all that was found in it. */
export function Warnings({ warnings }: { readonly warnings: readonly string[] }) {
  return (
    <section className={styles.warnings}>
      <h2>{warnings.length === 1 ? "Warning" : "Warnings"}</h2>
      {warnings.map((warning) => (
        <p key={warning}>{warning}</p>
      ))}
    </section>
  );
}
