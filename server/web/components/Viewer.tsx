"use client";

import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";

import { useBrush } from "@/hooks/useBrush";
import { useCanvasSize } from "@/hooks/useCanvasSize";
import type { CorrectControl } from "@/hooks/useCorrection";
import { useGaugeDrawing } from "@/hooks/useGaugeDrawing";
import type { GaugeControl } from "@/hooks/useGauges";
import { useGestures } from "@/hooks/useGestures";
import { useMessages } from "@/hooks/useMessages";
import type { Peek } from "@/hooks/usePeek";
import { useRenderer } from "@/hooks/useRenderer";
import { useShortcuts } from "@/hooks/useShortcuts";
import { useStill } from "@/hooks/useStill";
import { useViewport } from "@/hooks/useViewport";
import type { Layer } from "@/lib/classes";
import { type Picture, type Renderer, rendererFor } from "@/lib/renderer";
import { sceneOf } from "@/lib/scene";
import type { Settings } from "@/lib/settings";

import correctStyles from "./Correct.module.css";
import { CorrectBar } from "./CorrectBar";
import { GaugeBar } from "./GaugeBar";
import { Gauges } from "./Gauges";
import { HeatLegend } from "./HeatLegend";
import { OriginalPane } from "./OriginalPane";
import { PeekButton } from "./PeekButton";
import styles from "./Viewer.module.css";
import { Wiper } from "./Wiper";

const NOT_YET = { width: 1, height: 1 }; // px: a canvas that has not been laid out
const STEP = 60; // CSS px that an arrow key moves the picture
const SAMPLES = 6; // a photograph of 12 megapixels shrinks to a third on a usual screen
const HASTY = 2; // samples while it is zoomed, when each frame has others

interface Props {
  readonly picture: Picture;
  /** Of the photograph. */
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly settings: Settings;
  readonly shortcuts: boolean;
  readonly onWiper: (wiper: number) => void;
  readonly correct: CorrectControl;
  readonly gauges: GaugeControl;
  readonly peek: Peek;
}

/** The picture, with zoom and pan. A lost graphics context is replaced by a new canvas. */
export function Viewer(props: Props) {
  const [losses, setLosses] = useState(0);
  const name = rendererFor(props.picture);
  return <Stage key={`${name} ${losses}`} {...props} renderer={name} onLost={() => setLosses((n) => n + 1)} />;
}

function Stage({
  picture,
  name,
  layers,
  settings,
  shortcuts,
  onWiper,
  correct,
  gauges,
  peek,
  renderer,
  onLost,
}: Props & { readonly renderer: Renderer["name"]; readonly onLost: () => void }) {
  const { percent, view: names, viewer: words } = useMessages();
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useCanvasSize(canvas);
  const view = useViewport(size ?? NOT_YET, picture);
  const { viewport, panBy, zoomBy, toFit, toFull } = view;
  const still = useStill(viewport);
  const samples = still ? SAMPLES : HASTY;
  const scene = useMemo(
    () => sceneOf(picture, layers, settings, viewport, samples, !still),
    [picture, layers, settings, viewport, samples, still],
  );
  useRenderer(canvas, renderer, picture, scene, size);
  const cursor = useRef<HTMLSpanElement>(null);
  const { brush, press, blur } = useBrush(canvas, cursor, view, size ?? NOT_YET, picture, correct);
  const gauge = useGaugeDrawing(canvas, view, size ?? NOT_YET, picture, gauges);
  useGestures(canvas, view, brush ?? gauge.brush);
  const { on: correcting } = correct;
  const drawing = correcting || gauges.tool !== null;
  const before = useRef(drawing);
  useEffect(() => {
    // Keys draw from the beginning; at the end what was pressed is gone.
    if (before.current !== drawing) canvas.current?.focus({ preventScroll: true });
    before.current = drawing;
  }, [drawing]);
  useShortcuts(
    {
      "+": () => zoomBy(1.25),
      "=": () => zoomBy(1.25),
      "-": () => zoomBy(0.8),
      "0": () => toFit(),
      "1": () => toFull(),
    },
    shortcuts,
  );
  useEffect(() => {
    const element = canvas.current!;
    element.addEventListener("webglcontextlost", onLost);
    return () => element.removeEventListener("webglcontextlost", onLost);
  }, [onLost]);

  const move = (event: KeyboardEvent) => {
    if (press(event) || gauge.press(event)) {
      event.preventDefault();
      return;
    }
    const step = STEP * devicePixelRatio;
    const way = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!way || view.fitted) return; // of a whole picture nothing can be moved
    event.preventDefault();
    panBy(way[0]!, way[1]!);
  };

  const { view: look, beside } = settings;
  return (
    <div className={styles.viewer}>
      {beside && <OriginalPane {...{ picture, renderer, scene, view, name }} />}
      <div className={styles.pane} data-beside={beside}>
        <canvas
          ref={canvas}
          className={styles.canvas}
          data-fitted={view.fitted}
          data-renderer={renderer}
          data-drawing={drawing}
          role="img"
          aria-label={`${name}: ${words.label[look]}.`}
          tabIndex={0}
          onKeyDown={move}
          onBlur={blur}
        />
        {correcting && <span ref={cursor} className={correctStyles.cursor} data-tool={correct.tools.tool} hidden />}
        {size && <Gauges control={gauges} viewport={viewport} size={size} image={picture} canvas={canvas} />}
        {settings.wiper !== null && <Wiper at={settings.wiper} result={names[look]} onMove={onWiper} />}
        {beside && <span className={styles.title}>{names[look]}</span>}
      </div>
      {correcting && <CorrectBar correct={correct} />}
      {gauges.tool && <GaugeBar control={gauges} />}
      {(look === "probability" || look === "spread") && (
        <HeatLegend view={look} layers={layers} waiting={!picture.maps.length} />
      )}
      <div className={styles.zoom} role="group" aria-label={words.zoom}>
        <PeekButton {...peek} />
        <button type="button" onClick={() => zoomBy(0.8)} aria-label={words.zoomOut} title={`${words.zoomOut} (−)`}>
          −
        </button>
        <button type="button" onClick={() => (view.fitted ? toFull() : toFit())} title={words.fit}>
          <span className={styles.percent}>{percent(viewport.scale, 0)}</span>
        </button>
        <button type="button" onClick={() => zoomBy(1.25)} aria-label={words.zoomIn} title={`${words.zoomIn} (+)`}>
          +
        </button>
      </div>
    </div>
  );
}
