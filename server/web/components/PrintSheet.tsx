import { useEffect, useRef } from "react";

import { useMessages } from "@/hooks/useMessages";
import { CanvasRenderer } from "@/lib/canvasRenderer";
import type { Layer } from "@/lib/classes";
import { printedFacts } from "@/lib/printed";
import type { Picture, View } from "@/lib/renderer";
import { sceneOf } from "@/lib/scene";
import type { Result } from "@/lib/strip";

import styles from "./PrintSheet.module.css";

const WIDEST = 1400; // px of a picture on paper: 400 for an inch of half a page
const SAMPLES = 6; // as on the screen at rest

interface Props {
  readonly name: string;
  readonly picture: Picture;
  readonly result: Result;
  readonly layers: readonly Layer[];
  readonly densities: readonly (number | undefined)[];
  readonly opacity: number;
  readonly corrected: boolean;
  /** What was measured by hand, in a line. */
  readonly gauged: string;
}

/** What is printed of a photograph, on one page: as it is, with its vessels, and what is told of them. */
export function PrintSheet(props: Props) {
  const { name, picture, result, layers, densities, opacity, corrected, gauged } = props;
  const messages = useMessages();
  const words = messages.print;
  const original = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);

  // Drawn when they are needed: two more canvases for each step of a slider would cost it its speed.
  useEffect(() => {
    const print = () => {
      drawWhole(original.current!, picture, layers, "original", opacity);
      drawWhole(overlay.current!, picture, layers, "overlay", opacity);
    };
    window.addEventListener("beforeprint", print);
    return () => window.removeEventListener("beforeprint", print);
  }, [picture, layers, opacity]);

  return (
    <section className={styles.sheet}>
      <h1>
        <bdi>{name}</bdi>
      </h1>
      <div className={styles.pictures}>
        <figure>
          <canvas ref={original} />
          <figcaption>{words.original}</figcaption>
        </figure>
        <figure>
          <canvas ref={overlay} />
          <figcaption>{words.overlay}</figcaption>
        </figure>
      </div>
      <dl>
        {printedFacts(result, layers, { shares: densities, measured: null, corrected, gauged }, messages).map(
          ({ name, value, colour, lang }) => (
            <div key={name + value}>
              <dt>{name}</dt>
              <dd {...(lang && { lang, dir: "ltr" })}>
                {colour && (
                  <svg viewBox="0 0 10 10" aria-hidden="true">
                    <circle cx="5" cy="5" r="4" fill={colour} />
                  </svg>
                )}
                {value}
              </dd>
            </div>
          ),
        )}
      </dl>
      <p>
        <strong>{messages.notMedical}</strong> {messages.notForDiagnosis}
      </p>
    </section>
  );
}

function drawWhole(
  canvas: HTMLCanvasElement,
  picture: Picture,
  layers: readonly Layer[],
  view: View,
  opacity: number,
): void {
  const { width, height } = picture;
  const scale = Math.min(1, WIDEST / width);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const viewport = { scale, centre: { x: width / 2, y: height / 2 } };
  const renderer = new CanvasRenderer(canvas, true);
  renderer.setPicture(picture);
  renderer.draw(sceneOf(picture, layers, { view, opacity, wiper: null }, viewport, SAMPLES));
  renderer.close();
}
