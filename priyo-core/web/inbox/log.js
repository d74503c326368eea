// The messages of the open conversation, and where in them the reader is.

import { icon, make } from "./dom.js";
import { drawMessage, isUploading, moveBar } from "./message.js";
import { problemText } from "./problems.js";
import { dayText } from "./time.js";

// A run of messages by one person stays one group for so long.
const RUN_MS = 5 * 60_000;
// So near to an edge counts as there; more is loaded before the reader gets to the top.
const NEAR_END = 64;
const NEAR_TOP = 600;

export class Log {
  #handle;
  #drawn = new Map();
  #days = new Map();
  #list = make("ol", { class: "messages", role: "list" });
  #top = make("div", { class: "log-top" });
  #unread = make("li", { class: "day news" }, make("span", {}, "New"));
  #newFrom = null;
  #loading = false;
  #error = null;
  #lastKey;
  #shown;
  #wasReady;

  /**
   * @param unread how many messages are new to the reader
   * @param senderOf what a sender is called, and whether it is one of `ours`
   */
  constructor(handle, unread, senderOf) {
    this.#handle = handle;
    this.unread = unread;
    this.senderOf = senderOf;
    // Not live by itself: it would read out the history. What arrives is announced in one sentence elsewhere.
    this.box = make("div", { id: "log", class: "log", role: "log", "aria-label": "Messages", "aria-live": "off", tabindex: 0 },
      this.#top, this.#list);
    this.jump = make("button", { type: "button", class: "jump", hidden: true, onclick: () => this.toEnd() },
      icon("down"), "Newest messages");
    this.box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // A smaller window or a taller composer must not push the newest message out of sight.
    let wasAtEnd = true;
    this.box.addEventListener("scroll", () => { wasAtEnd = this.isAtEnd; }, { passive: true });
    this.sizes = new ResizeObserver(() => wasAtEnd && this.toEnd());
    this.sizes.observe(this.box);
  }

  close() {
    this.sizes.disconnect();
  }

  get isAtEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR_END;
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.jump.hidden = true;
  }

  /** Shows what has changed. `renamed`: somebody may be called something else now. */
  draw({ renamed = false } = {}) {
    const { messages, isReady } = this.#handle;
    if (!renamed && messages === this.#shown && isReady === this.#wasReady && !this.#error) return;
    [this.#shown, this.#wasReady] = [messages, isReady];
    const isFirst = this.#lastKey === undefined && messages.length > 0;
    const last = messages.at(-1);
    const wroteMyself = last?.mine && last.key !== this.#lastKey;
    const follow = isFirst || wroteMyself || this.isAtEnd;
    const hasMore = !follow && last && last.key !== this.#lastKey;
    this.#lastKey = last?.key;
    if (isFirst) this.#newFrom = firstUnread(messages, this.unread);
    const held = this.#firstSeen();
    this.#drawTop(isReady);
    put(this.#list, this.#wanted(messages));
    if (follow) this.toEnd();
    else if (held) this.box.scrollTop += held.element.getBoundingClientRect().top - held.top;
    if (hasMore) this.jump.hidden = false;
    this.#scrolled();
  }

  /** The nodes in their order, those of messages that have not changed as they are. */
  #wanted(messages) {
    const nodes = [];
    const ownLast = messages.findLast(({ mine, state }) => mine && state !== "failed");
    let before;
    messages.forEach((message, index) => {
      const after = messages[index + 1];
      const isNewDay = !before || dayOf(before) !== dayOf(message);
      if (isNewDay) nodes.push(this.#day(message));
      const isNew = message.key === this.#newFrom;
      if (isNew) nodes.push(this.#unread);
      const first = isNewDay || isNew || !isRun(before, message);
      const last = !after || dayOf(after) !== dayOf(message) || !isRun(message, after);
      nodes.push(this.#message(message, { first, last, state: message === ownLast, ...this.senderOf(message.sender) }));
      before = message;
    });
    const keys = new Set(messages.map(({ key }) => key));
    for (const key of this.#drawn.keys()) if (!keys.has(key)) this.#drawn.delete(key);
    return nodes;
  }

  #message(message, around) {
    const shape = Object.values(around).join();
    const drawn = this.#drawn.get(message.key);
    if (drawn?.shape === shape) {
      if (drawn.message === message) return drawn.element;
      // A button that is made anew while it is pressed is never pressed.
      if (isUploading(drawn.message) && isUploading(message)) {
        drawn.message = message;
        moveBar(drawn.element, message);
        return drawn.element;
      }
    }
    const element = drawMessage(this.#handle, message, around);
    this.#drawn.set(message.key, { message, shape, element });
    return element;
  }

  #day(message) {
    const day = dayOf(message);
    if (!this.#days.has(day)) this.#days.set(day, make("li", { class: "day" }, make("span")));
    const element = this.#days.get(day);
    const text = dayText(message.createdAt);
    if (element.textContent !== text) element.firstChild.textContent = text;
    return element;
  }

  #drawTop(isReady) {
    const { messages, hasOlder } = this.#handle;
    if (this.#error) {
      this.#top.replaceChildren(make("p", {}, problemText(this.#error), " "),
        make("button", { type: "button", onclick: () => this.#loadOlder() }, "Load earlier messages"));
    } else if (!isReady && messages.length === 0) {
      if (!this.#top.querySelector(".bone")) this.#top.replaceChildren(...skeletons());
    } else if (hasOlder) {
      this.#top.replaceChildren(make("p", { class: "spin" }, "Loading earlier messages …"));
    } else {
      this.#top.replaceChildren(make("p", {}, messages.length ? "This is where it began." : "No messages yet."));
    }
  }

  #scrolled() {
    if (this.isAtEnd) this.jump.hidden = true;
    if (this.box.scrollTop < NEAR_TOP && !this.#error) this.#loadOlder();
  }

  async #loadOlder() {
    if (this.#loading || !this.#handle.isReady || !this.#handle.hasOlder) return;
    this.#loading = true;
    if (this.#error) {
      this.#error = null;
      this.#drawTop(true);
    }
    try {
      await this.#handle.loadOlder();
    } catch (error) {
      this.#error = error;
    }
    this.#loading = false;
    if (this.box.isConnected) this.draw();
  }

  /** What the reader has at the top, and where: it stays there when something comes in above it. */
  #firstSeen() {
    const top = this.box.getBoundingClientRect().top;
    for (const element of this.#list.children) {
      const { bottom, top: at } = element.getBoundingClientRect();
      if (bottom > top && element.classList.contains("message")) return { element, top: at };
    }
    return null;
  }
}

const dayOf = ({ createdAt }) => new Date(createdAt).toDateString();

function isRun(one, next) {
  return one?.sender?.id === next.sender?.id && one.mine === next.mine &&
    new Date(next.createdAt) - new Date(one.createdAt) < RUN_MS;
}

/** The key of the first message that is new, counted from the end: what one wrote oneself never is. */
function firstUnread(messages, count) {
  if (!count) return null;
  const theirs = messages.filter(({ mine }) => !mine);
  return theirs[Math.max(0, theirs.length - count)]?.key ?? null;
}

/** Makes these the children, and touches none that is in place. */
function put(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

function skeletons() {
  const bone = (kind) => make("div", { class: `bone ${kind}` });
  return [make("p", { class: "hidden" }, "Loading messages …"), bone("theirs"), bone("theirs long"), bone("mine"), bone("theirs"), bone("mine long")];
}
