// Whoever watches an upload sees its end, although the store is killed and starts again meanwhile.

import { ask, inspect, openContext, openPage, packages, run, task } from "./browser.mjs";

await run(async (browser) => {
  const context = await openContext(browser);
  const page = await openPage(context);
  await page.goto(packages);
  await page.locator("summary").click();
  const form = page.locator("form[data-upload=link]");
  await form.getByLabel("Link", { exact: true }).fill(`${task.source}/slow-2.0.tar.gz`);
  await form.getByLabel("Version", { exact: true }).fill("2.0");
  await form.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/\/link\/[0-9a-f-]{36}\/$/);
  await page.locator(".badge[data-state=fetching]").or(page.locator("[data-live]", { hasText: "KiB" })).first().waitFor();
  await ask("kill the store");
  await ask("start the store");
  await page.locator("h1 .badge[data-state=done]").waitFor({ timeout: 60_000 });
  await inspect(page, "job-after-restart");
});
