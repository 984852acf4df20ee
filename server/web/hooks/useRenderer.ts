import { type RefObject, useEffect, useRef } from "react";
import { around, type Rect } from "@/lib/coverage";
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

  // What is drawn on the picture is seen with the next frame of the screen, however many pieces come before it.
  useEffect(() => {
    let [frame, pending] = [0, null as Rect | null];
    const end = picture.edits?.subscribe((rect) => {
      pending = pending ? around(pending, rect) : rect;
      frame ||= requestAnimationFrame(() => {
        if (pending) renderer.current?.change(pending);
        frame = 0;
        pending = null;
      });
    });
    return () => {
      end?.();
      cancelAnimationFrame(frame);
    };
  }, [picture]);

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
