import type { RefObject } from "react";

import { useMessages } from "@/hooks/useMessages";
import { nameOf } from "@/lib/frames";
import type { Strip } from "@/lib/strip";
import { selectedOf } from "@/lib/strip";

import { Picker } from "./Adding";
import { LanguageChoice } from "./LanguageChoice";
import styles from "./Workbench.module.css";

interface Props {
  readonly strip: Strip;
  readonly input: RefObject<HTMLInputElement | null>;
  readonly add: (files: File[]) => void;
  /** Back to all photographs. */
  readonly close: () => void;
  readonly help: () => void;
}

export function Header({ strip, input, add, close, help }: Props) {
  const { place, header: words } = useMessages();
  const selected = selectedOf(strip);
  const { photographs, screen } = strip;
  const several = photographs.length > 1;
  const Title = selected ? "h1" : "p"; // the invitation brings a heading of its own
  return (
    <header className={styles.header}>
      <Title className={styles.name}>
        <Mark />
        vesselrt
      </Title>
      {selected && screen === "viewer" && (
        <p className={styles.title}>
          {several && (
            <button type="button" className={styles.back} title={words.allKey} onClick={close}>
              <svg viewBox="0 0 20 20" aria-hidden="true">
                <path d="M3 3h5v5H3zM12 3h5v5h-5zM3 12h5v5H3zM12 12h5v5h-5z" />
              </svg>
              {words.all}
            </button>
          )}
          <bdi>{nameOf(selected)}</bdi>
          {several && <small>{place(photographs.indexOf(selected) + 1, photographs.length)}</small>}
        </p>
      )}
      <Picker add={add} input={input} className={styles.add}>
        {words.add}
      </Picker>
      <LanguageChoice />
      <button type="button" className={styles.round} aria-label={words.help} onClick={help}>
        ?
      </button>
    </header>
  );
}

function Mark() {
  return (
    <svg className={styles.mark} viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="10" />
      <path d="M3 15c5-1 6-2 9-3s5-4 7-7M12 12c3 1 5 3 6 7M8 13.500c1-3 2-5 2-9" />
    </svg>
  );
}
