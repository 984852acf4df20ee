import type { Dispatch } from "react";

import type { CorrectControl } from "@/hooks/useCorrection";
import type { Download } from "@/hooks/useDownload";
import type { GaugeControl } from "@/hooks/useGauges";
import { useSaveGauges } from "@/hooks/useSaveGauges";
import { type Health, type ModelReport, membersOf } from "@/lib/api";
import type { Layer } from "@/lib/classes";
import { type Settings, sameThresholds, type Thresholds } from "@/lib/settings";
import type { Photograph, Result, Strip, StripAction } from "@/lib/strip";

import { ApplyToAll, OverlayControl, ThresholdControl, ViewControl } from "./Controls";
import { CorrectPanel } from "./CorrectPanel";
import { Downloads } from "./Downloads";
import { GaugePanel } from "./GaugePanel";
import { Legend } from "./Legend";
import { ModelSection } from "./ModelChoice";
import { Density, Facts } from "./Reading";
import { Warnings } from "./Warnings";

interface Props {
  readonly strip: Strip;
  readonly dispatch: Dispatch<StripAction>;
  readonly selected: Photograph;
  /** Null before there is one, when nothing here can act. */
  readonly result: Result | null;
  readonly layers: readonly Layer[];
  /** Of each layer, 0..1; undefined where it is not known. */
  readonly densities: readonly (number | undefined)[];
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
  readonly download: Download;
  readonly health: Health | null;
  readonly correct: CorrectControl;
  readonly gauges: GaugeControl;
  readonly models: readonly ModelReport[];
}

/** What was found in the photograph, how it is looked at, and what is saved of it. */
export function Panel(props: Props) {
  const { strip, dispatch, selected, result, layers, densities, settings, change, download, health } = props;
  const { models, correct, gauges } = props;
  const saveGauges = useSaveGauges(strip.photographs, settings);
  const { photographs } = strip;
  const { thresholds, model } = selected;
  const alike = photographs.filter((one) => one.model === model);
  const several = layers.length > 1;
  const choose = (thresholds: Thresholds) => dispatch({ type: "thresholds", id: selected.id, thresholds });
  const controls = { settings, change, off: !result };
  return (
    <>
      {result && <Density result={result} layers={layers} densities={densities} />}
      {result && result.warnings.length > 0 && <Warnings {...result} />}
      <ModelSection {...{ models, selected, photographs, dispatch }} />
      {result && several ? (
        <Legend {...controls} result={result} layers={layers} thresholds={thresholds} choose={choose} />
      ) : (
        <ThresholdControl
          choose={choose}
          off={!result}
          threshold={layers[0]!.threshold}
          modelThreshold={result?.threshold ?? null}
        />
      )}
      {alike.length > 1 && (
        <ApplyToAll
          count={alike.length}
          off={!result || alike.every((one) => sameThresholds(one.thresholds, thresholds))}
          apply={() => dispatch({ type: "apply", model, thresholds })}
        />
      )}
      <ViewControl {...controls} members={membersOf(models, model)} />
      <OverlayControl {...controls} coloured={!several} />
      <CorrectPanel correct={correct} layers={layers} off={!result} />
      <GaugePanel {...{ selected, photographs, dispatch }} control={gauges} save={saveGauges} off={!result} />
      {result && <Downloads download={download} layers={layers} />}
      <Facts result={result} health={health} />
    </>
  );
}
