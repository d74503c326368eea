// Chromium, and pages that note what must not happen.

import { chromium } from "playwright-core";
import { PATIENCE } from "./patience.js";

// Without them it looks for its maker's hosts at every start.
const QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
// A browser of root's has no sandbox.
const ROOT = process.getuid() === 0 ? ["--no-sandbox"] : [];

/** One browser for a file of tests: `t` is whatever has `after`. */
export async function startBrowser(t) {
  const browser = await chromium.launch({ executablePath: process.env.PRIYO_CHROMIUM ?? "/usr/bin/chromium", args: [...QUIET, ...ROOT] });
  t.after(() => browser.close());
  return browser;
}

/** A new visitor's browser, with a storage of its own. Options as Playwright's: `colorScheme`, `viewport`, … */
export async function newContext(t, browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  context.setDefaultTimeout(PATIENCE);
  t.after(() => context.close());
  return context;
}

/**
 * A page, with notes of what it does:
 * - `requests`: URLs, with the header `referer`, of WebSockets too;
 * - `dialogs`: texts of alerts;
 * - `faults`: errors that nobody has caught, and what the console calls an error.
 */
export async function newPage(context) {
  const page = await context.newPage();
  const notes = { requests: [], dialogs: [], faults: [] };
  page.on("request", (request) => notes.requests.push({ url: request.url(), referer: request.headers().referer ?? "" }));
  page.on("websocket", (socket) => notes.requests.push({ url: socket.url(), referer: "" }));
  page.on("dialog", (dialog) => {
    notes.dialogs.push(dialog.message());
    dialog.dismiss();
  });
  page.on("pageerror", (error) => notes.faults.push(String(error.stack ?? error)));
  page.on("console", (message) => {
    if (message.type() === "error") notes.faults.push(message.text());
  });
  return Object.assign(page, { notes });
}
