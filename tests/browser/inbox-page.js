// The inbox as an agent sees it, and visitors who write into it by REST.

import assert from "node:assert/strict";
import { newContext, newPage } from "./harness/browser.js";
import { PATIENCE } from "./harness/patience.js";
import { Person, person, rest } from "./harness/people.js";

export class Inbox {
  constructor(page, server) {
    this.page = page;
    this.server = server;
    this.rows = page.locator("#rows a.row");
    this.log = page.locator("#log");
    this.text = page.locator("#reply");
    this.thread = page.locator("#thread");
    this.about = page.locator("#about");
  }

  async signIn({ email, password }) {
    await this.page.getByLabel("E-mail").fill(email);
    await this.page.getByLabel("Password").fill(password);
    await this.page.getByRole("button", { name: "Sign in" }).click();
  }

  /** Waits until the page shows what is in the folder, and is connected. */
  async ready() {
    await this.page.locator("#rows[aria-busy=false]").waitFor();
    await this.page.locator("#connection[data-state=live]").waitFor();
  }

  folder(title) {
    return this.page.getByRole("navigation", { name: "Folders" }).getByRole("link", { name: title });
  }

  async goTo(title) {
    await this.folder(title).click();
    await this.page.locator("#folder-title", { hasText: title }).waitFor();
  }

  row(text) {
    return this.rows.filter({ hasText: text });
  }

  /** Opens a conversation of the list. */
  async open(text) {
    await this.row(text).click();
    await this.page.locator("#thread-title").waitFor();
    await this.message(/./).first().waitFor();
  }

  /** A button of the conversation's head. */
  action(name) {
    return this.thread.locator(".thread-head").getByRole("button", { name, exact: true });
  }

  async claim() {
    await this.action("Claim").click();
    await this.text.waitFor();
  }

  message(text) {
    return this.log.locator("li.message", { hasText: text });
  }

  async write(text) {
    await this.text.fill(text);
    await this.text.press("Enter");
  }

  /** Waits until a message of one's own has come so far, or farther. */
  async reaches(text, state) {
    const states = ["sent", "delivered", "read"];
    const enough = states.slice(states.indexOf(state)).map((one) => `.${one}`);
    await this.message(text).locator(`.state:is(${enough.join()})`).waitFor();
  }

  /** The places of all messages, from top to bottom. */
  seqs() {
    return this.log.locator("li.message").evaluateAll((all) => all.map((one) => Number(one.dataset.seq)));
  }

  /** Waits until exactly these texts are there, in this order, after the first `from`. */
  async shows(texts, from = 0) {
    try {
      await this.page.waitForFunction(([start, wanted]) => {
        const all = [...document.querySelectorAll("#log .text")].slice(start).map((one) => one.textContent);
        return JSON.stringify(all) === wanted;
      }, [from, JSON.stringify(texts)], { timeout: PATIENCE });
    } catch {
      const all = await this.log.locator(".text").allTextContents();
      assert.deepEqual(all.slice(from), texts);
    }
  }

  /** That nothing was thrown, and nothing called an error on the page. */
  assertNoFault(but = /$^/) {
    assert.deepEqual(this.page.notes.faults.filter((fault) => !but.test(fault)), []);
    assert.deepEqual(this.page.notes.dialogs, []);
  }
}

/** The page in a browser of its own, before anybody has signed in. */
export async function openInbox(t, browser, server, { hash = "", ...options } = {}) {
  const context = await newContext(t, browser, options);
  return openTab(context, server, hash);
}

/** Another tab of the same browser. */
export async function openTab(context, server, hash = "") {
  const page = await newPage(context);
  await page.goto(`${server.base}/inbox${hash}`);
  return new Inbox(page, server);
}

/** An agent with the page open and signed in. `role` may be ADMIN. */
export async function agentAtInbox(t, browser, server, { name = "anna", role = "AGENT", ...options } = {}) {
  const who = await person(t, server, name, role);
  const inbox = await openInbox(t, browser, server, options);
  await inbox.signIn(who);
  await inbox.ready();
  return Object.assign(inbox, { who });
}

/** Somebody on the website, with a conversation that nobody has claimed. `say` writes into it. */
export async function visitor(t, server, details = {}, first = "Hello?") {
  const session = await rest(server, "POST", "/api/widget/session", { body: details });
  const one = new Person(server, { user: session.user, tokens: { accessToken: session.token } });
  t.after(() => one.disconnect());
  const { conversation } = await one.call("POST", "/api/widget/conversation", { status: 201 });
  one.conversationId = conversation.id;
  one.write = (content, more) => one.say(conversation.id, content, more);
  one.joins = async () => {
    await one.connect();
    await one.emit("conversation:join", conversation.id);
    return one;
  };
  if (first) await one.write(first);
  return one;
}

/** Waits for a condition in the page. */
export function until(page, condition, argument) {
  return page.waitForFunction(condition, argument, { timeout: PATIENCE });
}
