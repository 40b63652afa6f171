// What the scripts have in common: the browser, its pages, and what must hold of each page.

import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.LINKGATE_NODE_MODULES}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;

export const task = JSON.parse(await nextLine());
mkdirSync(task.pictures, { recursive: true });

export const packages = `${task.gateway}/console/bkapps/applications/app_code/modules/default/source_package/`;

/** Asks whoever runs the script for something. */
export async function ask(what) {
  console.log(`! ${what}`);
  await nextLine();
}

export async function openBrowser() {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args });
}

/** A browser's user; signed in unless it says otherwise. */
export async function openContext(browser, { isSignedIn = true, ...settings } = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...settings });
  context.setDefaultTimeout(30_000);
  if (isSignedIn) await signIn(context);
  return context;
}

export async function signIn(context) {
  await context.addCookies([{ name: "bk_token", value: task.bk_token, url: task.gateway, sameSite: "Lax" }]);
}

/** A page that fails the script where anything goes wrong in it: errors, refusals by its policy, things not there. */
export async function openPage(context) {
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`${error}`));
  page.on("console", (message) => {
    if (message.type() === "error") page.faults.push(message.text());
  });
  return page;
}

export function noFaults(page) {
  assert.deepEqual(page.faults, [], page.url());
}

/** What must hold of every page: readable by all, and whole on a phone. */
export async function inspect(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const violations = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(violations, [], name);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, `${name} is wider than its window`);
  await page.screenshot({ path: `${task.pictures}/${name}.png`, fullPage: true });
}

/** Notes what a page weighs, and how soon after its reply something of it was seen: figures, which no test depends on. */
async function measure(page, name) {
  const figures = await page.evaluate(() => {
    const [page] = performance.getEntriesByType("navigation");
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const bytes = [page, ...performance.getEntriesByType("resource")].map(({ encodedBodySize }) => encodedBodySize);
    return [bytes.reduce((sum, size) => sum + size, 0), paint && Math.round(paint.startTime - page.responseEnd)];
  });
  appendFileSync(`${task.pictures}/figures.tsv`, `${[name, ...figures].join("\t")}\n`);
}

/** Pictures of a page as it is now: light, dark, and on a phone. */
export async function inspectForms(page, name) {
  await measure(page, name);
  const size = page.viewportSize();
  await page.emulateMedia({ colorScheme: "light" });
  await inspect(page, `${name}-light`);
  await page.emulateMedia({ colorScheme: "dark" });
  await inspect(page, `${name}-dark`);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 360, height: 740 });
  await inspect(page, `${name}-phone`);
  await page.setViewportSize(size);
}

/** A request as programs make it, with the user's cookie. */
export async function api(context, method, path, { headers = {}, data } = {}) {
  return context.request.fetch(new URL(path, packages).href, {
    method,
    headers: { Accept: "application/json", ...headers },
    data,
  });
}

export async function eventually(what, check) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`never seen: ${what}`);
}

export async function run(scenario) {
  const browser = await openBrowser();
  try {
    await scenario(browser);
    console.log("all was seen");
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}
