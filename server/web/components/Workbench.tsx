"use client";

import { useCallback, useRef, useState } from "react";

import sample from "@/assets/sample.jpg";
import { useDownload } from "@/hooks/useDownload";
import { useFilmStrip } from "@/hooks/useFilmStrip";
import { useHealth } from "@/hooks/useHealth";
import { useIncoming } from "@/hooks/useIncoming";
import { usePicture } from "@/hooks/usePicture";
import { useShortcuts } from "@/hooks/useShortcuts";
import { compared, DEFAULTS, hundredths, type Settings, seen } from "@/lib/settings";
import { selectedOf } from "@/lib/strip";

import { Invitation, Picker } from "./Adding";
import { OverlayControl, ThresholdControl, ViewControl } from "./Controls";
import { Downloads } from "./Downloads";
import { FilmStrip } from "./FilmStrip";
import { Help } from "./Help";
import { Notice } from "./Notice";
import { Reading } from "./Reading";
import { Viewer } from "./Viewer";
import { Warnings } from "./Warnings";
import styles from "./Workbench.module.css";

/** The whole page: the photographs, how they are looked at, and what is told of them. */
export function Workbench() {
  const [strip, dispatch] = useFilmStrip();
  const [settings, setSettings] = useState(DEFAULTS);
  const [shortcuts, setShortcuts] = useState(true);
  const help = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const health = useHealth();

  const change = useCallback((part: Partial<Settings>) => setSettings((before) => ({ ...before, ...part })), []);
  const add = useCallback((files: File[]) => files.length && dispatch({ type: "add", files }), [dispatch]);
  const dragging = useIncoming(add);
  const addSample = async () => {
    const answer = await fetch(sample.src);
    add([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
  };

  const selected = selectedOf(strip);
  const picture = usePicture(selected);
  const result = selected?.progress.step === "done" ? selected.progress.result : null;
  const threshold = settings.threshold ?? result?.threshold ?? 0.5;
  const download = useDownload(selected?.file, { ...settings, threshold });
  const move = (by: number) => change({ threshold: hundredths(threshold + by) });
  const wipe = (by: number) => settings.wiper !== null && change({ wiper: hundredths(settings.wiper + by) });

  useShortcuts(
    {
      "[": () => move(-0.01),
      "]": () => move(0.01),
      "{": () => move(-0.1),
      "}": () => move(0.1),
      r: () => change({ threshold: null }),
      v: () => change(seen("overlay", settings)),
      o: () => change(seen("original", settings)),
      m: () => change(seen("mask", settings)),
      c: () => change(compared(settings)),
      "<": () => wipe(-0.02),
      ">": () => wipe(0.02),
      j: () => dispatch({ type: "move", by: 1 }),
      k: () => dispatch({ type: "move", by: -1 }),
      u: () => input.current?.click(),
      s: () => result && void download.start("mask"),
      "?": () => help.current?.showModal(),
    },
    shortcuts,
  );

  const Title = selected ? "h1" : "p"; // the invitation brings a heading of its own
  const controls = { settings, change, threshold, modelThreshold: result?.threshold ?? null };
  return (
    <div className={styles.page} data-empty={!selected}>
      <header className={styles.header}>
        <Title className={styles.name}>
          <Mark />
          vesselrt
        </Title>
        {selected && (
          <p className={styles.title}>
            <span>{selected.file.name}</span>
            {strip.photographs.length > 1 && (
              <small>
                {strip.photographs.indexOf(selected) + 1} of {strip.photographs.length}
              </small>
            )}
          </p>
        )}
        <Picker add={add} input={input} className={styles.add}>
          Add photographs
        </Picker>
        <button type="button" className={styles.round} aria-label="Help" onClick={() => help.current?.showModal()}>
          ?
        </button>
      </header>
      <main className={styles.stage} data-dragging={dragging}>
        {!selected && <Invitation add={add} addSample={() => void addSample()} />}
        {selected && picture && (
          <Viewer
            picture={picture}
            label={`${selected.file.name}: ${settings.view}. The arrow keys move it.`}
            threshold={threshold}
            settings={settings}
            shortcuts={shortcuts}
            onWiper={(wiper) => change({ wiper })}
          />
        )}
        {selected && (
          <Notice photograph={selected} picture={picture} again={(remedy) => dispatch({ type: "again", remedy })} />
        )}
        {dragging && <p className={styles.drop}>Drop to add</p>}
      </main>
      {selected && (
        <nav className={styles.strip} aria-label="Film strip">
          <FilmStrip strip={strip} dispatch={dispatch} onEmpty={() => input.current?.focus()} />
        </nav>
      )}
      {selected && (
        <aside className={styles.panel} aria-label="Result">
          {result && result.warnings.length > 0 && <Warnings warnings={result.warnings} />}
          <ThresholdControl {...controls} />
          <ViewControl {...controls} />
          <OverlayControl {...controls} />
          {result && <Downloads download={download} />}
          <Reading result={result} threshold={threshold} health={health} />
        </aside>
      )}
      <footer className={styles.footer}>
        <strong>Not a medical device.</strong> Not for diagnosis or treatment.
        {health && !health.ready && " The server is getting ready."}
      </footer>
      <Help dialog={help} shortcuts={shortcuts} onShortcuts={setShortcuts} />
    </div>
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
