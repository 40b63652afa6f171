// A user's whole way: signs in, uploads by link and by file, finds, looks, deletes, restores, pins, cleans up, in both languages.

import assert from "node:assert/strict";

import { eventually, inspectForms, noFaults, openContext, openPage, packages, run, signIn, task } from "./browser.mjs";

await run(async (browser) => {
  const context = await openContext(browser, { isSignedIn: false });
  const page = await openPage(context);

  // Nobody is signed in: the page says where that is done, and comes back to this one.
  const stranger = await page.goto(`${task.gateway}/console/`);
  assert.equal(stranger.status(), 401);
  const login = page.locator("a[href*='/login/']");
  assert.match(await login.getAttribute("href"), /c_url=.*console/);
  page.faults = [];
  await inspectForms(page, "sign-in");
  await signIn(context);

  // The first page: nothing was uploaded yet.
  await page.goto(`${task.gateway}/console/`);
  await page.getByText(task.contact).waitFor();
  await inspectForms(page, "modules-none");

  // By link, with progress that is seen to move.
  await page.goto(packages);
  await page.locator("summary", { hasText: "Upload" }).click();
  await inspectForms(page, "upload");
  const byLink = page.locator("form[data-upload=link]");
  await byLink.getByLabel("Link", { exact: true }).fill(`${task.source}/slow-2.0.tar.gz`);
  await byLink.getByLabel("Version", { exact: true }).fill("2.0");
  await byLink.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/\/link\/[0-9a-f-]{36}\/$/);
  const seen = new Set();
  await eventually("progress of an upload by link", async () => {
    const bar = page.locator("[data-watch] progress");
    if ((await bar.count()) > 0) seen.add(await bar.first().getAttribute("value"));
    return seen.size >= 3;
  });
  await inspectForms(page, "job-running");
  await page.locator(".badge", { hasText: "done" }).waitFor();
  await inspectForms(page, "job-done");
  await page.getByRole("link", { name: /Package 2\.0/ }).click();
  await page.locator("h1", { hasText: "2.0" }).waitFor();

  // A link that leads to no package says why, and what to do.
  await page.goto(packages);
  await page.locator("summary").click();
  await byLink.getByLabel("Link", { exact: true }).fill(`${task.source}/broken-3.0.tar.gz`);
  await byLink.getByLabel("Version", { exact: true }).fill("3.0");
  await byLink.getByRole("button", { name: "Upload" }).click();
  await page.locator(".badge", { hasText: "failed" }).waitFor();
  await page.getByText("Mend the package as the reason says").waitFor();
  await inspectForms(page, "job-failed");
  await page.goto(`${packages}link/`);
  await page.locator("tbody tr").nth(1).waitFor();
  await inspectForms(page, "jobs");

  // By file.
  await page.goto(packages);
  await page.locator("summary").click();
  const byFile = page.locator("form[data-upload=file]");
  await byFile.locator("input[type=file]").setInputFiles(task.file);
  await byFile.getByLabel("Version", { exact: true }).fill("4.0");
  await byFile.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/source_package\/\d+\/$/);
  await page.locator("h1", { hasText: "4.0" }).waitFor();
  const place = page.url();

  // The list: searched, sorted, page by page.
  await page.goto(packages);
  assert.equal(await page.locator("tbody tr").count(), 2);
  await inspectForms(page, "packages");
  await page.getByRole("searchbox").fill("4.0");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(/search_term=4\.0/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.goto(packages);
  await page.getByRole("link", { name: "Version" }).click();
  await page.waitForURL(/order_by=-version_natural/);
  assert.match(await page.locator("tbody tr").first().innerText(), /4\.0/);
  await page.getByRole("link", { name: /Version/ }).click();
  await page.waitForURL(/order_by=version_natural/);
  assert.match(await page.locator("tbody tr").first().innerText(), /2\.0/);
  await page.goto(`${packages}?limit=1`);
  await page.getByRole("link", { name: "Next" }).click();
  await page.waitForURL(/offset=1/);
  await page.getByRole("link", { name: "Previous" }).click();
  await page.waitForURL(/limit=1$/);

  // A package: what it is, what is in it, a link for others.
  await page.goto(place);
  await page.getByText("signature verified").waitFor();
  await page.getByRole("button", { name: "Make a signed URL" }).click();
  const link = page.locator("output code");
  await link.waitFor();
  const anybody = await browser.newContext();
  const fetched = await anybody.request.get(await link.innerText());
  assert.equal(fetched.status(), 200);
  assert.equal((await fetched.body()).length, 300_000);
  await anybody.close();
  await inspectForms(page, "package");
  await page.getByRole("link", { name: "Members" }).click();
  await page.locator(".tree li").first().waitFor();
  await inspectForms(page, "members");
  await page.goto(place);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  assert.match((await download).suggestedFilename(), /4\.0/);

  // Pinned, it cannot be deleted; unpinned, deleted and restored.
  await page.getByLabel("Name of the pin").fill("release");
  await page.getByRole("button", { name: "Pin", exact: true }).click();
  await page.locator(".pins li", { hasText: "release" }).waitFor();
  await deletePackage(page);
  await page.locator("#notice.bad").waitFor();
  page.faults = page.faults.filter((fault) => !fault.includes("409"));
  await page.getByRole("button", { name: /Unpin/ }).click();
  await page.locator(".pins li").waitFor({ state: "detached" });
  await deletePackage(page);
  await page.locator("h1 .badge", { hasText: "Deleted" }).waitFor();
  await inspectForms(page, "package-deleted");
  await page.getByRole("button", { name: "Restore" }).click();
  await page.locator("h1 .badge", { hasText: "Live" }).waitFor();

  // What a rule would delete is seen before it goes.
  await page.goto(`${packages}cleanup/`);
  await page.getByText("Would be deleted").first().waitFor();
  await inspectForms(page, "cleanup");
  await page.getByRole("button", { name: "Delete exactly these" }).click();
  await page.locator("dialog .danger").click();
  await page.getByText("Nothing would be deleted").waitFor();
  await page.goto(`${packages}events/`);
  await page.getByText("cleanup", { exact: true }).waitFor();
  await inspectForms(page, "events");
  await page.goto(`${packages}usage/`);
  await inspectForms(page, "usage");

  // The other language, kept from page to page.
  await page.getByRole("button", { name: "中文" }).click();
  await page.locator("html[lang=zh-CN]").waitFor();
  await page.goto(`${task.gateway}/console/`);
  await page.getByRole("link", { name: "default" }).waitFor();
  assert.equal(await page.locator("h1").innerText(), "模块");
  await inspectForms(page, "modules");
  await page.getByRole("button", { name: "English" }).click();
  await page.locator("html[lang=en]").waitFor();

  // By keyboard alone: past the head, into the list.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  noFaults(page);
});

async function deletePackage(page) {
  await page.getByRole("button", { name: "Delete" }).click();
  await page.locator("dialog .danger").click();
}
