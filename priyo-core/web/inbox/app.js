// The page of an agent who is signed in: joins its parts, and knows where one is in it.

import { About } from "./about.js";
import { icon, make, place, say } from "./dom.js";
import { FOLDERS, folderNamed, titleOf } from "./folders.js";
import { Notify } from "./notify.js";
import { People } from "./people.js";
import { attempt } from "./problems.js";
import { Queue } from "./queue.js";
import { Rows } from "./rows.js";
import { drafts, settings } from "./settings.js";
import { Shortcuts } from "./shortcuts.js";
import { Thread } from "./thread.js";

const ABOUT = "details";
const STATES = { live: "Connected", connecting: "Connecting …", offline: "Offline", idle: "Offline" };
// Waiting times are told in minutes.
const TICK_MS = 20_000;
const isWide = matchMedia("(min-width: 80rem)");

export class App {
  #done = new AbortController();
  #stops = [];
  #timer;

  constructor(client, user) {
    this.client = client;
    this.user = user;
    this.queue = new Queue(client, user.id);
    this.notify = new Notify();
    this.people = new People(this);
    this.about = new About(this);
    this.rows = new Rows(this.queue);
    this.thread = new Thread(this);
    this.shortcuts = new Shortcuts(this);
    this.aboutIsOpen = isWide.matches && settings.get(ABOUT) !== "closed";
    const { signal } = this.#done;
    this.queue.addEventListener("change", () => this.draw());
    this.queue.addEventListener("new", ({ detail }) => this.#came(detail));
    addEventListener("hashchange", () => this.#arrive(), { signal });
    for (const event of ["focus", "visibilitychange"]) {
      addEventListener(event, () => this.thread.markRead(), { signal, capture: true });
    }
    place("compose").addEventListener("click", () => this.people.start(), { signal });
    place("logout").addEventListener("click", () => this.#signOut(), { signal });
    this.#stops.push(client.on("state", () => this.draw()), client.on("message", (event) => this.#message(event)));
    this.#timer = setInterval(() => this.rows.draw(), TICK_MS);
    say(place("who"), user.username);
    this.#makeFolders();
    // The counts beside the folders need both lists, whichever is shown.
    for (const name of ["waiting", "mine", "team"]) this.queue.load(name);
    this.#arrive({ isFirst: true });
  }

  close() {
    this.#done.abort();
    clearInterval(this.#timer);
    for (const stop of this.#stops) stop();
    for (const part of [this.thread, this.rows, this.people, this.shortcuts, this.notify, this.queue]) part.close();
    place("folders").replaceChildren();
    place("about").hidden = true;
    drafts.clear("draft:");
    history.replaceState(null, "", location.pathname + location.search);
  }

  /** Goes to a folder, or to a conversation in it. The address keeps the place, for the Back button and a reload. */
  go(folder, id) {
    location.hash = id ? `${folder}/${id}` : folder;
  }

  /** From the conversation to its list. */
  back() {
    if (this.aboutIsOpen && !isWide.matches) this.toggleAbout(false);
    else if (this.thread.id) this.go(this.folder);
  }

  step(by) {
    const row = this.rows.step(by);
    if (!row) return;
    this.go(this.folder, row.id);
    this.rows.reach(row.id);
  }

  toggleAbout(isOpen = !this.aboutIsOpen) {
    this.aboutIsOpen = isOpen;
    if (isWide.matches) settings.set(ABOUT, isOpen ? "open" : "closed");
    this.draw();
    if (isOpen && !isWide.matches) place("about").querySelector("button")?.focus();
  }

  draw() {
    const { row } = this.thread;
    this.rows.draw();
    this.thread.draw();
    this.about.draw(this.thread.id ? row : null);
    this.#drawFolders();
    const state = place("connection");
    say(state, STATES[this.client.state]);
    state.dataset.state = this.client.state;
  }

  #arrive({ isFirst = false } = {}) {
    const [name, id] = location.hash.slice(1).split("/");
    const before = this.thread.id;
    this.folder = folderNamed(name).name;
    say(place("folder-title"), folderNamed(name).title);
    if (id) this.thread.open(id);
    else this.thread.showNone();
    if (!id && before && !isWide.matches) this.aboutIsOpen = false;
    place("skip").hidden = !id;
    place("app").dataset.view = id ? "thread" : "list";
    this.rows.show(this.folder, id);
    this.draw();
    this.queue.keep(id);
    // On a phone the list is gone now, and the focus with it.
    const isLost = document.activeElement === document.body || !document.activeElement?.checkVisibility();
    if (before !== id && isLost && !isFirst) this.#place(id, before);
  }

  /** Puts the focus where the reader is now: the list is gone on a phone when a conversation is open. */
  #place(id, before) {
    (id ? place("log") : this.rows.link(before) ?? place("folder-title")).focus({ preventScroll: true });
  }

  #makeFolders() {
    place("folders").replaceChildren(...FOLDERS.map(({ name, title, icon: drawing }) =>
      make("li", {}, make("a", { href: `#${name}`, "data-folder": name }, icon(drawing), make("span", { class: "name" }, title),
        make("span", { class: "count" })))));
  }

  #drawFolders() {
    let all = 0;
    for (const link of place("folders").querySelectorAll("a")) {
      const { folder } = link.dataset;
      if (folder === this.folder) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      if (folder === "open" || folder === "closed") continue;
      const { count, more } = this.queue.news(folder);
      all += count;
      say(link.querySelector(".count"), count ? `${count}${more ? "+" : ""}` : "");
    }
    this.notify.count(all);
  }

  /** A conversation that nobody knew before. */
  #came(row) {
    if (row.type !== "SUPPORT" || row.status !== "OPEN" || row.assignee || row.id === this.thread.id) return;
    this.notify.sound(`New conversation from ${titleOf(row, this.user.id)}`);
  }

  #message({ conversation, message }) {
    const isSeen = conversation.id === this.thread.id && document.visibilityState === "visible" && document.hasFocus();
    const sentence = `${message.sender?.username ?? "Message"}: ${message.content || message.fileName || "a file"}`;
    if (isSeen) {
      place("announcer").textContent = sentence;
      this.thread.markRead();
    } else {
      this.notify.sound(sentence);
    }
  }

  async #signOut() {
    await attempt(() => this.client.logout());
  }
}
