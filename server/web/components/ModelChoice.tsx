import type { Dispatch } from "react";

import { useMessages } from "@/hooks/useMessages";
import { type ModelReport, modelOf } from "@/lib/api";
import type { Photograph, StripAction } from "@/lib/strip";

import styles from "./ModelChoice.module.css";
import panel from "./Panel.module.css";

interface Props {
  readonly models: readonly ModelReport[];
  /** The one in force, as a photograph has it; undefined where photographs have several. */
  readonly model: string | null | undefined;
  /** Of which photographs it is. */
  readonly id: number | "all";
  readonly dispatch: Dispatch<StripAction>;
}

/** Which model finds the vessels, where there is a choice. */
export function ModelChoice({ models, model, id, dispatch }: Props) {
  const words = useMessages().models;
  if (!isChoice(models, model)) return null;
  const chosen = model === undefined ? undefined : modelOf(models, model);
  const choose = (name: string) => {
    const one = modelOf(models, name);
    if (one) dispatch({ type: "ask", id, model: one.default ? null : name });
  };
  return (
    <label className={styles.choice}>
      {words.model}
      <select value={chosen?.name ?? ""} title={chosen?.description} onChange={({ target }) => choose(target.value)}>
        {!chosen && (
          <option value="" disabled>
            {model ?? words.several}
          </option>
        )}
        {models.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

interface SectionProps extends Pick<Props, "models" | "dispatch"> {
  readonly selected: Photograph;
  readonly photographs: readonly Photograph[];
}

/** The model of the photograph that is looked at, and a way to give it to the others. */
export function ModelSection({ models, selected, photographs, dispatch }: SectionProps) {
  const words = useMessages().models;
  const { id, model } = selected;
  if (!isChoice(models, model)) return null;
  return (
    <>
      <section className={panel.section}>
        <ModelChoice models={models} model={model} id={id} dispatch={dispatch} />
      </section>
      {photographs.some((one) => one.model !== model) && (
        <section className={panel.apply}>
          <button type="button" onClick={() => dispatch({ type: "ask", id: "all", model })}>
            {words.forAll(photographs.length)}
          </button>
        </section>
      )}
    </>
  );
}

/** Whether there are several, or a photograph was kept whose model the server has no longer. */
function isChoice(models: readonly ModelReport[], model: string | null | undefined): boolean {
  return models.length > 1 || (models.length === 1 && (model === undefined || !modelOf(models, model)));
}
