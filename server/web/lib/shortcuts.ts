import type { Messages } from "@/lib/messages";

type Help = Messages["help"];

/** What the help shows, by the entries of its words; the keys are bound where the thing is done. */
export const SHORTCUTS: readonly (readonly [keys: readonly string[], does: keyof Help["does"]])[] = [
  [["[", "]"], "step"],
  [["{", "}"], "leap"],
  [["R"], "reset"],
  [["V", "O", "M", "P"], "view"],
  [["C"], "compare"],
  [["<", ">", "."], "wipe"],
  [["2"], "beside"],
  [["+", "−"], "zoom"],
  [["0", "1"], "fit"],
  [["←", "→"], "arrows"],
  [["↑", "↓"], "lines"],
  [["J", "K"], "next"],
  [["enter", "escape"], "open"],
  [["delete"], "delete"],
  [["undo"], "undo"],
  [["U"], "add"],
  [["S"], "save"],
  [["E"], "correct"],
  [["B", "X", "F"], "tools"],
  [["space"], "brushDown"],
  [["D", "G"], "clean"],
  [["redo"], "redo"],
  [["?"], "help"],
];

/** What is written on a key: a letter or sign, or a name that each language has of its own. */
export function keyName(key: string, names: Help["keys"]): string {
  return (names as Readonly<Record<string, string>>)[key] ?? key;
}

/** What a key that is held does once only. */
const ONCE = ["2", "c", "e", "d", "g", "s", "u", "?"];

/** Whether a key may be bound to something where it was pressed: not in a text field, nor in a dialogue. */
export function takesKeys({ defaultPrevented, target }: Event): boolean {
  const elsewhere = "dialog[open], textarea, input:not([type=range], [type=radio], [type=checkbox])";
  return !defaultPrevented && !(target as Element).closest(elsewhere);
}

type Press = Pick<KeyboardEvent, "key" | "repeat" | "ctrlKey" | "metaKey" | "altKey" | "getModifierState">;

/** What a press of a key is bound to; nothing where Ctrl or the like makes it the browser's own. */
export function boundTo<T>(press: Press, keys: Readonly<Record<string, T>>): T | undefined {
  // Brackets and braces need AltGr on many keyboards, which some systems report as Ctrl with Alt.
  const modified = (press.ctrlKey || press.metaKey || press.altKey) && !press.getModifierState("AltGraph");
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return modified || (press.repeat && ONCE.includes(key)) ? undefined : keys[key];
}
