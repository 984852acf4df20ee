import { type Dispatch, type KeyboardEvent, memo, type RefObject, useEffect, useRef } from "react";
import { useFocusedDispatch } from "@/hooks/useFocusedDispatch";
import { useMessages } from "@/hooks/useMessages";
import { useNearFirst } from "@/hooks/useNearFirst";
import { nameOf } from "@/lib/frames";
import { arrowWay } from "@/lib/languages";
import type { Messages } from "@/lib/messages";
import { tellWarning } from "@/lib/messages/doubts";
import type { Photograph, Strip, StripAction } from "@/lib/strip";
import { sharesOf } from "@/lib/worklist";

import styles from "./FilmStrip.module.css";

interface Props {
  readonly strip: Strip;
  readonly dispatch: Dispatch<StripAction>;
  /** Called when the last photograph was removed: the focus has no place here any more. */
  readonly onEmpty: () => void;
}

/** The photographs; one of them is reached by Tab, the others from there by arrow keys. */
export function FilmStrip({ strip: { photographs, selected }, dispatch, onEmpty }: Props) {
  const words = useMessages();
  const current = useRef<HTMLButtonElement>(null);
  const act = useFocusedDispatch(current, dispatch, onEmpty);
  const { shown, whole } = useNearFirst(photographs, selected);

  // biome-ignore lint/correctness/useExhaustiveDependencies: it is another one's button, or at another place
  useEffect(() => {
    current.current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected, whole]);

  const press = (event: KeyboardEvent) => {
    const by = arrowWay(event.key) ?? ({ ArrowUp: -1, ArrowDown: 1 } as const)[event.key as "ArrowUp"];
    if (by) act({ type: "move", by });
    else if (event.key === "Delete" && selected !== null) act({ type: "remove", id: selected });
    else return;
    event.preventDefault();
  };

  return (
    <ol className={styles.strip} aria-label={words.photographs} onKeyDown={press}>
      {shown.map((one) => (
        <Frame
          key={one.id}
          photograph={one}
          selected={one.id === selected}
          button={one.id === selected ? current : null}
          dispatch={dispatch}
          act={act}
        />
      ))}
    </ol>
  );
}

interface FrameProps {
  readonly photograph: Photograph;
  readonly selected: boolean;
  readonly button: RefObject<HTMLButtonElement | null> | null;
  readonly dispatch: Dispatch<StripAction>;
  readonly act: (action: StripAction) => void;
}

const Frame = memo(function Frame({ photograph, selected, button, dispatch, act }: FrameProps) {
  const words = useMessages();
  const { id, progress, thumbnail } = photograph;
  const name = nameOf(photograph);
  const warnings = warningsOf(photograph);
  return (
    <li
      className={styles.frame}
      title={[name, ...warnings.map((warning) => tellWarning(warning, words.doubts).text)].join("\n")}
      data-selected={selected}
      data-step={progress.step}
      data-doubtful={warnings.length > 0}
    >
      <button
        ref={button}
        type="button"
        className={styles.choose}
        tabIndex={selected ? 0 : -1}
        aria-current={selected}
        onClick={() => dispatch({ type: "select", id })}
      >
        {thumbnail ? <img src={thumbnail} alt="" /> : <span className={styles.blank} />}
        {progress.step === "working" && (
          <progress
            className={styles.progress}
            aria-hidden="true"
            {...(progress.sent < 1 ? { value: progress.sent } : {})}
          />
        )}
        <span className={styles.name}>
          <bdi>{name}</bdi>
        </span>{" "}
        <span className={styles.state}>{told(photograph, words)}</span>
      </button>
      <button
        type="button"
        className={styles.remove}
        tabIndex={selected ? 0 : -1}
        aria-label={words.remove(name)}
        onClick={() => act({ type: "remove", id })}
      >
        ×
      </button>
    </li>
  );
}); // of many frames one changes at a time

function warningsOf({ progress }: Photograph): readonly string[] {
  return progress.step === "done" ? progress.result.warnings : [];
}

/** How far it is; once it is done, its density. */
function told(photograph: Photograph, words: Messages): string {
  const { progress } = photograph;
  switch (progress.step) {
    case "working":
      return progress.sent < 1 ? words.sending(progress.sent) : words.state.working;
    case "done":
      return progress.result.warnings.length ? words.state.check : densityOf(photograph, words);
    default:
      return words.state[progress.step];
  }
}

function densityOf(photograph: Photograph, { percent, state }: Messages): string {
  const shares = sharesOf(photograph);
  return shares ? shares.map((share) => percent(share)).join(" · ") : state.done;
}
