// A page of another origin, open in the browser of somebody who is signed in, can do nothing; and a sign-in that has ended is
// told, not a blank page.

import assert from "node:assert/strict";
import { createServer } from "node:http";

import { api, eventually, openContext, openPage, packages, run, task } from "./browser.mjs";

await run(async (browser) => {
  const context = await openContext(browser);
  const page = await openPage(context);
  await page.goto(packages);
  const token = await page.locator("meta[name=csrf-token]").getAttribute("content");
  const upload = { package_url: `${task.source}/a-1.0.tar.gz`, version: "1.0" };

  // Requests that only a page of ours can make: without its token, and with a token but from elsewhere.
  const count = async () => (await (await api(context, "GET", "")).json()).count;
  for (const headers of [
    {},
    { "X-CSRF-Token": "1.x" },
    { "X-CSRF-Token": token, Origin: "http://evil.example" },
    { "X-CSRF-Token": token, Origin: "null" },
    { "X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site" },
    { "X-CSRF-Token": token, "Sec-Fetch-Site": "same-site" },
  ]) {
    const refused = await api(context, "POST", "link/", { headers, data: upload });
    assert.equal(refused.status(), 403, JSON.stringify(headers));
  }
  assert.equal(await count(), 0, "nothing was uploaded");

  // And one that only a page of ours makes, to see that it is the origin and the token that count.
  const own = { headers: { "X-CSRF-Token": token, Origin: task.gateway }, data: { ...upload, sha256: "no digest" } };
  assert.equal((await api(context, "POST", "link/", own)).status(), 400, "it is let in, and refused for what it says");

  // The hostile page: a form, a form with a body that looks like JSON, scripts, a picture, a frame.
  const hostile = `<!doctype html><title>hostile</title>
    <form id="form" method="post" target="frame" action="${packages}link/"><input name="package_url" value="${upload.package_url}"></form>
    <form id="text" method="post" target="frame" enctype="text/plain" action="${packages}link/"><input name='{"package_url":"${upload.package_url}","x":"' value='"}'></form>
    <iframe name="frame" src="${packages}"></iframe>`;
  const server = createServer((_, reply) => reply.setHeader("Content-Type", "text/html").end(hostile));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const victim = await context.newPage();
  await victim.goto(`http://localhost:${server.address().port}/`);
  for (const id of ["form", "text"]) await victim.evaluate((form) => document.getElementById(form).submit(), id);
  const outcomes = await victim.evaluate(async ([place, body]) => {
    const attempts = [
      () => fetch(`${place}link/`, { method: "POST", credentials: "include", body: JSON.stringify(body) }),
      () => fetch(`${place}link/`, { method: "POST", credentials: "include", mode: "no-cors", body: JSON.stringify(body) }),
      () => fetch(`${place}1/`, { method: "DELETE", credentials: "include" }),
      () => fetch(place, { credentials: "include" }).then((reply) => reply.text()),
    ];
    const seen = [];
    for (const attempt of attempts) {
      seen.push(await attempt().then((reply) => (typeof reply === "string" ? "read" : reply.type), () => "refused"));
    }
    return seen;
  }, [packages, upload]);
  assert.deepEqual(outcomes, ["refused", "opaque", "refused", "refused"], "no answer can be read");
  const frames = victim.frames().filter((frame) => frame !== victim.mainFrame());
  for (const frame of frames) {
    const shown = await frame.content().catch(() => "");
    assert.ok(!shown.includes("csrf-token"), "no page of ours is shown in a frame");
  }
  server.close();
  assert.equal(await count(), 0, "nothing was uploaded by the hostile page");

  // The sign-in ends while the page is open: what is done next leads to where one signs in.
  await page.locator("summary").click();
  const form = page.locator("form[data-upload=link]");
  await form.getByLabel("Link", { exact: true }).fill(upload.package_url);
  await form.getByLabel("Version", { exact: true }).fill("1.0");
  await context.clearCookies();
  await form.getByRole("button", { name: "Upload" }).click();
  await eventually("the page that says where one signs in", async () => (await page.locator("a[href*='/login/']").count()) > 0);

  // Whom no grant lets do anything is told whom to ask.
  await context.addCookies([{ name: "bk_token", value: task.bk_token, url: task.gateway }]);
  const foreign = packages.replace("/app_code/", "/other-app/");
  const refused = await page.goto(foreign);
  assert.equal(refused.status(), 403);
  assert.match(refused.headers()["content-type"], /^text\/html/);
  await page.getByText(task.contact).waitFor();
});
