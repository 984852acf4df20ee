import type { Settings } from "@/lib/settings";

type Taste = Pick<Settings, "colour" | "opacity">;

const KEY = "vesselrt-look";

/** What was remembered in this browser, as far as it makes sense; nothing of photographs ever is. */
export function recall(): Partial<Taste> {
  try {
    return tasteOf(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
  } catch {
    return {}; // a browser may forbid it; where the page is built there is none
  }
}

export function remember(taste: Taste): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(taste));
  } catch {
    // It is forgotten when the page is closed.
  }
}

/** The parts of a value of any kind that are a colour and an opacity. */
export function tasteOf(value: unknown): Partial<Taste> {
  const { colour, opacity } = Object(value) as Record<string, unknown>;
  return {
    ...(typeof colour === "string" && /^#[0-9a-f]{6}$/i.test(colour) && { colour }),
    ...(typeof opacity === "number" && opacity >= 0 && opacity <= 1 && { opacity }),
  };
}
