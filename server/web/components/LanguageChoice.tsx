import { useLanguage, useMessages } from "@/hooks/useMessages";
import { changeLanguage, LANGUAGES, type Language } from "@/lib/languages";

import styles from "./Workbench.module.css";

const NAMES = Object.entries(LANGUAGES) as [Language, (typeof LANGUAGES)[Language]][];

/** A globe over which lies the browser's own list. */
export function LanguageChoice() {
  const language = useLanguage();
  const words = useMessages().header;
  return (
    <div className={`${styles.round} ${styles.language}`}>
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="7.500" />
        <path d="M2.500 10h15M10 2.500c-5 5-5 10 0 15M10 2.500c5 5 5 10 0 15" />
      </svg>
      <select
        aria-label={words.language}
        title={words.language}
        value={language}
        onChange={({ target }) => changeLanguage(target.value as Language)}
      >
        {NAMES.map(([tag, { name }]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
