import { save } from "@/lib/files";
import { gaugeTableOf } from "@/lib/gaugeTable";
import type { Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";

/** What hands a table of all that was measured on photographs to the browser's downloads. */
export function useSaveGauges(photographs: readonly Photograph[], settings: Settings): () => void {
  return () => {
    void gaugeTableOf(photographs, settings).then((table) =>
      save(new Blob([table], { type: "text/csv" }), "measured.csv"),
    );
  };
}
