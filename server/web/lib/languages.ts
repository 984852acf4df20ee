/** The languages of the page, by their BCP 47 tags: what each calls itself, and which way it is written. */
export const LANGUAGES = {
  en: { name: "English", dir: "ltr" },
  de: { name: "Deutsch", dir: "ltr" },
  es: { name: "Español", dir: "ltr" },
  zh: { name: "中文", dir: "ltr" },
  ar: { name: "العربية", dir: "rtl" },
} as const satisfies Record<string, { name: string; dir: "ltr" | "rtl" }>;

export type Language = keyof typeof LANGUAGES;

/** Where the browser keeps the language that was chosen on the page. */
export const LANGUAGE_KEY = "vesselrt-language";

/**
 * Gives the document its language before anything of it is drawn: the one that was chosen here, or the first of the browser's
 * that the page speaks. What was built is English: in another language it is hidden until it is translated.
 *
 * It runs in the page's head, as text, where nothing else is yet: so it uses nothing but what it is given.
 */
export function settleLanguage(languages: typeof LANGUAGES, key: string): void {
  let chosen: string | null = null;
  try {
    chosen = localStorage.getItem(key);
  } catch {
    // a browser may forbid it
  }
  const wanted = [chosen ?? "", ...navigator.languages].map((tag) => tag.toLowerCase().split("-")[0] as Language);
  const language = wanted.find((tag) => Object.hasOwn(languages, tag)) ?? "en";
  const root = document.documentElement;
  root.lang = language;
  root.dir = languages[language].dir;
  if (language !== "en") root.dataset.untranslated = "";
}

const listeners = new Set<() => void>();

/** Calls `listener` when the page's language changes, until what is returned is called. */
export function onLanguage(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function languageOfPage(): Language {
  return document.documentElement.lang as Language;
}

/** Whether what goes on goes to the left. */
export function isRightToLeft(): boolean {
  return document.documentElement.dir === "rtl";
}

/** Which of two neighbours an arrow key means, as they lie side by side: the next one, the one before, or none. */
export function arrowWay(key: string): 1 | -1 | undefined {
  const way = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : undefined;
  return way && isRightToLeft() ? (-way as 1 | -1) : way;
}

/** Another language for the page, now and at the next visits. */
export function changeLanguage(language: Language): void {
  document.documentElement.lang = language;
  document.documentElement.dir = LANGUAGES[language].dir;
  try {
    localStorage.setItem(LANGUAGE_KEY, language);
  } catch {
    // It is forgotten when the page is closed.
  }
  for (const listener of listeners) listener();
}
