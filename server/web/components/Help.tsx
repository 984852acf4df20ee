import type { RefObject } from "react";

import { SHORTCUTS } from "@/lib/shortcuts";

import styles from "./Help.module.css";

interface Props {
  readonly dialog: RefObject<HTMLDialogElement | null>;
  readonly shortcuts: boolean;
  readonly onShortcuts: (on: boolean) => void;
}

export function Help({ dialog, shortcuts, onShortcuts }: Props) {
  return (
    <dialog ref={dialog} className={styles.help} aria-labelledby="help-title">
      <form method="dialog">
        <h2 id="help-title">Keys and gestures</h2>
        <button type="submit" className={styles.close} aria-label="Close">
          ×
        </button>
      </form>
      <dl>
        {SHORTCUTS.map(([keys, does]) => (
          <div key={does}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p>Wheel or pinch to zoom, drag to move, double click for 100 % and back.</p>
      {/* Speech input types letters: WCAG 2.1.4 asks for a way to turn single keys off. */}
      <label>
        <input type="checkbox" checked={shortcuts} onChange={(event) => onShortcuts(event.target.checked)} />
        Single keys are shortcuts
      </label>
      <p className={styles.about}>
        A pixel is vessel where its probability reaches the threshold. The density is the share of the field of view
        that is vessel; the server finds the field by the photograph’s dark surround. Not a medical device: not for
        diagnosis or treatment. Sample photograph: Häggström, CC0. <a href="licences.txt">Licences</a> of what this page
        is made with.
      </p>
    </dialog>
  );
}
