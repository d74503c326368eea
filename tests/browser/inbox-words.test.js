// Small parts of the inbox by themselves: addresses, times and sizes as people read them.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";
import { openInbox } from "./inbox-page.js";

let browser;
let server;
before(async (t) => {
  [browser, server] = await Promise.all([startBrowser(t), startServer(t)]);
});

/** Calls a function of a module of the page once for each list of arguments. */
async function call(t, module, name, ...calls) {
  const { page } = await openInbox(t, browser, server);
  return page.evaluate(async ([path, called, all]) => {
    const found = (await import(path))[called];
    const plain = (value) => (value instanceof Node ? `<${value.getAttribute("href")}>` : value);
    return all.map((one) => found(...one)).map((value) => (Array.isArray(value) ? value.map(plain).filter(Boolean) : value));
  }, [`/inbox/${module}.js`, name, calls]);
}

test("only addresses of the web are addresses", async (t) => {
  const good = ["https://a.example/", "HTTP://A.EXAMPLE", "https://a.example/ü?x=1#y"];
  const bad = ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://a.example/x",
    "file:///etc/passwd", "//a.example", "/inbox", "a.example", "", "https://", "http://[", "mailto:a@a.example"];
  const found = await call(t, "links", "webAddress", ...[...good, ...bad].map((text) => [text]));
  assert.deepEqual(found, ["https://a.example/", "http://a.example/", "https://a.example/%C3%BC?x=1#y", ...bad.map(() => null)]);
});

test("addresses in a text can be followed, and the text stays as it is", async (t) => {
  const texts = [
    "See https://a.example/x.", "(https://a.example/x)", "https://a.example/x_(y)!", "a https://a.example, b http://b.example",
    "javascript:alert(1)", "https://", "no address", "<a href=\"https://a.example/\">x</a>",
  ];
  assert.deepEqual(await call(t, "links", "withLinks", ...texts.map((text) => [text])), [
    ["See ", "<https://a.example/x>", "."], ["(", "<https://a.example/x>", ")"], ["<https://a.example/x_(y)>", "!"],
    ["a ", "<https://a.example/>", ", b ", "<http://b.example/>"],
    ["javascript:alert(1)"], ["https://"], ["no address"], ["<a href=\"", "<https://a.example/>", "\">x</a>"],
  ]);
});

test("waiting is told in minutes, hours and days, and gets worse", async (t) => {
  const now = Date.UTC(2026, 10, 25, 12);
  const ago = (minutes) => [new Date(now - minutes * 60_000).toISOString(), now];
  const times = [0, 0.9, 1, 5, 59.9, 60, 47 * 60, 48 * 60, -5].map(ago);
  assert.deepEqual(await call(t, "time", "waitText", ...times), ["now", "now", "1 min", "5 min", "59 min", "1 h", "47 h", "2 days", "now"]);
  assert.deepEqual(await call(t, "time", "waitLevel", ...[4, 5, 29, 30].map(ago)), ["fresh", "late", "late", "overdue"]);
});

test("days have names near, and dates far away", async (t) => {
  const now = new Date(2026, 10, 25, 12).getTime();
  const at = (...date) => [new Date(...date).toISOString(), now];
  const days = [at(2026, 10, 25, 0, 1), at(2026, 10, 24, 23, 59), at(2026, 10, 20, 12), at(2025, 10, 20, 12)];
  assert.deepEqual(await call(t, "time", "dayText", ...days), ["Today", "Yesterday", "Friday 20 November", "20 Nov 2025"]);
});

test("a refusal is told in words, and what has none in the server's", async (t) => {
  const errors = [
    { code: "already_claimed", data: { assignee: { username: "bert" } } }, { code: "rate_limited", data: { retryAfter: 12 } },
    { code: "payload_too_large", data: { maxSize: 5_242_880 } }, { code: "strange", message: "Something of its own" }, {},
  ];
  assert.deepEqual(await call(t, "problems", "problemText", ...errors.map((error) => [error])), [
    "bert has claimed it already.", "Too many tries. Wait 12 seconds.", "The file is larger than 5.2 MB.",
    "Something of its own", "Something went wrong.",
  ]);
});
