import { useEffect, useState } from "react";

import { analyst } from "@/lib/analyst";
import type { ModelReport } from "@/lib/api";

/**
 * The models that can be asked; none before they are known. They are asked for again whenever `found` changes, the model of the
 * photograph that is looked at: then one has been loaded, a key has been entered, or a file on the server is another one.
 */
export function useModels(found: string | undefined): readonly ModelReport[] {
  const [models, setModels] = useState<readonly ModelReport[]>([]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: when, not what
  useEffect(() => {
    let wanted = true;
    const asking = analyst.fetchModels?.();
    void asking?.then(
      (models) => wanted && setModels(models),
      () => undefined, // a photograph tells what hinders
    );
    return () => {
      wanted = false;
    };
  }, [found]);
  return models;
}
