// What a hostile visitor, agent or page can do to the others: nothing.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { LINKS, VECTORS, ran } from "./harness/vectors.js";
import { agent, person } from "./harness/people.js";
import { newContext, newPage, startBrowser } from "./harness/browser.js";
import { page, startSite, strict } from "./harness/site.js";
import { startServer } from "./harness/server.js";
import { arrive, visitor } from "./harness/widget.js";

const server = await startServer({ after });
const site = await startSite({ after });
const browser = await startBrowser({ after });
// This one has no policy that would stop a script.
const shop = site.show("/shop", page(server));
const guarded = site.show("/guarded", page(server), strict(server));
let count = 0;

async function scene(t, url = shop) {
  const first = `Hello ${++count}`;
  const widget = await visitor(t, browser, url);
  await widget.open();
  await widget.write(first);
  await widget.reaches(first, "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === first);
  return { widget, anna, id, first };
}

test("forty ways to smuggle a script in are shown as they were written, from both sides", async (t) => {
  const { widget, anna, id, first } = await scene(t);
  for (const vector of VECTORS) await anna.say(id, vector);
  await widget.shows([first, ...VECTORS]);
  for (const vector of VECTORS.slice(0, 10)) await widget.write(vector);
  await widget.shows([first, ...VECTORS, ...VECTORS.slice(0, 10)]);
  await widget.page.reload();
  await widget.ready();
  await widget.shows([first, ...VECTORS, ...VECTORS.slice(0, 10)].slice(-50));
  assert.equal(await ran(widget.page), 0);
  assert.deepEqual(widget.page.notes.dialogs, []);
  // Nothing of it became an element, either.
  assert.equal(await widget.log.locator("script, iframe, object, embed, img, video, audio, input, style, link, base, meta").count(), 0);
});

test("the same texts as names of files and of the page are shown as they are", async (t) => {
  const { widget, anna, id } = await scene(t);
  const names = VECTORS.slice(0, 20).map((vector) => `${vector.replace(/[/\\\n]/g, "_")}.txt`);
  for (const name of names) {
    const file = await anna.upload(name, "text", "text/plain");
    await anna.say(id, "", { type: "FILE", fileId: file.id });
    await widget.log.locator(".file-name").last().getByText(file.originalName, { exact: true }).waitFor();
  }
  await widget.page.evaluate((title) => { document.title = title; }, VECTORS[0]);
  const settings = { title: VECTORS[11], greeting: VECTORS[4], accent: "red;background:url(javascript:alert(1))", position: VECTORS[0], locale: VECTORS[1] };
  const other = await visitor(t, browser, site.show("/vectors", page(server, { settings })));
  await other.open();
  await other.panel.getByRole("heading", { name: VECTORS[11] }).waitFor();
  assert.equal(await other.log.locator(".greeting").textContent(), VECTORS[4]);
  for (const { page: one } of [widget, other]) {
    assert.equal(await ran(one), 0);
    assert.deepEqual(one.notes.dialogs, []);
  }
});

test("the same texts from a page that reads them as markup do run: the canary sings", async (t) => {
  const context = await newContext(t, browser);
  const naive = await newPage(context);
  await naive.goto(site.show("/naive", "<!doctype html><title>Naive</title><main></main>"));
  for (const vector of VECTORS) await naive.evaluate((text) => { document.querySelector("main").innerHTML = text; }, vector);
  await naive.waitForFunction(() => window.__ran > 0);
});

test("the same texts run on a page with a policy as little, and the policy would have said so", async (t) => {
  const { widget, anna, id, first } = await scene(t, guarded);
  for (const vector of VECTORS) await anna.say(id, vector);
  await widget.shows([first, ...VECTORS]);
  assert.equal(await ran(widget.page), 0);
  assert.deepEqual(site.reports.all, []);
  widget.assertNoFault();
  // The control: a page that reads markup.
  await widget.page.evaluate((text) => {
    const frame = document.createElement("div");
    try { frame.innerHTML = text; } catch { /* Trusted types refuse it. */ }
  }, VECTORS[11]);
  await site.reports.first((report) => /trusted-types|script-src/.test(report["violated-directive"]), "a report of the policy");
});

test("only addresses of the web can be followed, and what they open knows nothing of the page", async (t) => {
  const { widget, anna, id } = await scene(t);
  for (const link of LINKS) {
    await anna.say(id, link);
    await widget.row(link).waitFor();
    assert.equal(await widget.row(link).locator("a").count(), 0, link);
  }
  const text = "See https://example.com/a?b=c#d. Or (http://example.org/x), not ftp://example.net.";
  await anna.say(id, text);
  await widget.row(text).waitFor();
  const links = await widget.row(text).locator("a").evaluateAll((all) => all.map((one) => [one.href, one.rel, one.target]));
  const rel = "noopener noreferrer nofollow";
  assert.deepEqual(links, [["https://example.com/a?b=c#d", rel, "_blank"], ["http://example.org/x", rel, "_blank"]]);
});

test("it works on a website that allows nothing inline and nothing from elsewhere", async (t) => {
  const before = site.reports.all.length;
  const { widget, anna, id, first } = await scene(t, guarded);
  await anna.say(id, "It does");
  await widget.shows([first, "It does"]);
  // It has its style, and not the browser's.
  assert.equal(await widget.launcher.evaluate((button) => getComputedStyle(button).borderRadius), "50%");
  assert.equal(await widget.panel.evaluate((panel) => getComputedStyle(panel).borderRadius), "16px");
  widget.assertNoFault();
  assert.deepEqual(site.reports.all.slice(before), []);
});

test("it works on an allowed origin only", async (t) => {
  const own = await startSite(t);
  const strictServer = await startServer(t, { WIDGET_ORIGINS: own.origin });
  const allowed = await visitor(t, browser, own.show("/", page(strictServer)));
  await allowed.open();
  await allowed.write("From an allowed origin");
  await allowed.reaches("From an allowed origin", "sent");

  const refused = await visitor(t, browser, site.show("/refused", page(strictServer)));
  await refused.launcher.click();
  await refused.panel.getByText(/The chat is not available here.|The chat cannot be reached now./).waitFor();
  const anna = await agent(t, strictServer);
  const { conversations } = await anna.call("GET", "/api/inbox?state=open");
  const { conversations: waiting } = await anna.call("GET", "/api/inbox?state=unassigned");
  assert.equal(new Set([...conversations, ...waiting].map((one) => one.id)).size, 1);
});

test("no token is in an address, a Referer, a cookie or the server's log", async (t) => {
  const context = await newContext(t, browser);
  const answers = [];
  context.on("response", (answer) => {
    if (answer.url().endsWith("/api/widget/session")) answers.push(answer.json().catch(() => ({})));
  });
  const widget = await arrive(context, shop);
  await widget.open();
  await widget.write("Look for my token");
  await widget.reaches("Look for my token", "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === "Look for my token");
  const file = await anna.upload("a.txt", "text", "text/plain");
  await anna.say(id, "", { type: "FILE", fileId: file.id });
  const [popup] = await Promise.all([context.waitForEvent("page"), widget.log.getByRole("link", { name: /a\.txt/ }).click()]);
  await popup.close();
  await widget.page.reload();
  await widget.ready();
  await widget.row("Look for my token").waitFor();

  const secrets = (await Promise.all(answers)).flatMap(({ token, visitorToken }) => [token, visitorToken]).filter(Boolean);
  assert.ok(secrets.length >= 2, "there are tokens to look for");
  const places = {
    requests: JSON.stringify(widget.page.notes.requests),
    cookies: JSON.stringify(await context.cookies()),
    log: server.log,
    markup: await widget.page.evaluate(() => document.documentElement.outerHTML + document.querySelector("priyo-widget").shadowRoot.innerHTML),
    globals: await widget.page.evaluate(() => JSON.stringify(Object.keys(Priyo).map((key) => [key, String(Priyo[key])]))),
  };
  for (const [place, text] of Object.entries(places)) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `a token in ${place}`);
  }
  // The access token is kept nowhere, and the visitor's own in the storage of the website alone.
  const kept = await widget.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!(await Promise.all(answers)).some(({ token }) => token && kept.includes(token)), "an access token is kept");
  for (const { referer } of widget.page.notes.requests) assert.ok(!referer || new URL(referer).search === "", referer);
});

