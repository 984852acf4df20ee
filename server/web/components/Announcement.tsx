import { useEffect, useState } from "react";

import styles from "./Notice.module.css";

const REST = 700; // ms without a change until it is told: not each step of a slider

/** Says a text to screen readers when it has changed and rests. */
export function Announcement({ text }: { readonly text: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = window.setTimeout(() => setSaid(text), REST);
    return () => window.clearTimeout(timer);
  }, [text]);
  return (
    <p className={styles.hidden} role="status" data-testid="announcement">
      {said}
    </p>
  );
}
