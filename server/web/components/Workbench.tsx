"use client";

import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";

import sample from "@/assets/sample.jpg";
import { useCorrection } from "@/hooks/useCorrection";
import { useCorrectionKeys } from "@/hooks/useCorrectionKeys";
import { useDensities } from "@/hooks/useDensities";
import { useDownload } from "@/hooks/useDownload";
import { useFilmStrip } from "@/hooks/useFilmStrip";
import { useGauges } from "@/hooks/useGauges";
import { useHealth } from "@/hooks/useHealth";
import { useIncoming } from "@/hooks/useIncoming";
import { useKept } from "@/hooks/useKept";
import { useLeaveWarning } from "@/hooks/useLeaveWarning";
import { useMessages, useTranslatedPage } from "@/hooks/useMessages";
import { useModels } from "@/hooks/useModels";
import { usePeek } from "@/hooks/usePeek";
import { usePicture } from "@/hooks/usePicture";
import { useReadBack } from "@/hooks/useReadBack";
import { useSaveAll } from "@/hooks/useSaveAll";
import { useSettings } from "@/hooks/useSettings";
import { useShortcuts } from "@/hooks/useShortcuts";
import { useSpread } from "@/hooks/useSpread";
import { membersOf } from "@/lib/api";
import type { Layer } from "@/lib/classes";
import { resultAsCorrected, versionOf } from "@/lib/corrected";
import { nameOf } from "@/lib/frames";
import type { GaugeKind } from "@/lib/gauge";
import { arrowWay } from "@/lib/languages";
import type { Messages } from "@/lib/messages";
import { measuredText } from "@/lib/readings";
import { compared, hundredths, layersOf, moved, peeked, seen, setBeside } from "@/lib/settings";
import { selectedOf, troubleOf, worthKeeping } from "@/lib/strip";

import { Invitation } from "./Adding";
import { Announcement } from "./Announcement";
import { CorrectNote } from "./CorrectNote";
import { FilmStrip } from "./FilmStrip";
import { Header } from "./Header";
import { Help } from "./Help";
import { Keep } from "./Keep";
import { Notice } from "./Notice";
import { Panel } from "./Panel";
import { PrintSheet } from "./PrintSheet";
import { Undo } from "./Undo";
import { Viewer } from "./Viewer";
import styles from "./Workbench.module.css";
import { Worklist } from "./Worklist";

