import { save } from "@/lib/files";
import { gaugeTableOf } from "@/lib/gaugeTable";
import type { Photograph } from "@/lib/strip";

/** What hands a table of all that was measured on photographs to the browser's downloads. */
export function useSaveGauges(photographs: readonly Photograph[]): () => void {
  return () => {
    void gaugeTableOf(photographs).then((table) => save(new Blob([table], { type: "text/csv" }), "measured.csv"));
  };
}
