import { describe, expect, it } from "vitest";

import { CATALOGUES } from "@/lib/offline/messages";

const SERVER = /server|servidor|服务器|خادم/i;
const CAUSES = [
  "ImageDecodeError",
  "ImageTooLargeError",
  "FieldOfViewError",
  "InternalError",
  "Empty",
  "Unreadable",
  "Unknown",
];

/** All that is said, of sentences with something in them the source. */
function saidIn(words: object): string[] {
  return Object.values(words).flatMap((entry) => (typeof entry === "object" && entry ? saidIn(entry) : String(entry)));
}

describe.each(Object.entries(CATALOGUES))("words without a server in %s", (_, { trouble, ...words }) => {
  it("speak of no server", () => {
    const causes = CAUSES.map((cause) => trouble[cause as keyof typeof trouble]);
    expect([words, causes].flatMap(saidIn).filter((said) => SERVER.test(said))).toEqual([]);
  });
});
