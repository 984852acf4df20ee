import { cutsOf, type Layer } from "@/lib/classes";
import type { Picture, Scene } from "@/lib/renderer";
import { rgb, type Settings } from "@/lib/settings";
import type { Viewport } from "@/lib/viewport";

type Look = Pick<Settings, "view" | "opacity" | "wiper">;

/** A frame of a picture with the classes of `layers`. `samples` and `moving`: see Scene. */
export function sceneOf(
  { exclusive }: Pick<Picture, "exclusive">,
  layers: readonly Layer[],
  { view, opacity, wiper }: Look,
  viewport: Viewport,
  samples: number,
  moving = false,
): Scene {
  const cuts = cutsOf(layers, exclusive);
  return {
    viewport,
    view,
    layers: layers.map(({ colour, shown }, number) => ({ cut: cuts[number]!, colour: rgb(colour), shown })),
    exclusive: layers.length > 1 && (exclusive || view === "mask"), // a mask has one class for each pixel
    opacity,
    wiper: wiper ?? 0,
    samples,
    moving,
  };
}
