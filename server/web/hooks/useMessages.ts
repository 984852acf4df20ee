import { useLayoutEffect, useSyncExternalStore } from "react";

import { type Language, languageOfPage, onLanguage } from "@/lib/languages";
import { CATALOGUES, type Messages } from "@/lib/messages";

/** The page's language; English where it is built. */
export function useLanguage(): Language {
  return useSyncExternalStore(onLanguage, languageOfPage, () => "en");
}

/** All that the page says, in its language. */
export function useMessages(): Messages {
  return CATALOGUES[useLanguage()];
}

/** Once for the page: it is seen as soon as it is translated. */
export function useTranslatedPage(): void {
  const language = useLanguage();
  useLayoutEffect(() => {
    if (language === languageOfPage()) delete document.documentElement.dataset.untranslated;
  }, [language]);
}
