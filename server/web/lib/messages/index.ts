import type { Language } from "@/lib/languages";

import { ar } from "./ar";
import { de } from "./de";
import { en, type Messages } from "./en";
import { es } from "./es";
import { zh } from "./zh";

export type { Messages } from "./en";

/** What the page says in each language. */
export const CATALOGUES: Readonly<Record<Language, Messages>> = { en, de, es, zh, ar };

/** What is said once the language is known in which it is read. */
export type Saying = (words: Messages) => string;
