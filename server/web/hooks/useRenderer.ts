import { type RefObject, useEffect, useRef } from "react";

import { createRenderer, type Picture, type Renderer, type Scene } from "@/lib/renderer";
import type { Size } from "@/lib/viewport";

/** Keeps a canvas in step with picture and scene: at most one drawing a frame of the screen. */
export function useRenderer(
  canvas: RefObject<HTMLCanvasElement | null>,
  name: Renderer["name"],
  picture: Picture,
  scene: Scene,
  size: Size | null,
): void {
  const renderer = useRef<Renderer | null>(null);

  useEffect(() => {
    renderer.current ??= createRenderer(name, canvas.current!);
    renderer.current.setPicture(picture);
  }, [canvas, name, picture]);

  useEffect(
    () => () => {
      renderer.current?.close();
      renderer.current = null;
    },
    [],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: another picture is drawn anew
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const element = canvas.current;
      if (!size || !element || !renderer.current) return;
      // Setting the size, even to what it is, clears a canvas.
      if (element.width !== size.width) element.width = size.width;
      if (element.height !== size.height) element.height = size.height;
      renderer.current.draw(scene);
    });
    return () => cancelAnimationFrame(frame);
  }, [canvas, picture, scene, size]);
}
