import { type FocusEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import type { SaveAll, Saving } from "@/hooks/useSaveAll";
import { analyst } from "@/lib/analyst";

import styles from "./SaveMenu.module.css";

const WAYS: readonly Saving[] = ["mask", "overlay", "geojson", "training", "csv", "measured", "pdf"];
const OFFERED = WAYS.filter(
  (what) =>
    (what !== "geojson" || analyst.formats.includes(what)) && (what !== "measured" || analyst.predictMeasured !== null),
);

interface Props {
  readonly saving: SaveAll;
  /** Whether there is nothing to save. */
  readonly off: boolean;
}

/** A button, and the menu that it opens: what is saved of all photographs. */
export function SaveMenu({ saving, off }: Props) {
  const { saveAll, keeping } = useMessages();
  const words = { ...saveAll, measured: keeping.measured, pdf: keeping.pdf };
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const inactive = off || saving.cancel !== null;

  useEffect(() => {
    if (open) menu.current!.querySelector("button")!.focus();
  }, [open]);

  const close = () => {
    setOpen(false);
    button.current!.focus();
  };
  const leave = (event: FocusEvent) => {
    if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false);
  };
  const press = (event: KeyboardEvent) => {
    const items = [...(menu.current?.querySelectorAll("button") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" && open) close();
    else if (event.key === "ArrowDown" && !open && !inactive) setOpen(true);
    else if (next !== undefined && open) items.at(next % items.length)!.focus();
    else return;
    event.preventDefault();
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the button and the menu in it
    <div className={styles.save} onBlur={leave} onKeyDown={press}>
      <button
        ref={button}
        type="button"
        className={styles.saveAll}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-disabled={inactive}
        onClick={() => inactive || setOpen(!open)}
      >
        {words.title}
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M5 8l5 5 5-5" />
        </svg>
      </button>
      {open && (
        <div ref={menu} className={styles.menu} role="menu" aria-label={words.title}>
          {OFFERED.map((what) => (
            <button
              key={what}
              type="button"
              role="menuitem"
              tabIndex={-1}
              onClick={() => {
                close();
                saving.start(what);
              }}
            >
              {words[what].name} <small>{words[what].kind}</small>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
