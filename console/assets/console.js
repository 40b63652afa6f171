// What pages of the console do beside being read: they change things through the API that they are made of, and show what
// changes meanwhile. Every request goes to the place of the page it came from.

const words = document.body.dataset;
const notice = document.getElementById("notice");
document.documentElement.dataset.script = "";

// ---- Requests

const tokenOf = (page) => page.querySelector("meta[name=csrf-token]");
const token = () => tokenOf(document).content;
const takeToken = (page) => (tokenOf(document).content = tokenOf(page).content);

/** A request that changes something. One refusal may only mean that the page's token is old: a new page has a new one. */
async function call(method, url, { body, headers = {} } = {}, isRepeated = false) {
  const sent = { Accept: "application/json", "X-CSRF-Token": token(), ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const reply = await fetch(url, { method, headers: sent, body, credentials: "same-origin", redirect: "error" });
  if (reply.status === 403 && !isRepeated && (await renewToken())) {
    return call(method, url, { body, headers }, true);
  }
  return reply;
}

async function renewToken() {
  const before = token();
  const fresh = await readPage();
  if (!fresh) return false;
  takeToken(fresh);
  return token() !== before;
}

/** The page as it is now; null if there is none to read, for one who is not signed in any more among others. */
async function readPage() {
  const reply = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (reply.status === 401) location.reload();
  if (!reply.headers.get("Content-Type")?.startsWith("text/html")) return null;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  return tokenOf(page) ? page : null;
}

/** Shows the page as it is now, without losing the place of its reader. */
async function refresh() {
  const fresh = await readPage();
  if (!fresh) return false;
  const [main, next] = [document.getElementById("main"), fresh.getElementById("main")];
  takeToken(fresh);
  if (main.innerHTML !== next.innerHTML) {
    main.replaceChildren(...next.childNodes);
    enliven(main);
  }
  return true;
}

/** What a refusal says, in the form of the store or of the gateway. */
async function reasonOf(reply) {
  if (reply.status === 401) location.reload();
  const said = await reply.json().catch(() => null);
  return said?.detail || said?.message || `${words.failed} (${reply.status})`;
}

// ---- What the reader is told

let forgetting = 0;

function tell(text, isBad = false) {
  clearTimeout(forgetting);
  notice.textContent = text;
  notice.classList.toggle("bad", isBad);
  if (!isBad) forgetting = setTimeout(() => (notice.textContent = ""), 4000);
}

function sizeText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; bytes >= 1024 && at < units.length - 1; at += 1) bytes /= 1024;
  return `${at === 0 ? bytes : bytes.toFixed(1)} ${units[at]}`;
}

/** How fast something goes, and how long it will take, by what came since the first look. */
function meter(show) {
  let first = null;
  return (done, total) => {
    const now = performance.now();
    first ??= { at: now, done };
    const seconds = (now - first.at) / 1000;
    const rate = seconds > 0.3 ? (done - first.done) / seconds : 0;
    let text = total ? `${sizeText(done)} / ${sizeText(total)}` : sizeText(done);
    if (rate > 0) text += ` · ${sizeText(rate)}/s`;
    if (rate > 0 && total > done) text += ` · ${Math.ceil((total - done) / rate)} s`;
    show(text);
  };
}

// ---- Forms that call the API

/** Asks before what cannot simply be taken back. */
function confirmed(form) {
  const question = form.dataset.confirm;
  if (!question) return Promise.resolve(true);
  const dialog = document.createElement("dialog");
  const button = form.querySelector("[type=submit]");
  const text = document.createElement("p");
  text.textContent = question;
  const menu = document.createElement("menu");
  const [no, yes] = [words.cancel, button.textContent].map((label) => {
    const choice = document.createElement("button");
    choice.textContent = label;
    menu.append(choice);
    return choice;
  });
  yes.className = "danger";
  dialog.setAttribute("aria-label", button.textContent);
  dialog.append(text, menu);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    no.onclick = () => dialog.close();
    yes.onclick = () => dialog.close("yes");
    dialog.onclose = () => {
      dialog.remove();
      button.focus();
      resolve(dialog.returnValue === "yes");
    };
  });
}

function placeOf(form) {
  const url = new URL(form.getAttribute("action") || location.pathname, location.href);
  const named = form.dataset.path;
  return named ? new URL(`${encodeURIComponent(form.elements[named].value)}/`, url) : url;
}

function bodyOf(form) {
  if (form.dataset.call === "DELETE") return undefined;
  const fields = {};
  for (const field of form.querySelectorAll("[name]")) {
    if (field.name === form.dataset.path) continue;
    fields[field.name] = "number" in field.dataset ? Number(field.value) : field.value;
  }
  return JSON.stringify(fields);
}

async function submitCall(form) {
  if (!(await confirmed(form))) return;
  const headers = form.dataset.ifMatch ? { "If-Match": form.dataset.ifMatch } : {};
  const reply = await call(form.dataset.call, placeOf(form), { body: bodyOf(form), headers });
  if (!reply.ok) {
    tell(await reasonOf(reply), true);
    return;
  }
  if (form.dataset.after === "show") {
    showLink(form, new URL((await reply.json())[form.dataset.show], reply.url).href);
  } else {
    await refresh();
    tell("✓");
  }
}

function showLink(form, link) {
  const output = form.querySelector("output");
  const code = document.createElement("code");
  code.textContent = link;
  const copy = document.createElement("button");
  Object.assign(copy, { type: "button", className: "plain", textContent: words.copy });
  copy.dataset.copy = link;
  output.replaceChildren(code, copy);
}

