import type { ChangeEvent, Dispatch, ReactNode, RefObject } from "react";

import sample from "@/assets/sample.jpg";
import vessels from "@/assets/sample-vessels.webp";
import { useMessages } from "@/hooks/useMessages";
import type { ModelReport } from "@/lib/api";
import { ACCEPT } from "@/lib/files";
import type { StripAction } from "@/lib/strip";
import styles from "./Adding.module.css";
import { ModelChoice } from "./ModelChoice";

interface PickerProps {
  readonly add: (files: File[]) => void;
  readonly camera?: boolean;
  readonly input?: RefObject<HTMLInputElement | null>;
  readonly className: string | undefined;
  readonly children: ReactNode;
}

/** A file input that looks like a button. */
export function Picker({ add, camera = false, input, className, children }: PickerProps) {
  const choose = ({ target }: ChangeEvent<HTMLInputElement>) => {
    add([...(target.files ?? [])]);
    target.value = ""; // so that the same file can be chosen again
  };
  return (
    <label className={`${styles.picker} ${className}`}>
      <input
        ref={input}
        type="file"
        accept={ACCEPT}
        onChange={choose}
        {...(camera ? { capture: "environment" as const } : { multiple: true })}
      />
      {children}
    </label>
  );
}

interface Props {
  readonly add: (files: File[]) => void;
  readonly addSample: () => void;
  readonly models: readonly ModelReport[];
  /** Of photographs that come. */
  readonly model: string | null;
  readonly dispatch: Dispatch<StripAction>;
}

/** What is seen before there is a photograph. */
export function Invitation({ add, addSample, models, model, dispatch }: Props) {
  const words = useMessages().invitation;
  return (
    <div className={styles.invitation}>
      <div className={styles.words}>
        <h1>{words.title}</h1>
        <p className={styles.mouse}>{words.mouse}</p>
        <p className={styles.touch}>{words.touch}</p>
        <div className={styles.ways}>
          <Picker add={add} className={styles.primary}>
            {words.choose}
          </Picker>
          <Picker add={add} camera className={styles.camera}>
            {words.take}
          </Picker>
        </div>
        <div className={styles.model}>
          <ModelChoice models={models} model={model} id="all" dispatch={dispatch} />
        </div>
        <p className={styles.small}>{words.formats}</p>
      </div>
      <button type="button" className={styles.sample} onClick={addSample}>
        <span className={styles.disc}>
          <img src={sample.src} alt="" width={900} height={900} />
          <img src={vessels.src} alt="" width={640} height={640} />
        </span>
        <span className={styles.caption}>{words.sample}</span>
      </button>
    </div>
  );
}
