// What the page of a website can set and call.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { agent } from "./harness/people.js";
import { newContext, startBrowser } from "./harness/browser.js";
import { page, startSite } from "./harness/site.js";
import { startServer } from "./harness/server.js";
import { Widget, arrive, visitor } from "./harness/widget.js";

const SECRET = "a secret that only the website's own server knows";
const server = await startServer({ after }, { WIDGET_IDENTITY_SECRET: SECRET });
const site = await startSite({ after });
const browser = await startBrowser({ after });
const shop = site.show("/shop", page(server));
const hash = (userId) => createHmac("sha256", SECRET).update(userId).digest("hex");

const shown = (t, settings, options, more) =>
  visitor(t, browser, site.show("/set", page(server, { settings, ...more })), options);

test("the tag sets title, greeting, accent and side", async (t) => {
  const widget = await shown(t, { title: "Halda <b>Coffee</b>", greeting: "Ask us & wait", accent: "#ffd60a", position: "left" });
  await widget.open();
  await widget.panel.getByRole("heading", { name: "Halda <b>Coffee</b>" }).waitFor();
  assert.equal(await widget.log.locator(".greeting").textContent(), "Ask us & wait");
  const [colour, left] = await widget.launcher.evaluate((button) => [getComputedStyle(button).backgroundColor, button.offsetLeft]);
  assert.equal(colour, "rgb(255, 214, 10)");
  assert.equal(left, 20);
});

test("an empty greeting is none, of the tag or of the server", async (t) => {
  const silent = await startServer(t, { WIDGET_GREETING: "off" });
  for (const [own, settings] of [[server, { greeting: "" }], [silent, {}]]) {
    const widget = await visitor(t, browser, site.show("/silent", page(own, { settings })));
    await widget.open();
    assert.equal(await widget.log.locator(".greeting").isVisible(), false);
    await widget.write("Hello");
    await widget.reaches("Hello", "sent");
    await widget.shows(["Hello"]);
  }
});

test("it speaks the language of the tag, else of the page, else of the browser", async (t) => {
  const words = { de: "Nachricht schreiben …", es: "Escribe un mensaje…", bn: "একটি বার্তা লিখুন…", en: "Write a message …" };
  const cases = [
    ["de", { settings: { locale: "de-AT" } }, {}],
    ["es", { lang: "es-MX" }, { locale: "de-DE" }],
    ["bn", { lang: "nl" }, { locale: "bn-BD" }],
    ["en", { lang: "nl" }, { locale: "fr-FR" }],
  ];
  for (const [language, { settings, ...more }, options] of cases) {
    const widget = await shown(t, settings, options, more);
    await widget.launcher.click();
    await widget.text.waitFor();
    assert.equal(await widget.text.getAttribute("placeholder"), words[language]);
    widget.assertNoFault();
  }
});

test("data-open opens it, unless the visitor has closed it on a page before", async (t) => {
  const widget = await shown(t, { open: "" });
  await widget.ready();
  await widget.close();
  await widget.page.reload();
  await widget.launcher.waitFor();
  await widget.page.waitForLoadState("networkidle");
  assert.equal(await widget.panel.count(), 0);
});