test("a visitor's token opens nothing but the visitor's own", async (t) => {
  const { widget } = await scene(t);
  const token = await widget.page.evaluate(async (base) => {
    const kept = Object.values({ ...localStorage }).map((one) => { try { return JSON.parse(one); } catch { return one; } });
    const visitorToken = JSON.stringify(kept).match(/[\w-]{43,64}/)[0];
    const answer = await fetch(`${base}/api/widget/session`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ visitorToken }) });
    return (await answer.json()).token;
  }, server.base);
  const other = await person(t, server, "other", "CUSTOMER");
  const call = (path) => fetch(server.base + path, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await call("/api/inbox?state=open")).status, 403);
  const { conversations } = await (await call("/api/conversations")).json();
  assert.equal(conversations.length, 1);
  assert.ok(other.id);
});

test("a page with hostile styles, elements and prototypes does not reach into the widget", async (t) => {
  const head = `<style>* { font: 40px serif !important; color: red; letter-spacing: 10px; position: static; text-transform: uppercase }
    button, textarea, [role=dialog] { display: none !important } priyo-widget { direction: rtl }</style>
    <script>String.prototype.evil = 1; Object.prototype.spoiled = "spoiled";</script>`;
  const body = "<form name=querySelector></form><img name=getElementById><div id=title></div><div id=panel>x</div><input id=chatBody name=io>";
  const widget = await visitor(t, browser, site.show("/hostile", page(server, { head, body })));
  await widget.open();
  await widget.text.waitFor();
  const style = await widget.text.evaluate((one) => {
    const { fontSize, letterSpacing, textTransform } = getComputedStyle(one);
    return [fontSize, letterSpacing, textTransform];
  });
  assert.deepEqual(style, ["15px", "normal", "none"]);
  await widget.write("Still here");
  await widget.reaches("Still here", "sent");
});
