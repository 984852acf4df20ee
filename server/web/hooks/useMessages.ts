import { CATALOGUES, type Messages } from "@/lib/messages";

/** All that the page says, in its language. */
export function useMessages(): Messages {
  return CATALOGUES.en;
}
