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
  [["L", "T"], "measure"],
  [["A", "N"], "regions"],
  [["?"], "help"],
];

/** What is written on a key: a letter or sign, or a name that each language has of its own. */
export function keyName(key: string, names: Help["keys"]): string {
  return (names as Readonly<Record<string, string>>)[key] ?? key;
}

/** What a key that is held does once only. */
const ONCE = ["2", "a", "c", "d", "e", "g", "l", "n", "s", "t", "u", "?"];

/** Whether a key may be bound to something where it was pressed: not in a text field, nor in a dialogue. */
export function takesKeys({ defaultPrevented, target }: Event): boolean {
  const elsewhere = "dialog[open], textarea, input:not([type=range], [type=radio], [type=checkbox])";
  return !defaultPrevented && !(target as Element).closest(elsewhere);
}

type Press = Pick<
  KeyboardEvent,
  "key" | "code" | "repeat" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey" | "getModifierState"
>;

/** What the keys that are no letters or digits write on a US keyboard, without and with Shift. */
const SIGNS: Readonly<Record<string, string>> = {
  BracketLeft: "[{",
  BracketRight: "]}",
  Comma: ",<",
  Period: ".>",
  Slash: "/?",
  Minus: "-_",
  Equal: "=+",
};

/** A letter or digit of another script than ours, and the question mark of Arabic. */
const FOREIGN = /^(?![\p{ASCII}\p{Script=Latin}])[\p{L}\p{M}\p{Nd}؟]+$/u;

/**
 * The key as shortcuts name it: letters small. On a keyboard of another script, Cyrillic or Arabic, it is what the same place
 * on a US keyboard writes: there is no other way to press it. Keyboards of our own letters keep theirs, wherever they are.
 */
export function keyOf({ key, code, shiftKey }: Pick<Press, "key" | "code" | "shiftKey">): string {
  const own = key.length === 1 ? key.toLowerCase() : key;
  if (!FOREIGN.test(key)) return own;
  const place = /^(?:Key([A-Z])|Digit(\d))$/.exec(code);
  return place?.[1]?.toLowerCase() ?? place?.[2] ?? SIGNS[code]?.[shiftKey ? 1 : 0] ?? own;
}

/** What a press of a key is bound to; nothing where Ctrl or the like makes it the browser's own. */
export function boundTo<T>(press: Press, keys: Readonly<Record<string, T>>): T | undefined {
  // Brackets and braces need AltGr on many keyboards, which some systems report as Ctrl with Alt.
  const modified = (press.ctrlKey || press.metaKey || press.altKey) && !press.getModifierState("AltGraph");
  const key = keyOf(press);
  return modified || (press.repeat && ONCE.includes(key)) ? undefined : keys[key];
}
