"use client";

import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import sample from "@/assets/sample.jpg";
import { useDensities } from "@/hooks/useDensities";
import { useDownload } from "@/hooks/useDownload";
import { useFilmStrip } from "@/hooks/useFilmStrip";
import { useHealth } from "@/hooks/useHealth";
import { useIncoming } from "@/hooks/useIncoming";
import { usePicture } from "@/hooks/usePicture";
import { useSettings } from "@/hooks/useSettings";
import { useShortcuts } from "@/hooks/useShortcuts";
import type { Layer } from "@/lib/classes";
import { compared, hundredths, layersOf, moved, seen } from "@/lib/settings";
import { selectedOf, troubleOf } from "@/lib/strip";

import { Invitation, Picker } from "./Adding";
import { Announcement } from "./Announcement";
import { OverlayControl, ThresholdControl, ViewControl } from "./Controls";
import { Downloads } from "./Downloads";
import { FilmStrip } from "./FilmStrip";
import { Help } from "./Help";
import { Legend } from "./Legend";
import { Notice } from "./Notice";
import { PrintSheet } from "./PrintSheet";
import { Reading } from "./Reading";
import { Viewer } from "./Viewer";
import { Warnings } from "./Warnings";
import styles from "./Workbench.module.css";

/** The whole page: the photographs, how they are looked at, and what is told of them. */
export function Workbench() {
  const [strip, dispatch] = useFilmStrip();
  const [settings, change] = useSettings();
  const [shortcuts, setShortcuts] = useState(true);
  const help = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const stage = useRef<HTMLElement>(null);
  const health = useHealth();

  const add = useCallback((files: File[]) => files.length && dispatch({ type: "add", files }), [dispatch]);
  const dragging = useIncoming(add);
  const addSample = async () => {
    const answer = await fetch(sample.src);
    add([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
  };

  const selected = selectedOf(strip);
  const picture = usePicture(selected);
  const result = selected?.progress.step === "done" ? selected.progress.result : null;
  const layers = useMemo(() => layersOf(result, settings), [result, settings]);
  const several = layers.length > 1;
  const densities = useDensities(result, picture, layers);
  const download = useDownload(selected?.file, { layers, opacity: settings.opacity });
  const move = (by: number | null) => change(moved(settings, layers, by));
  const wipe = (by: number) => settings.wiper !== null && change({ wiper: hundredths(settings.wiper + by) });

  useShortcuts(
    {
      "[": () => move(-0.01),
      "]": () => move(0.01),
      "{": () => move(-0.1),
      "}": () => move(0.1),
      r: () => move(null),
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

  // The button by which the first photographs were chosen is gone, and its focus with it.
  const begun = selected !== undefined;
  useEffect(() => {
    if (begun && document.activeElement === document.body) stage.current?.focus({ preventScroll: true });
  }, [begun]);

  const Title = selected ? "h1" : "p"; // the invitation brings a heading of its own
  const controls = { settings, change };
  return (
    <>
      <div className={styles.page} data-empty={!selected}>
        <header className={styles.header}>
          <Title className={styles.name}>
            <Mark />
            vesselrt
          </Title>
          {selected && (
            <p className={styles.title}>
              <bdi>{selected.file.name}</bdi>
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
        <main ref={stage} className={styles.stage} data-dragging={dragging} tabIndex={-1}>
          {!selected && <Invitation add={add} addSample={() => void addSample()} />}
          {selected && picture && (
            <Viewer
              picture={picture}
              label={`${selected.file.name}: ${settings.view}. The arrow keys move it.`}
              layers={layers}
              settings={settings}
              shortcuts={shortcuts}
              onWiper={(wiper) => change({ wiper })}
            />
          )}
          {selected && (
            <Notice
              photograph={selected}
              picture={picture}
              trouble={troubleOf(strip.photographs, selected)}
              again={(remedy) => dispatch({ type: "again", remedy })}
            />
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
            {result && several ? (
              <Legend {...controls} result={result} layers={layers} />
            ) : (
              <ThresholdControl
                change={change}
                threshold={layers[0]!.threshold}
                modelThreshold={result?.threshold ?? null}
              />
            )}
            <ViewControl {...controls} />
            <OverlayControl {...controls} coloured={!several} />
            {result && <Downloads download={download} layers={layers} />}
            <Reading result={result} layers={layers} densities={densities} health={health} />
            <Announcement text={announced(layers, densities)} />
          </aside>
        )}
        <footer className={styles.footer}>
          <strong>Not a medical device.</strong> Not for diagnosis or treatment.
          {health && !health.ready && " The server is getting ready."}
        </footer>
        <Help dialog={help} shortcuts={shortcuts} onShortcuts={setShortcuts} />
      </div>
      {selected && result && picture && (
        <PrintSheet
          name={selected.file.name}
          picture={picture}
          result={result}
          layers={layers}
          densities={densities}
          opacity={settings.opacity}
        />
      )}
    </>
  );
}

/** The densities of what is shown, as a sentence; empty before they are known. */
function announced(layers: readonly Layer[], densities: readonly string[]): string {
  const parts = layers.flatMap(({ name, shown }, number) =>
    shown ? `${name || "vessels"} ${densities[number]} %` : [],
  );
  return densities.includes("–") ? "" : `Density: ${parts.join(", ")}`;
}

function Mark() {
  return (
    <svg className={styles.mark} viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="10" />
      <path d="M3 15c5-1 6-2 9-3s5-4 7-7M12 12c3 1 5 3 6 7M8 13.500c1-3 2-5 2-9" />
    </svg>
  );
}