test("window.Priyo opens, sends, closes and tells, also what was called before the tag had loaded", async (t) => {
  const head = `<script>
    window.told = [];
    const tell = (...call) => (window.Priyo = window.Priyo || []).push(call);
    for (const event of ["open", "close", "message", "unread"]) tell("on", event, (detail) => told.push([event, detail]));
    tell("on", "open", () => { throw new Error("a fault of the page's own"); });
    tell("send", "Said before anything was there");
    tell("open");
  </script>`;
  const widget = await shown(t, {}, {}, { head });
  await widget.ready();
  await widget.reaches("Said before anything was there", "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === "Said before anything was there");
  await widget.page.evaluate(() => Priyo.close());
  await widget.panel.waitFor({ state: "hidden" });
  await anna.say(id, "An answer");
  await widget.badge.getByText("1", { exact: true }).waitFor();
  await widget.page.evaluate(() => Priyo.send("And after"));
  await anna.message("And after");
  await widget.page.evaluate(() => Priyo.open());
  await widget.shows(["Said before anything was there", "An answer", "And after"]);
  const told = await widget.page.evaluate(() => window.told.map(([event, detail]) => (event === "message" ? [event, detail.text, detail.from] : [event, detail])));
  for (const one of [["open", null], ["close", null], ["message", "An answer", anna.username], ["unread", 1]]) {
    assert.ok(told.some((other) => JSON.stringify(other) === JSON.stringify(one)), `${JSON.stringify(one)} in ${JSON.stringify(told)}`);
  }
});

test("the tag twice is one widget, and an element of the page with its name changes nothing", async (t) => {
  const head = `<script src="${server.base}/widget.js" async></script>`;
  const body = "<form name=body></form><img name=currentScript><div id=Priyo></div><a id=io name=io></a><input name=attributes id=panel>";
  const widget = await shown(t, {}, {}, { head, body });
  await widget.open();
  assert.equal(await widget.page.locator("priyo-widget").count(), 1);
  assert.equal(await widget.page.evaluate(() => typeof Priyo.open), "function");
});

test("who is identified finds the conversation on another browser, and what was said before comes along", async (t) => {
  const userId = `mina-${Date.now()}`;
  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.write("Before I signed in");
  await widget.reaches("Before I signed in", "sent");
  const who = { userId, name: "Mina", email: "mina@example.com", hash: hash(userId) };
  await widget.page.evaluate((one) => Priyo.identify(one), who);
  await widget.write("After I signed in");
  await widget.reaches("After I signed in", "sent");
  const anna = await agent(t, server);
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  const found = conversations.find((one) => one.lastMessage?.content === "After I signed in");
  assert.deepEqual([found.visitor.name, found.visitor.email], ["Mina", "mina@example.com"]);

  const phone = await visitor(t, browser, shop);
  await phone.page.evaluate((one) => Priyo.identify(one), who);
  await phone.open();
  await phone.shows(["Before I signed in", "After I signed in"]);
});

test("while one says who one is, what is on its way arrives where it was written, and what comes after in the other one", async (t) => {
  const who = { userId: `nora-${Date.now()}`, name: "Nora" };
  who.hash = hash(who.userId);
  const phone = await visitor(t, browser, shop);
  await phone.page.evaluate((one) => Priyo.identify(one), who);
  await phone.open();
  await phone.write("From the phone");
  await phone.reaches("From the phone", "sent");

  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.write("Nobody yet");
  await widget.reaches("Nobody yet", "sent");
  await widget.page.evaluate((one) => {
    Priyo.send("On its way");
    Priyo.identify(one);
    Priyo.close();
    Priyo.open();
    Priyo.send("As Nora");
  }, who);
  await phone.shows(["From the phone", "As Nora"]);
  await widget.shows(["From the phone", "As Nora"]);
  const anna = await agent(t, server);
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  const before = conversations.find((one) => one.lastMessage?.content === "On its way");
  assert.notEqual(before.visitor.name, "Nora");
});

test("who says who they are while the first message begins the conversation takes it along", async (t) => {
  const who = { userId: `ida-${Date.now()}`, name: "Ida" };
  who.hash = hash(who.userId);
  const widget = await visitor(t, browser, shop);
  await widget.open();
  let begin;
  const begun = new Promise((resolve) => { begin = resolve; });
  await widget.page.route("**/api/widget/conversation", async (route) => {
    await begun;
    await route.continue();
  });
  const asked = widget.page.waitForRequest("**/api/widget/conversation");
  await widget.write("First of all");
  await asked;
  await widget.page.evaluate((one) => Priyo.identify(one), who);
  begin();
  await widget.write("As Ida");
  await widget.reaches("As Ida", "sent");
  await widget.shows(["First of all", "As Ida"]);
  const phone = await visitor(t, browser, shop);
  await phone.page.evaluate((one) => Priyo.identify(one), who);
  await phone.open();
  await phone.shows(["First of all", "As Ida"]);
});

test("the other tab, which has not said who it is, goes on with a conversation of its own", async (t) => {
  const userId = `olga-${Date.now()}`;
  const context = await newContext(t, browser);
  const widget = await (await arrive(context, shop)).open();
  await widget.write("Before I was Olga");
  await widget.reaches("Before I was Olga", "sent");
  const other = await (await arrive(context, shop)).open();
  await other.shows(["Before I was Olga"]);
  await widget.page.evaluate((one) => Priyo.identify(one), { userId, name: "Olga", hash: hash(userId) });
  await other.shows([]);
  await other.write("Whoever I am");
  await other.reaches("Whoever I am", "sent");
  await other.shows(["Whoever I am"]);
  await widget.shows(["Before I was Olga"]);
});

test("a wrong hash is refused, and says so", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.page.evaluate((one) => Priyo.identify(one), { userId: "mina", hash: hash("somebody else") });
  await widget.launcher.click();
  await widget.panel.getByText("The chat is not available here.").waitFor();
  assert.equal(await widget.text.isVisible(), false);
});