// ---- Uploads

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function commonFields(form) {
  const { version, sha256, allow_overwrite: overwrite } = form.elements;
  const fields = { version: version.value.trim(), sha256: sha256.value.trim() };
  const given = Object.entries(fields).filter(([, value]) => value !== "");
  return overwrite.checked ? [...given, ["allow_overwrite", "true"]] : given;
}

function failIn(form, text) {
  const output = form.querySelector("output");
  output.className = "bad";
  output.textContent = text;
}

async function uploadByLink(form) {
  const fields = Object.fromEntries(commonFields(form));
  if (fields.allow_overwrite) fields.allow_overwrite = true;
  fields.package_url = form.elements.package_url.value.trim();
  const headers = { Prefer: "respond-async", "Idempotency-Key": randomKey() };
  const reply = await call("POST", placeOf(form), { body: JSON.stringify(fields), headers });
  if (!reply.ok) return failIn(form, await reasonOf(reply));
  const place = reply.headers.get("Location");
  // Some are stored at once.
  location.href = place ? new URL(place, reply.url) : new URL(`../${(await reply.json()).id}/`, reply.url);
}

/** In a path a name has few characters. */
function plainName(name) {
  return name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+/, "").slice(-128) || "package";
}

function uploadByFile(form) {
  const [file] = form.elements.file.files;
  const url = new URL(plainName(file.name), placeOf(form));
  for (const [name, value] of commonFields(form)) url.searchParams.set(name, value);
  const [progress, output] = [form.querySelector("progress"), form.querySelector("output")];
  const show = meter((text) => (output.textContent = text));
  output.className = "";
  progress.hidden = false;
  const request = new XMLHttpRequest();
  request.open("PUT", url);
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("X-CSRF-Token", token());
  request.upload.onprogress = ({ loaded, total }) => {
    progress.value = total ? loaded / total : 0;
    show(loaded, total);
  };
  return new Promise((resolve) => {
    const fail = (text) => {
      progress.hidden = true;
      failIn(form, text);
      resolve();
    };
    request.onerror = () => fail(words.failed);
    request.onload = () => {
      const said = parsed(request.responseText);
      if (request.status === 401) location.reload();
      if (request.status !== 200) return fail(said.detail || said.message || `${words.failed} (${request.status})`);
      location.href = new URL(`../${said.id}/`, url);
      resolve();
    };
    request.send(file);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function takeDrops(label) {
  const input = label.querySelector("input");
  const over = (event, is) => {
    event.preventDefault();
    label.classList.toggle("over", is);
  };
  label.addEventListener("dragover", (event) => over(event, true));
  label.addEventListener("dragleave", (event) => over(event, false));
  label.addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files.length === 1) input.files = event.dataTransfer.files;
  });
}

// ---- What changes by itself

/** Follows an upload until it has ended, through restarts of whatever stands between. */
function watchUpload(section) {
  const bar = section.querySelector("progress");
  const live = section.querySelector("[data-live]");
  const show = meter((text) => (live.textContent = text));
  const events = new EventSource(location.pathname);
  const told = ({ data }) => {
    const job = parsed(data);
    if (job.ended) {
      events.close();
      refresh();
      return;
    }
    if (`${job.state} ${job.attempts}` !== section.dataset.step) {
      events.close();
      later(watchAgain, 0.2);
      return;
    }
    if (job.total_bytes) Object.assign(bar, { max: job.total_bytes, value: job.received_bytes });
    show(job.received_bytes, job.total_bytes);
  };
  for (const state of ["queued", "fetching", "storing", "done", "failed", "cancelled"]) {
    events.addEventListener(state, told);
  }
  events.onerror = () => {
    // A connection that broke is made again by the browser; one that was refused is not.
    if (events.readyState === EventSource.CLOSED) later(watchAgain);
  };
  async function watchAgain() {
    if (!section.isConnected) return;
    const isRead = await refresh().catch(() => false);
    if (!isRead) later(watchAgain);
    else if (section.isConnected) watchUpload(section);
  }
}

function later(action, seconds = 2) {
  setTimeout(action, seconds * 1000);
}

function keepFresh(table) {
  later(async () => {
    if (!document.hidden) await refresh().catch(() => false);
    if (table.isConnected) keepFresh(table);
  }, Number(table.dataset.refresh));
}

// ---- Wiring

/** Forms wait for one thing at a time. */
async function submit(event, action) {
  const form = event.target;
  event.preventDefault();
  const buttons = form.querySelectorAll("[type=submit]");
  buttons.forEach((button) => (button.disabled = true));
  try {
    await action(form);
  } catch (error) {
    tell(`${words.failed}: ${error.message}`, true);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

document.addEventListener("submit", (event) => {
  const { call: method, upload } = event.target.dataset;
  if (method) submit(event, submitCall);
  else if (upload) submit(event, upload === "link" ? uploadByLink : uploadByFile);
});

document.addEventListener("click", async ({ target }) => {
  const text = target.dataset?.copy;
  if (text !== undefined) {
    await copy(text);
    tell(words.copied);
  }
  const language = target.dataset?.languageTo;
  if (language) {
    document.cookie = `blueking_language=${language.toLowerCase()};path=/;max-age=31536000;SameSite=Lax`;
    location.reload();
  }
});

/** Browsers lend the clipboard to pages of secure origins; on others a selection has to do. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function enliven(part) {
  part.querySelectorAll("[data-watch]").forEach(watchUpload);
  part.querySelectorAll("[data-refresh]").forEach(keepFresh);
  part.querySelectorAll(".drop").forEach(takeDrops);
}

enliven(document);
