// The widget on a page, as its visitor sees it.

import assert from "node:assert/strict";
import { newContext, newPage } from "./browser.js";
import { PATIENCE } from "./patience.js";

export class Widget {
  constructor(page) {
    this.page = page;
    this.launcher = page.locator("priyo-widget .launcher");
    this.panel = page.locator("priyo-widget [role=dialog]");
    this.log = page.locator("priyo-widget [role=log]");
    this.text = page.locator("priyo-widget textarea");
    this.badge = page.locator("priyo-widget .badge");
    this.banner = page.locator("priyo-widget .banner");
  }

  /** Clicks the button, and waits until one can write. */
  async open() {
    await this.launcher.click();
    await this.ready();
    return this;
  }

  async ready() {
    await this.page.locator("priyo-widget [role=log][aria-busy=false]").waitFor();
  }

  async close() {
    await this.panel.getByRole("button", { name: "Close the chat" }).click();
    await this.panel.waitFor({ state: "hidden" });
  }

  async write(text) {
    await this.text.fill(text);
    await this.text.press("Enter");
  }

  /** The row of a message, by its whole text. */
  row(text) {
    return this.log.locator(".row", { has: this.page.locator(".text", { hasText: exactly(text) }) });
  }

  /** Waits until a message of the visitor's has come so far, or farther. */
  async reaches(text, state) {
    const states = ["sent", "delivered", "read"];
    const enough = states.includes(state) ? states.slice(states.indexOf(state)) : [state];
    await this.row(text).locator(enough.map((one) => `.mark.${one}`).join()).waitFor();
  }

  /** The texts of all messages, from top to bottom. */
  texts() {
    return this.log.locator(".list .row .text").evaluateAll((all) => all.map((one) => one.textContent));
  }

  /** Waits until exactly these messages are there. */
  async shows(texts) {
    try {
      await this.page.waitForFunction(([host, wanted]) => {
        const rows = [...document.querySelector(host).shadowRoot.querySelectorAll(".list .row .text")];
        return JSON.stringify(rows.map((one) => one.textContent)) === wanted;
      }, ["priyo-widget", JSON.stringify(texts)], { timeout: PATIENCE });
    } catch {
      assert.deepEqual(await this.texts(), texts);
    }
  }

  /** Chooses files as from the picker, and sends them. */
  async sendFile(...files) {
    await this.page.locator("priyo-widget input[type=file]").setInputFiles(files);
    await this.panel.getByRole("button", { name: "Send", exact: true }).click();
  }

  /** That nothing was thrown or called an error on the page. */
  assertNoFault(but = /$^/) {
    assert.deepEqual(this.page.notes.faults.filter((fault) => !but.test(fault)), []);
    assert.deepEqual(this.page.notes.dialogs, []);
  }
}

const exactly = (text) => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);

/** A new visitor on a page of the site, with the widget there and not open. */
export async function visitor(t, browser, url, options) {
  const context = await newContext(t, browser, options);
  return arrive(context, url);
}

/** The same visitor on another page or in another tab. */
export async function arrive(context, url) {
  const page = await newPage(context);
  await page.goto(url);
  const widget = new Widget(page);
  await widget.launcher.waitFor();
  return widget;
}
