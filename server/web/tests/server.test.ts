import { expect, test } from "vitest";

import { fileName } from "@/lib/server";

test("a file has the name that the server gives it, in any letters", () => {
  expect(fileName('inline; filename="photo-mask.png"')).toBe("photo-mask.png");
  expect(fileName("inline; filename=\"_-mask.png\"; filename*=UTF-8''%E5%8F%B3-mask.png")).toBe("右-mask.png");
  expect(fileName("")).toBeUndefined();
});
