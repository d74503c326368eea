// What people write is text: in names, messages, files, and the page that they are on.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { agentAtInbox, until, visitor } from "./inbox-page.js";

const VECTORS = [
  "<script>canary()</script>", "<img src=x onerror=canary()>", "<svg onload=canary()>", "<svg/onload=canary()//",
  "\"><img src=x onerror=canary()>", "'><img src=x onerror=canary()>", "<body onload=canary()>",
  "<iframe srcdoc='<script>parent.canary()</script>'>", "<a href='javascript:canary()'>x</a>", "javascript:canary()",
  "JaVaScRiPt:canary()", "java\tscript:canary()", "data:text/html,<script>canary()</script>", "<details open ontoggle=canary()>",
  "<input autofocus onfocus=canary()>", "<video><source onerror=canary()>", "<math><mtext></form><form><mglyph><style></math><img src onerror=canary()>",
  "</textarea><img src=x onerror=canary()>", "</title><script>canary()</script>", "<!--><script>canary()</script-->",
  "<style>@import 'javascript:canary()'</style>", "<link rel=stylesheet href=javascript:canary()>", "<base href=//evil.example/>",
  "<form action=javascript:canary()><button>x", "<object data=javascript:canary()>", "<embed src=javascript:canary()>",
  "&lt;script&gt;canary()&lt;/script&gt;", "\u003cscript\u003ecanary()\u003c/script\u003e", "${canary()}", "{{constructor.constructor('canary()')()}}",
  "http://x/\"onmouseover=\"canary()", "https://x/'onclick='canary()", "https://x/`onclick=`canary()", "https://x/><img src=x onerror=canary()>",
  "\u202e<script>canary()</script>", "<script\u0020>canary()</script>", "<IMG SRC=&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74:canary()>",
  "<template><script>canary()</script></template>", "<noscript><p title=\"</noscript><img src=x onerror=canary()>\">", "__proto__",
];

let browser;
let server;
before(async (t) => {
  [browser, server] = await Promise.all([startBrowser(t), startServer(t)]);
});

/** Everything that would give a script away: itself, an element that nobody made, or the browser's note of having stopped it. */
async function assertHarmless(inbox) {
  assert.equal(await inbox.page.evaluate(() => globalThis.sung ?? 0), 0);
  assert.equal(await inbox.page.locator("#app :is(script, iframe, object, embed, form:not(.composer), base, style, link, math, video, template)").count(), 0);
  const links = await inbox.page.locator("#app a").evaluateAll((all) => all.map(({ protocol }) => protocol));
  assert.deepEqual(links.filter((protocol) => protocol !== "http:" && protocol !== "https:"), []);
  inbox.assertNoFault();
}

async function withCanary(t) {
  const inbox = await agentAtInbox(t, browser, server, { viewport: { width: 1440, height: 900 } });
  await inbox.page.evaluate(() => { globalThis.canary = () => { globalThis.sung = (globalThis.sung ?? 0) + 1; }; });
  return inbox;
}

test("messages are text, whatever is in them", async (t) => {
  const inbox = await withCanary(t);
  const mallory = await visitor(t, server, { name: "Mallory" });
  for (const vector of VECTORS) await mallory.write(vector);
  await inbox.open("Mallory");
  await inbox.claim();
  await inbox.message("__proto__").waitFor();
  const shown = await inbox.log.locator(".text").allTextContents();
  assert.deepEqual(shown.slice(-VECTORS.length), VECTORS);
  await assertHarmless(inbox);

  // What an agent writes is no better.
  for (const vector of VECTORS.slice(0, 5)) await inbox.write(vector);
  await inbox.reaches(VECTORS[4], "sent");
  await assertHarmless(inbox);
});

test("names are text, in the list, the conversation and the details", async (t) => {
  const inbox = await withCanary(t);
  for (const vector of VECTORS.filter((one) => one.trim() && one.length <= 80)) {
    await visitor(t, server, { name: vector.replace(/[\t\u202e]/g, " ") }, vector);
  }
  await until(inbox.page, (count) => document.querySelectorAll("#rows a.row").length >= count, 20);
  for (let number = 0; number < 12; number += 1) {
    await inbox.page.keyboard.press("j");
    await inbox.page.locator(`#rows li:nth-child(${number + 1}) a[aria-current]`).waitFor();
    await inbox.message(/./).first().waitFor();
  }
  await assertHarmless(inbox);
});

const PAGES = [
  { url: "javascript:canary()", title: "A title" },
  { url: "data:text/html,<script>canary()</script>", title: "<img src=x onerror=canary()>" },
  { url: "https://shop.example/\"><img src=x onerror=canary()>", title: "<script>canary()</script>" },
  { url: "vbscript:canary()", title: "\"><svg onload=canary()>" },
  { url: " javascript:canary()", title: "" },
];

test("the visitor's page is linked only where it is one of the web, and its title is text", async (t) => {
  const inbox = await withCanary(t);
  for (const [index, page] of PAGES.entries()) {
    const body = { name: `Eve ${index}`, page };
    const answer = await fetch(`${server.base}/api/widget/session`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    // Refused or cleaned: both are fine, a link is not.
    const { visitorToken } = await answer.json();
    await visitor(t, server, visitorToken ? { visitorToken } : { name: body.name });
    await inbox.open(body.name);
    await inbox.about.getByRole("heading", { name: "Visitor" }).waitFor();
    await assertHarmless(inbox);
  }
});

test("an address that a server lets through is no link either", async (t) => {
  for (let index = 0; index < PAGES.length; index += 1) await visitor(t, server, { name: `Trudy ${index}` });
  const inbox = await withCanary(t);
  await inbox.page.route("**/api/inbox?*", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    for (const row of body.conversations) {
      const index = /^Trudy (\d)$/.exec(row.visitor.name)?.[1];
      if (index) row.visitor.page = PAGES[index];
    }
    await route.fulfill({ response, json: body });
  });
  await inbox.page.reload();
  await inbox.ready();
  for (const [index, { title, url }] of PAGES.entries()) {
    await inbox.open(`Trudy ${index}`);
    await inbox.about.getByText(title || url.trim()).first().waitFor();
    await assertHarmless(inbox);
  }
});

test("a file's name is text, and a file is never run", async (t) => {
  const inbox = await withCanary(t);
  const mallory = await visitor(t, server, { name: "Mallory with files" });
  for (const vector of ["<img src=x onerror=canary()>.txt", "\"><script>canary()<script>.txt", "javascript:canary().txt"]) {
    const { id } = await mallory.upload(vector, "<script>canary()</script>", "text/plain");
    await mallory.write("", { type: "FILE", fileId: id });
  }
  await inbox.open("Mallory with files");
  await until(inbox.page, () => document.querySelectorAll("#log .file-card").length === 3);
  await assertHarmless(inbox);
});

test("a script that got in would be noticed", async (t) => {
  const inbox = await withCanary(t);
  await assertHarmless(inbox);
  const stopped = inbox.page.waitForEvent("console", (message) => /inline event handler/.test(message.text()));
  await inbox.page.evaluate((html) => { document.querySelector(".brand").innerHTML = html; }, VECTORS[1]);
  await stopped;
  await assert.rejects(assertHarmless(inbox), assert.AssertionError);

  const other = await withCanary(t);
  await other.page.evaluate(() => globalThis.canary());
  await assert.rejects(assertHarmless(other), assert.AssertionError);
});
