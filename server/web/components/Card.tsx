import { type CSSProperties, Fragment, memo, type RefObject } from "react";

import { useMessages } from "@/hooks/useMessages";
import { wordsOf } from "@/lib/errors";
import { nameOf } from "@/lib/frames";
import { tellWarning } from "@/lib/messages/doubts";
import { layersOf, type Settings } from "@/lib/settings";
import type { Photograph, StripAction } from "@/lib/strip";
import { sharesOf, stateOf } from "@/lib/worklist";

import styles from "./Worklist.module.css";

interface Props {
  readonly photograph: Photograph;
  readonly settings: Settings;
  /** Whether it is the one that Tab reaches. */
  readonly current: boolean;
  readonly button: RefObject<HTMLButtonElement | null> | null;
  readonly dispatch: (action: StripAction) => void;
  /** The same for what takes the card away: it puts the focus on another one. */
  readonly act: (action: StripAction) => void;
}

/** A photograph in the worklist: all of it with its vessels, its whole name, its density, and how far it is. */
export const Card = memo(function Card({ photograph, settings, current, button, dispatch, act }: Props) {
  const words = useMessages();
  const { id, progress, thumbnail } = photograph;
  const name = nameOf(photograph);
  const state = stateOf(photograph);
  const doubts =
    progress.step === "done" ? progress.result.warnings.map((warning) => tellWarning(warning, words.doubts)) : [];
  const rejected = progress.step === "done" && progress.result.quality?.verdict === "reject";
  const notes = progress.step === "failed" ? [{ text: wordsOf(progress.trouble, words).title }] : doubts;
  return (
    <li className={styles.card} data-state={state}>
      <button
        ref={button}
        type="button"
        className={styles.open}
        tabIndex={current ? 0 : -1}
        aria-current={current}
        onClick={() => dispatch({ type: "open", id })}
      >
        <span className={styles.picture}>
          {thumbnail && <img src={thumbnail} alt="" />}
          <Vessels photograph={photograph} settings={settings} />
          {progress.step === "working" && (
            <progress aria-hidden="true" {...(progress.sent < 1 ? { value: progress.sent } : {})} />
          )}
        </span>
        <span className={styles.name}>
          <bdi>{name}</bdi>
        </span>{" "}
        <span className={styles.figures}>
          <Density photograph={photograph} settings={settings} />{" "}
          <span className={styles.state}>{words.state[state]}</span>
        </span>
        {rejected && <span className={styles.note}>{words.panel.quality.reject}</span>}
        {notes.map(({ text, lang }) => (
          <Fragment key={text}>
            {" "}
            <span className={styles.note} lang={lang} dir="auto">
              {text}
            </span>
          </Fragment>
        ))}
      </button>
      <button
        type="button"
        className={styles.remove}
        tabIndex={current ? 0 : -1}
        aria-label={words.remove(name)}
        onClick={() => act({ type: "remove", id })}
      >
        ×
      </button>
    </li>
  );
}); // of many cards one changes at a time

type Shown = Pick<Props, "photograph" | "settings">;

/** The colours of the vessels through masks, so that another colour or opacity costs nothing. */
function Vessels({ photograph: { progress, cover, thresholds }, settings }: Shown) {
  if (progress.step !== "done" || !cover) return null;
  return layersOf(progress.result, thresholds, settings).map(({ name, colour, shown }, number) => {
    const mask = cover.masks[number];
    if (!shown || !mask) return null;
    const look = { backgroundColor: colour, opacity: settings.opacity, "--mask": `url("${mask}")` } as CSSProperties;
    return <span key={name} className={styles.vessels} style={look} />;
  });
}

function Density({ photograph, settings }: Shown) {
  const { percent } = useMessages();
  const { progress, thresholds } = photograph;
  if (progress.step !== "done") return null;
  const shares = sharesOf(photograph);
  const layers = layersOf(progress.result, thresholds, settings);
  return (
    <span className={styles.density}>
      {layers.map(({ name }, number) => percent(shares?.[number]) + (name && ` ${name}`)).join(", ")}
    </span>
  );
}
