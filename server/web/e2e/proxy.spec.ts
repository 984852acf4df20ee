import { expect, test } from "@playwright/test";

import { SAMPLE } from "./page";
import { startProxy } from "./proxy";

for (const slash of ["", "/"])
  test(`in a folder of a proxy, ${slash ? "with" : "without"} the last slash, all is found`, async ({
    page,
    baseURL,
  }) => {
    const proxy = await startProxy(baseURL!, "/eyes/vessels");
    const complaints: string[] = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("response", (answer) => answer.status() >= 400 && complaints.push(answer.url()));
    await page.goto(proxy.address + slash);
    await page.getByRole("button", { name: "Show the sample" }).click();
    await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
    expect(complaints).toEqual([]);
    await proxy.close();
  });

test("what a proxy refuses is told by its cause", async ({ page, baseURL }) => {
  const proxy = await startProxy(baseURL!, "/vessels", 10_000);
  await page.goto(`${proxy.address}/`);
  await page.locator("main input[type=file]").first().setInputFiles(SAMPLE);
  const alert = page.locator("main").getByRole("alert");
  await expect(alert).toContainText("too large for the way to the server");
  await proxy.close();
  const gone = await startProxy("http://127.0.0.1:9", "/vessels");
  await page.route("**/predict?*", (route) => route.continue({ url: `${gone.address}/predict` }));
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(alert).toContainText("The server does not answer");
  await gone.close();
});
