import { type Dispatch, type KeyboardEvent, useEffect, useRef } from "react";

import { useCovers } from "@/hooks/useCovers";
import { useFocusedDispatch } from "@/hooks/useFocusedDispatch";
import { useMessages } from "@/hooks/useMessages";
import { useNearFirst } from "@/hooks/useNearFirst";
import type { SaveAll } from "@/hooks/useSaveAll";
import type { ModelReport } from "@/lib/api";
import { isRightToLeft } from "@/lib/languages";
import type { Settings } from "@/lib/settings";
import type { Photograph, Strip, StripAction } from "@/lib/strip";
import { type Sort, tallyOf } from "@/lib/worklist";

import { Announcement } from "./Announcement";
import { Card } from "./Card";
import { ModelChoice } from "./ModelChoice";
import { SaveMenu } from "./SaveMenu";
import styles from "./Worklist.module.css";

const SORTS: readonly Sort[] = ["name", "density", "state"];

interface Props {
  readonly strip: Strip;
  readonly dispatch: Dispatch<StripAction>;
  readonly settings: Settings;
  /** Called when the last photograph was removed: the focus has no place here any more. */
  readonly onEmpty: () => void;
}

interface WorklistProps extends Props {
  readonly models: readonly ModelReport[];
  readonly saving: SaveAll;
}

/** All photographs side by side, under what is told and saved of all of them. */
export function Worklist({ strip, dispatch, models, settings, saving, onEmpty }: WorklistProps) {
  const { place, tryAgain, keeping, worklist: words } = useMessages();
  const { photographs, sort } = strip;
  const { all, done, attention } = tallyOf(photographs);
  const need = words.attention(attention);
  return (
    <div className={styles.worklist}>
      <div className={styles.bar}>
        <p className={styles.tally}>
          {words.tally(<strong key="done">{place(done, all)}</strong>)}
          {attention > 0 && <span className={styles.attention}> · {need}</span>}
        </p>
        {photographs.some(mayPass) && (
          <button type="button" className={styles.again} onClick={() => dispatch({ type: "again", remedy: "retry" })}>
            {tryAgain}
          </button>
        )}
        <p className={styles.said} role="status">
          {saving.said}
        </p>
        {saving.cancel && (
          <button type="button" className={styles.again} onClick={saving.cancel}>
            {keeping.cancel}
          </button>
        )}
        <ModelChoice models={models} model={sharedModel(photographs)} id="all" dispatch={dispatch} />
        <label className={styles.sort}>
          {words.sort}
          <select value={sort} onChange={({ target }) => dispatch({ type: "sort", by: target.value as Sort })}>
            {SORTS.map((by) => (
              <option key={by} value={by}>
                {words.by[by]}
              </option>
            ))}
          </select>
        </label>
        <SaveMenu saving={saving} off={done === 0} />
        <Announcement text={[words.told(done, all), attention ? need : ""].filter(Boolean).join(", ")} />
      </div>
      <Grid strip={strip} dispatch={dispatch} settings={settings} onEmpty={onEmpty} />
    </div>
  );
}

/** What all photographs are analysed by; undefined where that differs. */
function sharedModel(photographs: readonly Photograph[]): string | null | undefined {
  const [first] = photographs;
  return photographs.every((one) => one.model === first?.model) ? first?.model : undefined;
}

/** Whether another try may help. */
function mayPass({ progress }: Photograph): boolean {
  return progress.step === "failed" && progress.trouble.remedy === "retry";
}

/** One card is reached by Tab, the others from there by arrow keys. */
function Grid({ strip, dispatch, settings, onEmpty }: Props) {
  const words = useMessages();
  const { photographs, selected } = strip;
  const grid = useRef<HTMLOListElement>(null);
  const current = useRef<HTMLButtonElement>(null);
  const act = useFocusedDispatch(current, dispatch, onEmpty);
  const { shown, whole } = useNearFirst(photographs, selected);
  useCovers(strip, dispatch);
  // biome-ignore lint/correctness/useExhaustiveDependencies: then there are more cards before it
  useEffect(() => {
    if (current.current === document.activeElement) current.current?.scrollIntoView({ block: "nearest" });
  }, [whole]);

  // Whatever had the focus before this came is gone: a button of the viewer, or of the invitation.
  useEffect(() => {
    if (document.activeElement === document.body) current.current?.focus();
  }, []);

  const press = (event: KeyboardEvent) => {
    const at = photographs.findIndex(({ id }) => id === selected);
    const next = { ...steps(grid.current!, at), Home: 0, End: photographs.length - 1 }[event.key];
    const target = photographs[next ?? -1];
    if (target) act({ type: "select", id: target.id });
    else if (event.key === "Delete" && selected !== null) act({ type: "remove", id: selected });
    else if (next === undefined) return;
    event.preventDefault();
  };

  return (
    <ol ref={grid} className={styles.grid} aria-label={words.photographs} onKeyDown={press}>
      {shown.map((one) => (
        <Card
          key={one.id}
          photograph={one}
          settings={settings}
          current={one.id === selected}
          button={one.id === selected ? current : null}
          act={act}
          dispatch={dispatch}
        />
      ))}
    </ol>
  );
}

/** Which card an arrow key goes to from one, as the cards lie in lines now. */
function steps(grid: HTMLElement, at: number): Record<string, number> {
  const cards = [...grid.children] as HTMLElement[];
  const columns = cards.filter(({ offsetTop }) => offsetTop === cards[0]?.offsetTop).length;
  const on = isRightToLeft() ? -1 : 1;
  return { ArrowLeft: at - on, ArrowRight: at + on, ArrowUp: at - columns, ArrowDown: at + columns };
}
