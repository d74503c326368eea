// What goes out: messages, and the small signals of who is writing and what was read.

import { Emitter, PriyoError } from "./page.js";

/** More than anybody writes while offline; of the longest ones as much as a page's storage holds. */
const MOST = 200;
/** A fault of the server's that stays must not hold up what was written later. */
const FAULTS = 5;

let last = 0;

/** A message's own name: the server takes it once, however often it comes. They sort by time. */
function newKey() {
  last = Math.max(Date.now(), last + 1);
  const chance = crypto.getRandomValues(new Uint32Array(2));
  return `${last.toString(36).padStart(9, "0")}-${chance.join("")}`;
}

/**
 * What was written and is not with the server yet. Kept over a reload, and shared by the tabs: any of them sends it,
 * one at a time in each conversation, in the order of writing.
 *
 * A message with a file waits for nobody and holds up nobody while the file is uploaded, and until then only this page
 * has it: files do not fit into a page's storage.
 *
 * Tells `changed` with a conversation's id, and `accepted` with the entry and the message that it became.
 */
export class Outbox extends Emitter {
  #core;
  #page;
  #user = null;
  #entries = new Map();
  /** Files that are not uploaded, and what stops their uploads, by the keys. */
  #files = new Map();
  #lines = new Map();
  #resting = new Map();
  #faults = 0;
  #shown = new WeakMap();

  constructor(core) {
    super();
    this.#core = core;
    const page = this.#page = core.page;
    page.tabs?.addEventListener("message", ({ data: { entry, message, isGone } }) => {
      if (!entry || entry.userId !== this.#user?.id) return;
      if (isGone) this.#entries.delete(entry.key);
      else {
        this.#entries.set(entry.key, entry);
        // The tab that it comes from may be closed by then.
        setTimeout(() => core.link.isUp && this.flush(entry.conversationId), page.times.ack);
      }
      this.#tell(entry, message);
    });
  }

  /** Goes on with what this user left. */
  open(user) {
    for (const { stop } of this.#files.values()) stop.abort();
    this.#files.clear();
    this.#unrest();
    this.#user = user;
    const kept = user ? this.#page.all(`out:${user.id}:`) : [];
    this.#entries = new Map(kept.map((entry) => [entry.key, entry]));
  }

  #name({ userId, key }) {
    return `out:${userId}:${key}`;
  }

  /**
   * An anonymous visitor is known now, perhaps with another conversation or none. What was on its way already stays
   * with who has sent it.
   */
  async adopt(before, visit) {
    const entries = this.#page.all(`out:${before.id}:`).filter(({ isTried }) => !isTried);
    if (entries.length) visit.conversation ??= (await this.#core.client.supportConversation()).view;
    for (const entry of entries) {
      this.#remove(entry);
      const conversationId = visit.conversation.id;
      this.#begin(this.#put({ ...entry, userId: this.#user.id, conversationId }));
    }
  }

  #tell(entry, message) {
    if (message) this.emit("accepted", { entry, message });
    this.emit("changed", entry.conversationId);
  }

  #put(entry) {
    this.#entries.set(entry.key, entry);
    if (!this.#files.has(entry.key)) {
      this.#page.set(this.#name(entry), entry);
      this.#page.tell({ entry });
    }
    this.#tell(entry);
    return entry;
  }