test("after reset() the next visitor of a shared computer sees nothing of the one before", async (t) => {
  const userId = `karim-${Date.now()}`;
  const context = await newContext(t, browser);
  const widget = await arrive(context, shop);
  await widget.page.evaluate((one) => Priyo.identify(one), { userId, name: "Karim", hash: hash(userId) });
  await widget.open();
  await widget.write("My account number is 4711");
  await widget.reaches("My account number is 4711", "sent");
  await widget.text.fill("a draft");
  const over = widget.page.evaluate(() => new Promise((resolve) => Priyo.on("reset", resolve)));
  await widget.page.evaluate(() => Priyo.reset());
  await over;
  assert.equal(await widget.panel.isVisible(), false);
  const kept = await widget.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.doesNotMatch(kept, /4711|token|talking/i);

  await widget.open();
  assert.equal(await widget.text.inputValue(), "");
  await widget.shows([]);
  const next = new Widget(await context.newPage());
  await next.page.goto(shop);
  await next.open();
  await next.shows([]);
});

test("what is called at once after reset() is of the next visitor", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.write("Of the one before");
  await widget.reaches("Of the one before", "sent");
  await widget.page.evaluate(() => { Priyo.reset(); Priyo.send("Of the next one"); Priyo.open(); });
  await widget.reaches("Of the next one", "sent");
  await widget.shows(["Of the next one"]);

  const userId = `rosa-${Date.now()}`;
  await widget.page.evaluate((who) => { Priyo.reset(); Priyo.identify(who); Priyo.open(); }, { userId, name: "Rosa", hash: hash(userId) });
  await widget.shows([]);
  await widget.write("I am Rosa");
  await widget.reaches("I am Rosa", "sent");
  const anna = await agent(t, server);
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  assert.equal(conversations.find((one) => one.lastMessage?.content === "I am Rosa").visitor.name, "Rosa");
});

test("a tab whose visitor is identified stays so when another tab comes without saying who", async (t) => {
  const userId = `tara-${Date.now()}`;
  const context = await newContext(t, browser);
  const widget = await arrive(context, shop);
  await widget.page.evaluate((one) => Priyo.identify(one), { userId, name: "Tara", hash: hash(userId) });
  await widget.open();
  await widget.write("I am Tara");
  await widget.reaches("I am Tara", "sent");
  const other = await (await arrive(context, shop)).open();
  await other.write("I am nobody");
  await other.reaches("I am nobody", "sent");
  await widget.write("I am still Tara");
  await widget.reaches("I am still Tara", "sent");
  await widget.shows(["I am Tara", "I am still Tara"]);
  await other.shows(["I am nobody"]);
});

test("reset() forgets the visitor in every tab: who it was, what was being written, and what is shown", async (t) => {
  const userId = `uma-${Date.now()}`;
  const context = await newContext(t, browser);
  const come = async () => {
    const tab = await arrive(context, shop);
    await tab.page.evaluate((one) => Priyo.identify(one), { userId, name: "Uma", hash: hash(userId) });
    return tab.open();
  };
  const widget = await come();
  await widget.write("I am Uma");
  await widget.reaches("I am Uma", "sent");
  const other = await come();
  await other.shows(["I am Uma"]);
  await other.text.fill("a draft");
  await widget.page.evaluate(() => Priyo.reset());
  await other.panel.waitFor({ state: "hidden" });
  await other.open();
  assert.equal(await other.text.inputValue(), "");
  await other.shows([]);
  await other.write("I am not Uma");
  await other.reaches("I am not Uma", "sent");
  const anna = await agent(t, server);
  const { conversations } = await anna.call("GET", "/api/inbox?state=unassigned");
  assert.notEqual(conversations.find((one) => one.lastMessage?.content === "I am not Uma").visitor.name, "Uma");
});

test("a page that the browser had put aside does not show a visitor who was forgotten meanwhile", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.write("Forget me");
  await widget.reaches("Forget me", "sent");
  await widget.page.evaluate(() => {
    localStorage.clear();
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  });
  await widget.panel.waitFor({ state: "hidden" });
  await widget.open();
  await widget.shows([]);
});

test("reset() forgets the visitor also on a page where nothing was loaded yet", async (t) => {
  const widget = await visitor(t, browser, shop);
  await widget.open();
  await widget.close();
  await widget.page.reload();
  await widget.launcher.waitFor();
  const over = widget.page.evaluate(() => new Promise((resolve) => {
    Priyo.on("reset", resolve);
    Priyo.reset();
  }));
  await over;
  assert.doesNotMatch(await widget.page.evaluate(() => JSON.stringify({ ...localStorage })), /token|visited/i);
});
