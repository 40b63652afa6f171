// All there is to read is there without a script, and nothing is offered that would need one.

import assert from "node:assert/strict";

import { api, openContext, openPage, packages, run, task } from "./browser.mjs";

await run(async (browser) => {
  const scripted = await openContext(browser);
  const page = await openPage(scripted);
  await page.goto(packages);
  const token = await page.locator("meta[name=csrf-token]").getAttribute("content");
  const own = { "X-CSRF-Token": token, Origin: task.gateway };
  const sent = { headers: own, data: { package_url: `${task.source}/a-1.0.tar.gz`, version: "1.0" } };
  const uploaded = await api(scripted, "POST", "link/", sent);
  assert.equal(uploaded.status(), 200, await uploaded.text());
  const { id } = await uploaded.json();

  const context = await openContext(browser, { javaScriptEnabled: false });
  const reader = await context.newPage();
  for (const [path, shown] of [
    ["", "1.0"],
    [`${id}/`, "signature verified"],
    [`${id}/members/`, "file"],
    ["link/", "done"],
    ["events/", "upload"],
    ["usage/", "Packages: 1"],
    ["cleanup/", "Nothing would be deleted"],
  ]) {
    const reply = await reader.goto(new URL(path, packages).href);
    assert.equal(reply.status(), 200, path);
    assert.ok((await reader.locator("main").innerText()).includes(shown), path);
    for (const control of await reader.locator(".script").all()) assert.ok(!(await control.isVisible()), path);
  }
  await reader.goto(`${task.gateway}/console/`);
  await reader.getByRole("link", { name: "default" }).click();
  await reader.getByRole("searchbox").fill("nothing like it");
  await reader.getByRole("searchbox").press("Enter");
  await reader.getByText("No packages.").waitFor();
});
