import { type ReactNode, useEffect, useRef } from "react";

import { type CorrectControl, LARGEST_BRUSH, type Tool } from "@/hooks/useCorrection";
import { useMessages } from "@/hooks/useMessages";

import styles from "./Correct.module.css";
import { Slider } from "./Slider";
import { Icon, ToolChoice, type ToolKey } from "./ToolChoice";

const TOOLS: readonly ToolKey<Tool>[] = [
  ["brush", "B", "M4 16c0-3 1-4 3-4s3 1 3 2.500S8 17 4 16zM9 11l7-8 1 1-7 8.500"],
  ["eraser", "X", "M3 12l7-8 6 5-6 7H6zM6.500 8l6 5M9 16h8"],
  [
    "fill",
    "F",
    "M4 10l6-6 6 6-6 6zM4.500 10h11M16.500 13c-1 1.500-1.500 2-1.500 3a1.500 1.500 0 0 0 3 0c0-1-.500-1.500-1.500-3z",
  ],
];

/** What draws on the mask, over the picture: tools, the brush's size, undo and redo. */
export function CorrectBar({ correct }: { readonly correct: CorrectControl }) {
  const { correct: words } = useMessages();
  const { tools, choose } = correct;
  const all = useMessages();
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    bar.current!.scrollIntoView({ block: "nearest" }); // enlarged, a page scrolls
  }, []);
  return (
    <div ref={bar} className={styles.bar} role="group" aria-label={words.bar}>
      <ToolChoice
        legend={words.bar}
        tools={TOOLS}
        names={words.tools}
        chosen={tools.tool}
        choose={(tool) => choose({ tool })}
      />
      <div className={styles.size}>
        <Slider
          id="brush-size"
          label={words.size}
          step={0.01}
          value={shareOf(tools.size)}
          told={words.pixels(tools.size)}
          onChange={(share) => choose({ size: sizeOf(share) })}
        />
      </div>
      <Act title={`${words.undo} (${all.help.keys.undo})`} off={!correct.canUndo} onClick={correct.undo}>
        <Icon path="M4 8h8a4 4 0 0 1 0 8H8M4 8l4-4M4 8l4 4" />
      </Act>
      <Act title={`${words.redo} (${all.help.keys.redo})`} off={!correct.canRedo} onClick={correct.redo}>
        <Icon path="M16 8H8a4 4 0 0 0 0 8h4M16 8l-4-4M16 8l-4 4" />
      </Act>
      <button type="button" className={styles.done} title={words.endKey} onClick={() => correct.turn(false)}>
        {words.end}
      </button>
      <p className={styles.said} role="status">
        {correct.said?.(all)}
      </p>
    </div>
  );
}

/** A size on the slider, 0..1: small ones have most of it. */
function shareOf(size: number): number {
  return Math.sqrt((size - 1) / (LARGEST_BRUSH - 1));
}

function sizeOf(share: number): number {
  return Math.round(1 + (LARGEST_BRUSH - 1) * share ** 2);
}

interface ActProps {
  readonly title: string;
  readonly off: boolean;
  readonly onClick: () => void;
  readonly children: ReactNode;
}

/** It keeps the focus when nothing is left to do. */
function Act({ title, off, onClick, children }: ActProps) {
  return (
    <button
      type="button"
      className={styles.act}
      title={title}
      aria-label={title}
      aria-disabled={off}
      onClick={() => off || onClick()}
    >
      {children}
    </button>
  );
}
