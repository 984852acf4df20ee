import { useMemo, useRef } from "react";

import { useCanvasSize } from "@/hooks/useCanvasSize";
import { useGestures } from "@/hooks/useGestures";
import { useMessages } from "@/hooks/useMessages";
import { useRenderer } from "@/hooks/useRenderer";
import type { ViewportControl } from "@/hooks/useViewport";
import type { Picture, Renderer, Scene } from "@/lib/renderer";

import styles from "./Compared.module.css";

interface Props {
  readonly picture: Picture;
  readonly renderer: Renderer["name"];
  /** That of the result beside it. */
  readonly scene: Scene;
  readonly view: ViewportControl;
  readonly name: string;
}

/** The photograph alone, beside its result: what moves one moves both. */
export function OriginalPane({ picture, renderer, scene, view, name }: Props) {
  const words = useMessages();
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useCanvasSize(canvas);
  const bare = useMemo(() => {
    const { edits, ...rest } = picture;
    return { ...rest, maps: [] };
  }, [picture]);
  const original = useMemo((): Scene => ({ ...scene, view: "original", layers: [], wiper: 0 }), [scene]);
  useRenderer(canvas, renderer, bare, original, size);
  useGestures(canvas, view);
  return (
    <div className={styles.original}>
      <canvas
        ref={canvas}
        className={styles.canvas}
        data-fitted={view.fitted}
        role="img"
        aria-label={`${name}: ${words.viewer.label.original}.`}
      />
      <span className={styles.side}>{words.view.original}</span>
    </div>
  );
}
