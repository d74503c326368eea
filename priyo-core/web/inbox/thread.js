// The open conversation: its head with what can be done, its messages, and where the answer is written.

import { Composer } from "./composer.js";
import { avatar, icon, iconButton, make, place, say } from "./dom.js";
import { faceOf, titleOf, visitorOf } from "./folders.js";
import { Log } from "./log.js";
import { attempt, problemText } from "./problems.js";

export class Thread {
  #app;
  #box = place("thread");
  #handle = null;
  #log;
  #composer;
  #foot;
  #head;
  #notice;
  #typing;
  #drawnHead;
  #drawnFoot;
  #stops = [];
  #error = null;
  #wasReady = false;

  constructor(app) {
    this.#app = app;
    this.#drop();
    this.showNone();
  }

  get id() {
    return this.#handle?.id;
  }

  get row() {
    return this.#app.queue.get(this.id) ?? this.#handle?.view;
  }

  close() {
    this.#leave();
    this.#box.replaceChildren();
  }

  /** Nothing is open. */
  showNone() {
    this.#leave();
    this.#box.replaceChildren(make("div", { class: "empty" }, icon("chat"), make("h2", {}, "No conversation is open"),
      make("p", {}, "Choose one from the list. ", make("kbd", {}, "j"), " and ", make("kbd", {}, "k"), " walk through it, ",
        make("kbd", {}, "?"), " shows every shortcut.")));
  }

  /** Opens a conversation. */
  open(id) {
    if (this.id === id) return;
    this.#leave();
    const { client, queue } = this.#app;
    this.#handle = client.conversation(id);
    const row = this.row;
    this.#log = new Log(this.#handle, row ? queue.unread(row) : 0, (sender) => this.#senderOf(sender));
    this.#log.box.addEventListener("scroll", () => this.markRead(), { passive: true });
    this.#head = make("header", { class: "thread-head" });
    this.#notice = make("p", { class: "notice", role: "status", hidden: true });
    this.#typing = make("p", { class: "typing" });
    this.#foot = make("div", { class: "foot" });
    this.#box.replaceChildren(this.#head, this.#notice, make("div", { class: "log-box" }, this.#log.box, this.#log.jump),
      this.#typing, this.#foot);
    this.#stops = [
      this.#handle.on("change", () => this.draw()),
      this.#handle.on("gone", () => this.#gone()),
    ];
    this.draw();
    this.#follow();
  }

  async #follow() {
    const handle = this.#handle;
    this.#error = null;
    try {
      await handle.follow({ history: 50 });
      if (handle !== this.#handle) return;
      this.#wasReady = true;
      this.markRead();
    } catch (error) {
      if (handle === this.#handle) this.#error = error;
    }
    if (handle === this.#handle) this.draw();
  }

  /** Not in it any more. A visitor's conversation can still be read along. */
  #gone() {
    const { id, row } = this;
    const isReadable = this.#wasReady && row?.type === "SUPPORT";
    this.#leave();
    if (isReadable) this.open(id);
    else this.#app.go(this.#app.folder);
  }

  draw() {
    if (!this.#handle) return;
    this.#log.draw({ renamed: this.#drawHead() });
    this.#drawFoot();
    const names = this.#handle.typing.map(({ userId, username }) => this.#senderOf({ id: userId, username }).name);
    say(this.#typing, names.length > 1 ? "Several people are typing …" : names.length ? `${names[0]} is typing …` : "");
    this.#typing.classList.toggle("on", names.length > 0);
    const offline = this.#app.client.state === "offline";
    say(this.#notice, this.#error ? problemText(this.#error)
      : offline ? "You are offline. What you write is sent when the connection is back." : "");
    this.#notice.hidden = !this.#notice.textContent;
  }

  /** Marks what is on the screen as read, while somebody looks at it. */
  markRead() {
    const looks = document.visibilityState === "visible" && document.hasFocus();
    if (this.#handle?.isReady && looks && this.#log.isAtEnd && this.#isParticipant) this.#handle.markRead();
  }

  focusReply() {
    this.#composer?.focus();
  }

  focusDetails() {
    this.#head?.querySelector("[data-does=details]")?.focus();
  }

  /** What `c` and `e` do. */
  claim() {
    const { row } = this;
    if (row?.type === "SUPPORT" && row.status === "OPEN" && !row.assignee) this.#act("claim");
  }

  closeOrReopen() {
    if (this.row && this.#mayClose) this.#act(this.row.status === "OPEN" ? "close" : "reopen");
  }

  get #isParticipant() {
    return Boolean(this.row?.participants?.some(({ id }) => id === this.#app.user.id));
  }

  get #mayClose() {
    return this.#app.user.role === "ADMIN" || this.#isParticipant;
  }

  async #act(action) {
    const { id } = this;
    await attempt(() => this.#app.queue.act(id, action));
    if (action !== "claim" || id !== this.id || this.row.assignee?.id !== this.#app.user.id) return;
    this.#app.go("mine", id);
    this.draw();
    this.markRead();
    this.focusReply();
  }

  /** In a visitor's conversation everybody else, the greeting too, is on the side of those who answer. */
  #senderOf(sender) {
    const { row } = this;
    const isSupport = row?.type === "SUPPORT";
    const isVisitor = isSupport && sender?.id === visitorOf(row)?.id;
    return { name: isVisitor ? titleOf(row) : sender?.username, ours: isSupport && !isVisitor };
  }

  /** Says whether it has changed. */
  #drawHead() {
    const { row } = this;
    const { me } = this.#app.queue;
    const signature = JSON.stringify([row, this.#app.aboutIsOpen]);
    if (signature === this.#drawnHead) return false;
    this.#drawnHead = signature;
    const focused = this.#head.contains(document.activeElement) && document.activeElement.dataset.does;
    const back = iconButton("back", "Back to the list", () => this.#app.go(this.#app.folder),
      { class: "icon back", "data-does": "back" });
    if (!row) {
      this.#head.replaceChildren(back, make("div", { class: "title" }, make("span", { class: "bone short" })));
      if (focused) back.focus();
      return false;
    }
    this.#head.replaceChildren(back, avatar(faceOf(row, me)),
      make("div", { class: "title" }, make("h1", { id: "thread-title", tabindex: -1, dir: "auto" }, titleOf(row, me)),
        make("p", { dir: "auto" }, this.#subtitle(row))),
      make("div", { class: "actions" }, this.actions(row),
        iconButton("details", "Details", () => this.#app.toggleAbout(),
          { "data-does": "details", "aria-pressed": String(this.#app.aboutIsOpen) })));
    // Claiming turns a button into another one; the focus must not fall to the page's start.
    if (focused) (this.#head.querySelector(`[data-does="${focused}"]`) ?? this.#head.querySelector("h1")).focus();
    return true;
  }

  #subtitle(row) {
    if (row.type !== "SUPPORT") {
      if (row.type === "GROUP") return `${row.participants.length} people`;
      return faceOf(row, this.#app.queue.me).isOnline ? "Online" : "Offline";
    }
    const online = (row.visitor?.isOnline ?? visitorOf(row)?.isOnline) ? "Online" : "Offline";
    const page = row.visitor?.page;
    const where = page && (page.title || page.url);
    return where ? `${online} · on ${where}` : online;
  }

  /** The buttons for what may be done with it now. */
  actions(row) {
    const button = (text, does, kind = "minor") =>
      make("button", { type: "button", class: kind, "data-does": does, onclick: () => this.#act(does) }, text);
    const isSupport = row.type === "SUPPORT";
    if (row.status === "CLOSED") return this.#mayClose ? [button("Reopen", "reopen")] : [];
    // An administrator may take it from somebody who has gone home.
    const mayRelease = row.assignee && (row.assignee.id === this.#app.user.id || this.#app.user.role === "ADMIN");
    return [
      isSupport && !row.assignee && button("Claim", "claim", "primary"),
      isSupport && mayRelease && button("Release", "release"),
      this.#mayClose && (isSupport || this.#app.user.role === "ADMIN") && button("Close", "close"),
    ];
  }

  #drawFoot() {
    const { row } = this;
    const isOpen = row?.status === "OPEN";
    const writes = isOpen && this.#isParticipant;
    const why = row ? this.#whyNot(row) : "";
    const signature = writes ? "writes" : why;
    if (signature === this.#drawnFoot) return;
    this.#drawnFoot = signature;
    this.#composer?.close();
    this.#composer = writes ? new Composer(this.#handle, titleOf(row, this.#app.queue.me)) : undefined;
    this.#foot.replaceChildren(writes ? this.#composer.element : make("div", { class: "why" }, make("p", {}, why), row && this.actions(row).filter((one) => one && one.dataset.does !== "close")));
  }

  #whyNot(row) {
    if (row.status === "CLOSED") return "This conversation is closed. Its history stays readable.";
    if (row.type === "SUPPORT" && !row.assignee) return "Claim the conversation to answer.";
    if (row.type === "SUPPORT") return `${row.assignee.username} is answering this conversation.`;
    return "You are reading along: only participants can write here.";
  }

  #leave() {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#composer?.close();
    this.#log?.close();
    if (this.#handle) this.#app.queue.letGo(this.#handle);
    this.#handle = this.#composer = this.#log = null;
    this.#drawnHead = this.#drawnFoot = undefined;
    this.#error = null;
    this.#wasReady = false;
  }

  /** Files may be dropped anywhere on the conversation. */
  #drop() {
    const hasFiles = (event) => this.#composer && event.dataTransfer?.types.includes("Files");
    this.#box.ondragover = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.#box.classList.add("dropping");
    };
    this.#box.ondragleave = (event) => {
      if (!this.#box.contains(event.relatedTarget)) this.#box.classList.remove("dropping");
    };
    this.#box.ondrop = (event) => {
      this.#box.classList.remove("dropping");
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.#composer.add(event.dataTransfer.files);
    };
  }
}
