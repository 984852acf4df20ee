import { en, type Messages } from "./en";

export type { Messages } from "./en";

/** All languages of the page. */
export const CATALOGUES = { en } satisfies Record<string, Messages>;

export type Language = keyof typeof CATALOGUES;

/** What is said once the language is known in which it is read. */
export type Saying = (words: Messages) => string;