  #remove(entry, message) {
    this.#entries.delete(entry.key);
    this.#page.remove(this.#name(entry));
    this.#page.tell({ entry, message, isGone: true });
    this.#tell(entry, message);
  }

  /** In the order of writing; those that failed too. */
  #of(conversationId) {
    const isOf = (entry) => !conversationId || entry.conversationId === conversationId;
    return [...this.#entries.values()].filter(isOf).sort((one, other) => (one.key < other.key ? -1 : 1));
  }

  /** The same as messages: of one conversation, or of all. */
  messages(conversationId) {
    return this.#of(conversationId).map((entry) => this.#message(entry));
  }

  /** The same one as long as the entry is the same. */
  #message(entry) {
    if (!this.#shown.has(entry)) {
      const { userId, fileId, fileUrl, isTried, failure, ...shown } = entry;
      const { username } = this.#user;
      this.#shown.set(entry, Object.freeze({
        id: null, seq: null, fileName: null, fileSize: null, ...shown,
        fileUrl: fileUrl ? this.#core.client.absolute(fileUrl) : null,
        sender: { id: userId, username }, mine: true, readBy: [], unread: false,
        state: failure ? "failed" : "sending",
        ...(failure && { error: new PriyoError(failure.code, failure.message, failure.status, failure.data) }),
      }));
    }
    return this.#shown.get(entry);
  }

  write(conversationId, content, file) {
    if (!this.#user) throw new PriyoError("signed_out", "Nobody is signed in");
    if (this.#entries.size >= MOST) throw new PriyoError("outbox_full", "Too much waits to be sent");
    const entry = {
      key: newKey(), userId: this.#user.id, conversationId, content, type: "TEXT", createdAt: new Date().toISOString(),
    };
    if (file) {
      entry.type = /^image\/(png|jpeg|gif|webp)$/.test(file.type) ? "IMAGE" : "FILE";
      Object.assign(entry, { fileName: file.name, fileSize: file.size, progress: 0 });
      this.#files.set(entry.key, { file, stop: new AbortController() });
    }
    this.#put(entry);
    this.#begin(entry);
    return this.#message(entry);
  }

  #begin({ key, conversationId }) {
    if (this.#files.has(key)) this.#upload(key, this.#files.get(key));
    else if (this.#core.link.isUp) this.flush(conversationId);
  }

  retry(key) {
    const { failure, ...entry } = this.#entries.get(key) ?? {};
    if (failure) this.#begin(this.#put(entry));
  }

  discard(key) {
    this.#files.get(key)?.stop.abort();
    this.#files.delete(key);
    const entry = this.#entries.get(key);
    if (entry) this.#remove(entry);
  }

  /** Forgets everything of this user; of a visitor also what earlier pages have left, under whatever name. */
  clear(isVisitor) {
    for (const key of this.#entries.keys()) this.discard(key);
    if (isVisitor) for (const entry of this.#page.all("out:")) this.#page.remove(this.#name(entry));
  }

  async #upload(key, { file, stop: { signal } }) {
    const change = (changes) => !signal.aborted && this.#put({ ...this.#entries.get(key), ...changes });
    let faults = 0;
    for (let tries = 0; !signal.aborted; tries += 1) {
      try {
        const onProgress = (progress) => change({ progress });
        const { id, url, originalName, size } = await this.#core.client.upload(file, { onProgress, signal });
        this.#files.delete(key);
        const entry = change({ progress: undefined, fileId: id, fileUrl: url, fileName: originalName, fileSize: size });
        if (entry) this.#begin(entry);
        return;
      } catch (error) {
        // A server that does not want a file may hang up while it still comes.
        faults += error.code === "offline" && this.#core.link.isUp;
        if (!error.isPassing || faults >= FAULTS) return change({ failure: error.toJSON() });
        change({ progress: 0 });
        await this.#core.link.pause(Math.max(error.retryAfter, this.#page.wait(Math.min(tries, 9))));
      }
    }
  }

  #unrest() {
    for (const timer of this.#resting.values()) clearTimeout(timer);
    this.#resting.clear();
  }

  /** There is a way to the server again. */
  flushAll() {
    this.#unrest();
    for (const id of new Set(this.#of().map((entry) => entry.conversationId))) this.flush(id);
  }

  /** Sends what waits in a conversation, until all is sent or it cannot be now. */
  async flush(id) {
    if (this.#resting.has(id) || !this.#next(id)) return;
    if (!this.#lines.has(id)) {
      const line = this.#page.alone(`line:${id}`, () => this.#send(id, this.#user));
      // A page that is being closed gets no locks any more.
      this.#lines.set(id, line.catch(() => false));
    }
    const goesOn = await this.#lines.get(id);
    // Something may have been written after it had looked for the last time.
    if (this.#lines.delete(id) && goesOn) await this.flush(id);
  }

  /** Sends again what the server may have already, so that it is known by its key before history brings it without. */
  async settle(id) {
    if (this.#next(id)?.isTried) await this.flush(id);
  }

  #next(id) {
    return this.#of(id).find((entry) => !entry.failure && !this.#files.has(entry.key));
  }

  /** Gives false when it must not go on at once. */
  async #send(id, user) {
    for (let entry; user === this.#user && (entry = this.#next(id));) {
      try {
        if (!entry.isTried) entry = this.#put({ ...entry, isTried: true });
        const message = await this.#deliver(entry);
        this.#faults = 0;
        if (user === this.#user) this.#remove(entry, message);
      } catch (error) {
        if (user !== this.#user) return false;
        this.#faults += error.code === "internal";
        if (error.isPassing && this.#faults < FAULTS) {
          // Without a way to the server the next one starts it again.
          if (this.#core.link.isUp) this.#rest(id, error.retryAfter);
          return false;
        }
        this.#faults = 0;
        // It may have been discarded meanwhile.
        if (this.#entries.has(entry.key)) this.#put({ ...entry, failure: error.toJSON() });
      }
    }
    return true;
  }

  async #deliver({ key: clientMessageId, conversationId, content, type, fileId }) {
    const body = { conversationId, content, type, clientMessageId, ...(fileId && { fileId }) };
    if (!this.#core.link.isPolled) return (await this.#core.link.ask("message:send", body)).message;
    return (await this.#core.client.request("POST", "/api/messages", { body })).data;
  }

  #rest(id, ms) {
    this.#resting.set(id, setTimeout(() => {
      this.#resting.delete(id);
      this.flush(id);
    }, Math.max(ms, 1000) + this.#page.wait(0)));
  }
}

/** The server takes one notice in 2 s, and forgets one after 6 s. */
const AGAIN = 3_000;
const IDLE = 3_000;
const FORGET = 7_000;
/** So many messages may be marked as read at once. */
const READS = 500;

/** Who is writing, here and elsewhere. */
export class Typing {
  #core;
  #id;
  #changed;
  #others = new Map();
  #startedAt = 0;
  #idle = null;

  constructor(core, id, changed) {
    this.#core = core;
    this.#id = id;
    this.#changed = changed;
  }

  get others() {
    return [...this.#others].map(([userId, { username }]) => ({ userId, username }));
  }

  /** This user has touched a key. */
  start() {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.stop(), IDLE);
    if (Date.now() - this.#startedAt < AGAIN) return;
    this.#startedAt = Date.now();
    this.#tell("typing:start");
  }

  stop() {
    if (this.#forget()) this.#tell("typing:stop");
  }

  #forget() {
    const was = this.#startedAt;
    clearTimeout(this.#idle);
    this.#startedAt = 0;
    return was;
  }

  /** Not worth a second try. */
  #tell(name) {
    this.#core.link.ask(name, { conversationId: this.#id }).catch(() => {});
  }

  heard(name, { userId, username }) {
    this.ended(userId);
    // Oneself in another tab is nobody to wait for.
    if (name === "typing:start" && userId !== this.#core.client.user?.id) {
      const timer = setTimeout(() => this.ended(userId), FORGET);
      this.#others.set(userId, { username, timer });
    }
    this.#changed();
  }

  /** Somebody has finished; a message ends it too. */
  ended(userId) {
    clearTimeout(this.#others.get(userId)?.timer);
    if (this.#others.delete(userId)) this.#changed();
  }

  clear() {
    this.#forget();
    for (const userId of [...this.#others.keys()]) this.ended(userId);
  }
}

/** What was read here and the server does not know yet. */
export class Marks {
  #core;
  #conversation;
  #ids = new Set();

  constructor(core, conversation) {
    this.#core = core;
    this.#conversation = conversation;
  }

  add(ids) {
    for (const id of ids) this.#ids.add(id);
    this.send();
  }

  /** What does not get through now goes with the next connection; marking twice is fine. */
  async send() {
    const messageIds = [...this.#ids].slice(0, READS);
    if (!messageIds.length || !this.#conversation.isReady) return;
    for (const id of messageIds) this.#ids.delete(id);
    const { client, link, page } = this.#core;
    try {
      if (link.socket) await link.ask("message:read", { conversationId: this.#conversation.id, messageIds });
      else await client.request("POST", "/api/messages/read", { body: { messageIds } });
    } catch (error) {
      // An ADMIN who only looks may not mark anything.
      if (!error.isPassing) return;
      for (const id of messageIds) this.#ids.add(id);
      await link.pause(Math.max(error.retryAfter, page.wait(1)));
    }
    await this.send();
  }
}
