// The widget for people with a keyboard, a screen reader, a phone, another way of writing, or other eyes.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertAccessible, contrasts, settled } from "./harness/access.js";
import { agent } from "./harness/people.js";
import { page, startSite } from "./harness/site.js";
import { picture } from "./harness/pictures.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { visitor } from "./harness/widget.js";

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const server = await startServer({ after });
const site = await startSite({ after });
const browser = await startBrowser({ after });
const shop = site.show("/shop", page(server));
let count = 0;

/** A conversation with everything in it that there can be. */
async function scene(t, { url = shop, ...options } = {}) {
  const first = `Hello ${++count}`;
  const widget = await visitor(t, browser, url, options);
  await widget.open();
  await widget.write(first);
  await widget.reaches(first, "sent");
  const anna = await agent(t, server);
  const id = await anna.claim((one) => one.lastMessage?.content === first);
  return { widget, anna, id, first };
}

/** Fills it. */
async function fill({ widget, anna, id }) {
  await anna.say(id, "Look at https://example.com/help, please.");
  const file = await picture(widget.page);
  const uploads = [await anna.upload(file.name, file.buffer, file.mimeType), await anna.upload("label.txt", "text", "text/plain")];
  await anna.say(id, "", { type: "IMAGE", fileId: uploads[0].id });
  await anna.say(id, "A label", { type: "FILE", fileId: uploads[1].id });
  await widget.row("A label").waitFor();
  await widget.sendFile({ name: "tool.exe", mimeType: "application/octet-stream", buffer: Buffer.from("MZ\u0090\0") });
  await widget.log.getByText("Files of this kind cannot be sent.").waitFor();
  await anna.emit("typing:start", { conversationId: id });
  await widget.log.locator(".dots").waitFor();
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing serious, ${colorScheme}: closed, empty, in a conversation, offline and unread`, async (t) => {
    const empty = await visitor(t, browser, shop, { colorScheme });
    await assertAccessible(empty.page, "closed", "priyo-widget");
    await empty.open();
    await assertAccessible(empty.page, "empty", "priyo-widget");

    const all = await scene(t, { colorScheme });
    await fill(all);
    await assertAccessible(all.widget.page, "in a conversation", "priyo-widget");
    await all.widget.page.context().setOffline(true);
    await all.widget.banner.getByText("You are offline").waitFor();
    await assertAccessible(all.widget.page, "offline", "priyo-widget");
    await all.widget.page.context().setOffline(false);
    await all.widget.close();
    await all.anna.say(all.id, "One more");
    await all.widget.badge.getByText("1", { exact: true }).waitFor();
    await assertAccessible(all.widget.page, "unread", "priyo-widget");
  });
}

test("axe finds something where there is something to find", async (t) => {
  const html = "<!doctype html><html lang=en><title>Bad</title><main><h1>Bad</h1><button></button><p style='color:#999;background:#aaa'>Nobody can read this</p></main>";
  const { page: bad } = await visitor(t, browser, shop);
  await bad.setContent(html);
  await assert.rejects(assertAccessible(bad, "a bad page"), /button-name[\s\S]*color-contrast/);
});

for (const accent of ["#1f5eff", "#ffd60a", "#ffffff", "#000000", "#e11d48"]) {
  test(`every text can be read with the accent ${accent}, in light and dark`, async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const all = await scene(t, { colorScheme, url: site.show("/accent", page(server, { settings: { accent } })) });
      await fill(all);
      await settled(all.widget.page);
      const found = await contrasts(all.widget.panel);
      assert.ok(found.length > 10, JSON.stringify(found));
      assert.deepEqual(found.filter(([, ratio]) => ratio < 4.5), [], colorScheme);
    }
  });
}

test("a keyboard is enough, and Escape gives the focus back", async (t) => {
  const widget = await visitor(t, browser, shop);
  const { keyboard } = widget.page;
  const focused = () => widget.page.evaluate(() => {
    const inner = document.activeElement.shadowRoot?.activeElement;
    return inner ? inner.getAttribute("aria-label") ?? inner.className : document.activeElement.id;
  });
  await widget.page.locator("#shop").focus();
  await keyboard.press("Tab");
  assert.equal(await focused(), "Open the chat");
  await keyboard.press("Enter");
  await widget.ready();
  assert.equal(await focused(), "Write a message …");
  await keyboard.type("With the keyboard");
  await keyboard.press("Shift+Enter");
  await keyboard.type("in two lines");
  await keyboard.press("Enter");
  await widget.reaches("With the keyboard\nin two lines", "sent");
  await keyboard.press("Escape");
  assert.equal(await widget.panel.isVisible(), false);
  assert.equal(await focused(), "Open the chat");

  // Beside the page it is no trap.
  await keyboard.press("Enter");
  for (let step = 0; step < 4; step += 1) await keyboard.press("Shift+Tab");
  await keyboard.press("Shift+Tab");
  assert.equal(await focused(), "shop");

  // What opened it on the page has the focus again.
  await widget.page.evaluate(() => Priyo.close());
  await widget.panel.waitFor({ state: "hidden" });
  await widget.page.locator("#shop").evaluate((button) => button.addEventListener("click", () => Priyo.open()));
  await widget.page.locator("#shop").focus();
  await keyboard.press("Enter");
  await widget.panel.waitFor();
  await widget.page.waitForFunction(() => document.activeElement.shadowRoot?.activeElement?.tagName === "TEXTAREA");
  await keyboard.press("Escape");
  assert.equal(await focused(), "shop");
});

test("a page's shortcuts do not take what is written", async (t) => {
  const head = "<script>window.taken = []; addEventListener(\"keydown\", (event) => taken.push(event.key));</script>";
  const widget = await visitor(t, browser, site.show("/shortcuts", page(server, { head })));
  await widget.open();
  await widget.text.press("s");
  await widget.text.press("/");
  assert.equal(await widget.text.inputValue(), "s/");
  assert.deepEqual(await widget.page.evaluate(() => window.taken), []);
});

test("a screen reader hears who wrote what, once", async (t) => {
  const { widget, anna, id, first } = await scene(t);
  assert.equal(await widget.panel.getAttribute("aria-modal"), null);
  assert.equal(await widget.log.getAttribute("aria-live"), "polite");
  // What is added, as a screen reader is told of it.
  await widget.log.evaluate((log) => {
    window.added = [];
    new MutationObserver((all) => {
      for (const { addedNodes } of all) window.added.push(...[...addedNodes].filter((one) => one.classList?.contains("row")).map((one) => one.textContent));
    }).observe(log.querySelector(".list"), { childList: true });
  });
  await anna.say(id, "An answer");
  await widget.row("An answer").waitFor();
  await anna.emit("message:read", { conversationId: id, messageIds: (await anna.history(id)).filter((one) => one.content === first).map((one) => one.id) });
  await widget.reaches(first, "read");
  const added = await widget.page.evaluate(() => window.added);
  assert.equal(added.length, 1);
  assert.match(added[0], new RegExp(`^${anna.username}: An answer`));
  assert.equal(await widget.row(first).locator("> div").first().textContent(), "You: ");
});

test("on a phone it is a modal dialog over the whole screen, and the page behind it stands still", async (t) => {
  const { widget } = await scene(t, PHONE);
  const box = await widget.panel.boundingBox();
  assert.deepEqual([box.x, box.y, Math.round(box.width), Math.round(box.height)], [0, 0, 390, 844]);
  assert.equal(await widget.panel.getAttribute("aria-modal"), "true");
  assert.equal(await widget.launcher.isVisible(), false);
  assert.equal(await widget.page.evaluate(() => getComputedStyle(document.documentElement).overflow), "hidden");
  // The keyboard goes round inside.
  const inside = () => widget.page.evaluate(() => document.activeElement.localName === "priyo-widget");
  for (let step = 0; step < 12; step += 1) {
    await widget.page.keyboard.press(step < 6 ? "Tab" : "Shift+Tab");
    assert.ok(await inside());
  }
  // The keyboard of the phone takes its part.
  await widget.page.setViewportSize({ width: 390, height: 500 });
  await widget.page.waitForFunction(() => {
    const { height } = document.querySelector("priyo-widget").shadowRoot.querySelector(".panel").getBoundingClientRect();
    return Math.round(height) === 500;
  });
  assert.ok((await widget.text.boundingBox()).y < 500);
  await widget.close();
  assert.equal(await widget.page.evaluate(() => getComputedStyle(document.documentElement).overflow), "visible");
  assert.equal(await widget.launcher.isVisible(), true);
  await assertAccessible(widget.page, "a phone, closed", "priyo-widget");
});

test("nothing is wider than a small phone, whatever is written", async (t) => {
  const { widget, anna, id } = await scene(t, { ...PHONE, viewport: { width: 320, height: 568 } });
  for (const text of ["a".repeat(300), `https://example.com/${"b".repeat(200)}`, "word ".repeat(100).trim()]) {
    await anna.say(id, text);
    await widget.row(text).waitFor();
  }
  const file = await anna.upload(`${"long name ".repeat(20)}.txt`, "text", "text/plain");
  await anna.say(id, "", { type: "FILE", fileId: file.id });
  await widget.log.locator(".file").waitFor();
  const [width, most] = await widget.log.evaluate((log) => [log.scrollWidth, log.clientWidth]);
  assert.equal(width, most);
  for (const box of await Promise.all((await widget.log.locator(".bubble").all()).map((one) => one.boundingBox()))) {
    assert.ok(box.x >= 0 && box.x + box.width <= 320, JSON.stringify(box));
  }
});