/** The whole page: the photographs, how they are looked at, and what is told of them. */
export function Workbench() {
  useTranslatedPage();
  const words = useMessages();
  const [strip, dispatch] = useFilmStrip();
  const [settings, change] = useSettings();
  const [shortcuts, setShortcuts] = useState(true);
  const help = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const stage = useRef<HTMLElement>(null);
  const health = useHealth();
  const saving = useSaveAll(strip.photographs, settings);
  const keeping = useKept(strip, dispatch);
  useLeaveWarning(worthKeeping(strip) && !keeping.safe);

  const readBack = useReadBack(strip.photographs, dispatch);
  const { take } = readBack;
  const add = useCallback(
    (files: File[]) => {
      const photographs = take(files);
      if (photographs.length) dispatch({ type: "add", files: photographs });
    },
    [take, dispatch],
  );
  const dragging = useIncoming(add);
  const toInput = useCallback(() => input.current?.focus(), []);
  const addSample = async () => {
    const answer = await fetch(sample.src);
    add([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
  };

  const screen = strip.photographs.length ? strip.screen : "empty";
  const selected = screen === "viewer" ? selectedOf(strip) : undefined;
  const own = usePicture(selected);
  const done = selected?.progress.step === "done" ? selected.progress.result : null;
  const corrected = selected?.corrected ?? null;
  const result = useMemo(() => done && resultAsCorrected(done, corrected), [done, corrected]);
  const layers = useMemo(() => layersOf(result, selected?.thresholds ?? {}, settings), [result, selected, settings]);
  const correction = useCorrection(selected, own, layers, dispatch);
  const { picture } = correction;
  const models = useModels(result?.model);
  const agreed = membersOf(models, selected?.model ?? null) === 1;
  const look = settings.view === "spread" && agreed ? { ...settings, view: "probability" as const } : settings;
  const shownPicture = useSpread(selected, picture, look.view === "spread");
  const gauging = useGauges(selected, result, picture, layers, versionOf(corrected), dispatch);
  const turn = (on: boolean) => {
    correction.turn(on);
    if (on) gauging.choose(null);
    if (on && (look.view === "original" || look.view === "spread")) change(seen("overlay", settings)); // which show no masks
  };
  const correct = { ...correction, turn };
  const correcting = correct.on && result !== null;
  const measure = (tool: GaugeKind | null) => {
    gauging.choose(tool);
    if (tool) correction.turn(false);
  };
  const gauges = { ...gauging, choose: measure };
  const measureOr = (tool: GaugeKind) => result && measure(gauges.tool === tool ? null : tool);
  const densities = useDensities(result, picture, layers, versionOf(corrected));
  const download = useDownload(selected, { layers, opacity: settings.opacity });
  const close = () => {
    if (correcting) correct.turn(false);
    else if (gauges.drawing) gauges.draw(null);
    else if (gauges.tool) measure(null);
    else dispatch({ type: "close" });
  };
  const move = (by: number | null) => {
    if (!selected || !result) return;
    dispatch({ type: "thresholds", id: selected.id, thresholds: moved(selected.thresholds, layers, by) });
  };
  const wipe = (by: number) => settings.wiper !== null && change({ wiper: hundredths(settings.wiper + by) });

  useShortcuts(
    {
      ...(correcting ? {} : { "[": () => move(-0.01), "]": () => move(0.01) }),
      "{": () => move(-0.1),
      "}": () => move(0.1),
      r: () => move(null),
      v: () => change(seen("overlay", settings)),
      m: () => change(seen("mask", settings)),
      p: () => change(seen("probability", settings)),
      c: () => change(compared(settings)),
      "2": () => change(setBeside(settings)),
      ".": () => settings.wiper !== null && change({ wiper: 0.5 }),
      "<": () => wipe(-0.02),
      ">": () => wipe(0.02),
      j: () => dispatch({ type: "move", by: 1 }),
      k: () => dispatch({ type: "move", by: -1 }),
      e: () => result && turn(!correct.on),
      l: () => measureOr("length"),
      t: () => measureOr("width"),
      a: () => measureOr("rectangle"),
      n: () => measureOr("ellipse"),
      s: () => result && void download.start("mask"),
    },
    shortcuts && screen === "viewer",
  );
  useCorrectionKeys(correct, shortcuts && screen === "viewer");
  const peek = usePeek(() => change(seen("original", settings)), shortcuts && screen === "viewer");
  useShortcuts({ u: () => input.current?.click(), "?": () => help.current?.showModal() }, shortcuts);
  useShortcuts({ Escape: close }, screen === "viewer");

  // What was pressed to come here, such as the button by which the first photographs were chosen, is gone.
  useEffect(() => {
    if (screen === "viewer" && document.activeElement === document.body) stage.current?.focus({ preventScroll: true });
  }, [screen]);
  const goOn = (event: KeyboardEvent) => {
    const by = arrowWay(event.key);
    const own = event.defaultPrevented || (event.target as Element).closest("input, [role=slider]");
    if (!by || own || screen !== "viewer") return;
    event.preventDefault();
    dispatch({ type: "move", by });
  };

  return (
    <>
      <title>{words.title}</title>
      <div className={styles.page} data-screen={screen}>
        <Header strip={strip} input={input} add={add} close={close} help={() => help.current?.showModal()} />
        <main ref={stage} className={styles.stage} data-dragging={dragging} tabIndex={-1} onKeyDown={goOn}>
          {screen === "empty" && (
            <Invitation {...{ add, models, dispatch }} model={strip.model} addSample={() => void addSample()} />
          )}
          {screen === "worklist" && <Worklist {...{ strip, dispatch, models, settings, saving }} onEmpty={toInput} />}
          {selected && picture && (
            <Viewer
              picture={shownPicture ?? picture}
              name={nameOf(selected)}
              layers={layers}
              settings={peek.peeking ? peeked(look) : look}
              shortcuts={shortcuts}
              peek={peek}
              onWiper={(wiper) => change({ wiper })}
              correct={correct}
              gauges={gauges}
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
          {dragging && <p className={styles.drop}>{words.invitation.drop}</p>}
          <CorrectNote readBack={readBack} />
          <Undo undo={strip.undo} dispatch={dispatch} onPressed={() => stage.current?.focus({ preventScroll: true })} />
        </main>
        {selected && (
          <nav className={styles.strip} aria-label={words.filmStrip}>
            <FilmStrip strip={strip} dispatch={dispatch} onEmpty={toInput} />
          </nav>
        )}
        {selected && (
          <aside className={styles.panel} aria-label={words.panel.title}>
            <Panel
              {...{ strip, dispatch, selected, result, layers, densities, settings: look, change, download, health }}
              {...{ models, correct, gauges }}
            />
            <Announcement text={announced(layers, densities, words)} />
          </aside>
        )}
        <footer className={styles.footer}>
          <strong>{words.notMedical}</strong> {words.notForDiagnosis}
          {health && !health.ready && ` ${words.notice.gettingReady}`}
          <Keep keeping={keeping} />
        </footer>
        <Help dialog={help} shortcuts={shortcuts} onShortcuts={setShortcuts} />
      </div>
      {selected && result && picture && (
        <PrintSheet
          name={nameOf(selected)}
          picture={picture}
          result={result}
          layers={layers}
          densities={densities}
          opacity={settings.opacity}
          corrected={corrected?.some ?? false}
          gauged={measuredText(
            gauges.gauges.map((one) => [one, gauges.readings.get(one.number)]),
            layers,
            gauges.umPerPx,
            words,
          )}
        />
      )}
    </>
  );
}

/** The densities of what is shown, as a sentence; empty before they are known. */
function announced(
  layers: readonly Layer[],
  densities: readonly (number | undefined)[],
  { percent, panel: words }: Messages,
): string {
  const parts = layers.flatMap(({ name, shown }, number) =>
    shown ? `${name || words.vessels} ${percent(densities[number])}` : [],
  );
  return densities.includes(undefined) ? "" : words.announced(parts);
}
