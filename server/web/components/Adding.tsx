import type { ChangeEvent, ReactNode, RefObject } from "react";

import { ACCEPT } from "@/lib/files";

import styles from "./Adding.module.css";

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
}

/** What is seen before there is a photograph. */
export function Invitation({ add, addSample }: Props) {
  return (
    <div className={styles.invitation}>
      <h1>Blood vessels in eye photographs</h1>
      <p>Drop fundus photographs here, paste one, or choose them.</p>
      <div className={styles.ways}>
        <Picker add={add} className={styles.primary}>
          Choose photographs
        </Picker>
        <Picker add={add} camera className={`${styles.secondary} ${styles.camera}`}>
          Take a photograph
        </Picker>
        <button type="button" className={styles.secondary} onClick={addSample}>
          Show the sample
        </button>
      </div>
      <p className={styles.small}>
        JPEG, PNG, TIFF, BMP, WebP or GIF. Photographs go to this server only and are not stored.
      </p>
    </div>
  );
}
