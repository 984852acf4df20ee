import type { RefObject } from "react";

import { useMessages } from "@/hooks/useMessages";
import { keyName, SHORTCUTS } from "@/lib/shortcuts";

import styles from "./Help.module.css";

interface Props {
  readonly dialog: RefObject<HTMLDialogElement | null>;
  readonly shortcuts: boolean;
  readonly onShortcuts: (on: boolean) => void;
}

export function Help({ dialog, shortcuts, onShortcuts }: Props) {
  const words = useMessages().help;
  return (
    <dialog ref={dialog} className={styles.help} aria-labelledby="help-title">
      <form method="dialog">
        <h2 id="help-title">{words.title}</h2>
        <button type="submit" className={styles.close} aria-label={words.close}>
          ×
        </button>
      </form>
      <dl>
        {SHORTCUTS.map(([keys, does]) => (
          <div key={does}>
            <dt>
              {keys.map((key) => (
                <kbd key={key} dir="ltr">
                  {keyName(key, words.keys)}
                </kbd>
              ))}
            </dt>
            <dd>{words.does[does]}</dd>
          </div>
        ))}
      </dl>
      <p>
        {words.gestures} {words.drawing}
      </p>
      {/* Speech input types letters: WCAG 2.1.4 asks for a way to turn single keys off. */}
      <label>
        <input type="checkbox" checked={shortcuts} onChange={(event) => onShortcuts(event.target.checked)} />
        {words.singleKeys}
      </label>
      <p className={styles.about}>
        {words.rule} {words.density} {words.medical} {words.sample}{" "}
        {words.licences((text) => (
          <a key="licences" href="licences.txt">
            {text}
          </a>
        ))}
      </p>
    </dialog>
  );
}