test("on a page that is written from right to left it is mirrored, and each text runs its own way", async (t) => {
  const { widget, anna, id, first } = await scene(t, { url: site.show("/rtl", page(server, { lang: "ar", dir: "rtl" })) });
  await anna.say(id, "صباح الخير!");
  await widget.row("صباح الخير!").waitFor();
  const middle = (await widget.panel.boundingBox()).x + (await widget.panel.boundingBox()).width / 2;
  assert.ok(middle < 480, "it stands on the left");
  const [own, theirs] = await Promise.all([first, "صباح الخير!"].map((text) => widget.row(text).locator(".bubble").boundingBox()));
  assert.ok(own.x + own.width / 2 < theirs.x + theirs.width / 2, "the visitor's own are on the left");
  const direction = (text) => widget.row(text).locator(".text").evaluate((one) => getComputedStyle(one).direction);
  assert.deepEqual([await direction(first), await direction("صباح الخير!")], ["ltr", "rtl"]);
  await assertAccessible(widget.page, "from right to left", "priyo-widget");
});

test("nothing moves for who asks for that", async (t) => {
  const { widget, anna, id } = await scene(t, { reducedMotion: "reduce" });
  await anna.emit("typing:start", { conversationId: id });
  await widget.log.locator(".dots").waitFor();
  await settled(widget.page);
  const moving = await widget.page.evaluate(() => document.querySelector("priyo-widget").shadowRoot.getAnimations().filter((one) => one.playState === "running").length);
  assert.equal(moving, 0);
});

test("a key that chooses a word sends nothing and closes nothing, also as Safari tells of it", async (t) => {
  const { widget } = await scene(t);
  const before = await widget.texts();
  await widget.text.fill("にほん");
  for (const how of [{ isComposing: true }, { keyCode: 229 }]) {
    for (const key of ["Enter", "Escape"]) await widget.text.dispatchEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...how });
  }
  assert.equal(await widget.panel.isVisible(), true);
  assert.equal(await widget.text.inputValue(), "にほん");
  assert.deepEqual(await widget.texts(), before);
  await widget.text.press("Enter");
  await widget.reaches("にほん", "sent");
});
