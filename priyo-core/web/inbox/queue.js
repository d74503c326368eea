// Every conversation that the page knows, and how far each folder has been read. Draws nothing.

import { FOLDERS, folderNamed, holds, newestFirst } from "./folders.js";

const PAGE = 30;
// Joining has a price on both sides; who has more open at once sees their counts at the next reading.
const FOLLOWED_MAX = 60;

export class Queue extends EventTarget {
  #client;
  #rows = new Map();
  #pages = new Map(FOLDERS.map(({ name }) => [name, { state: "new", cursor: null }]));
  #followed = new Map();
  /** For each list that is being read: what came meanwhile, by conversation. The list may be older. */
  #readings = new Set();
  #stops = [];
  #told = false;
  #open;

  /** @param me the user's id */
  constructor(client, me) {
    super();
    this.#client = client;
    this.me = me;
    const hear = (event, listener) => this.#stops.push(client.on(event, listener));
    hear("inbox:new", ({ conversation }) => this.put(conversation));
    hear("inbox:updated", ({ conversation }) => this.put(conversation));
    hear("inbox:claimed", ({ conversationId, assignee }) => this.change(conversationId, { assignee }));
    hear("conversation:new", ({ conversation }) => this.#heard(conversation));
    hear("conversation:updated", ({ conversation, conversationId }) => this.#heard(conversation, conversationId));
    hear("conversation:closed", ({ conversation, conversationId }) => {
      this.#heard(conversation, conversationId);
      this.change(conversation?.id ?? conversationId, { status: "CLOSED" });
    });
    hear("message:new", (message) => this.#arrived(message));
    hear("user:status", ({ userId, isOnline }) => this.#status(userId, isOnline));
    hear("resync", () => this.reload());
  }

  close() {
    for (const stop of this.#stops) stop();
  }

  get(id) {
    return this.#rows.get(id);
  }

  /** The conversations of a folder, in its order. */
  in(folder) {
    return [...this.#rows.values()].filter((row) => holds(folder, row, this.me)).sort(newestFirst);
  }

  /** `new`, `loading`, `ready` or `failed`; with `error` and whether there is `more`. */
  page(folder) {
    const { state, cursor, error } = this.#pages.get(folder);
    return { state, error, more: cursor !== null };
  }

  /** How many of a folder's conversations want to be seen; with a sign that there may be more. */
  news(folder) {
    const rows = this.in(folder);
    const count = folder === "waiting" ? rows.length : rows.filter((row) => this.unread(row) > 0).length;
    return { count, more: folder === "waiting" && this.page(folder).more };
  }

  unread(row) {
    const handle = this.#followed.get(row.id);
    return handle?.isReady ? handle.unread : row.unreadCount ?? 0;
  }

  /** Reads the first page of a folder, or the next one. */
  async load(folder) {
    const page = this.#pages.get(folder);
    if (page.state === "loading" || (page.state === "ready" && page.cursor === null)) return;
    const reading = this.#begin(folder, { state: "loading", cursor: page.cursor });
    const news = this.#listen();
    try {
      const { rows, cursor } = await this.#read(folder, page.cursor);
      if (this.#pages.get(folder) !== reading) return;
      for (const row of rows) this.#keepRead(row, news);
      this.#begin(folder, { state: "ready", cursor });
    } catch (error) {
      if (this.#pages.get(folder) === reading) this.#begin(folder, { state: "failed", cursor: page.cursor, error });
    } finally {
      this.#readings.delete(news);
    }
  }

  /** Reads again what is shown, since events may have been missed. What is there stays on the page meanwhile. */
  async reload() {
    const known = FOLDERS.map(({ name }) => name).filter((name) => this.#pages.get(name).state !== "new");
    const readings = known.map((name) => this.#begin(name, { state: "loading", cursor: null }));
    const news = this.#listen();
    const answers = await Promise.allSettled(known.map((name) => this.#read(name, null)));
    this.#readings.delete(news);
    const before = this.#rows;
    this.#rows = new Map();
    answers.forEach(({ value, reason: error }, index) => {
      const name = known[index];
      // It may be read once more already, since the connection has been lost again.
      const isLast = this.#pages.get(name) === readings[index];
      if (isLast && value) for (const row of value.rows) this.#keepRead(row, news);
      else for (const row of before.values()) if (holds(name, row, this.me)) this.#keep(row);
      if (isLast) this.#pages.set(name, value ? { state: "ready", cursor: value.cursor } : { state: "failed", cursor: null, error });
    });
    for (const id of news.keys()) if (before.has(id) && !this.#rows.has(id)) this.#keep(before.get(id));
    const open = before.get(this.#open);
    if (open && !this.#rows.has(this.#open)) {
      this.#rows.set(this.#open, open);
      this.#look(this.#open);
    }
    this.#tell();
  }

  /** Keeps the conversation that is open, and gets it where no list that was read has it. */
  keep(id) {
    this.#open = id;
    if (id && !this.#rows.has(id)) this.#look(id);
  }

  /** It comes without what the queue adds: whoever answers takes part in it. */
  async #look(id) {
    try {
      const view = await this.#client.conversations.get(id);
      const assignee = view.participants.find(({ role }) => role !== "CUSTOMER") ?? null;
      this.put({ ...this.#rows.get(id), ...view, ...(view.type === "SUPPORT" && { assignee }) });
    } catch {
      // The conversation itself says what is wrong with it.
    }
  }

  /** Takes a conversation as it is now. */
  put(row) {
    if (!row?.id) return;
    const isNew = !this.#rows.has(row.id);
    this.#note(row.id, row);
    this.#keep(row);
    this.#tell();
    if (isNew) this.dispatchEvent(new CustomEvent("new", { detail: this.#rows.get(row.id) }));
  }

  /** Changes some of what is known of a conversation. */
  change(id, fields) {
    this.#note(id, fields);
    const row = this.#rows.get(id);
    if (!row) return;
    this.#rows.set(id, { ...row, ...fields });
    this.#tell();
  }

  /** Forgets one that is not to be seen any more. */
  drop(id) {
    this.#followed.get(id)?.unfollow();
    this.#followed.delete(id);
    for (const news of this.#readings) news.set(id, null);
    if (this.#rows.delete(id)) this.#tell();
  }

  /** Hears no more of a conversation, unless its row does. */
  letGo(handle) {
    if (this.#followed.get(handle.id) !== handle) handle.unfollow();
  }

  /** Everybody who takes part in something that is known here. */
  peopleMet() {
    const people = new Map();
    for (const row of this.#rows.values()) {
      for (const one of [...(row.participants ?? []), row.assignee]) {
        if (one && one.role !== "CUSTOMER") people.set(one.id, one);
      }
    }
    return [...people.values()];
  }

  /** A call of the queue's own: claim, release, close, reopen. Takes what it answers. */
  async act(id, action) {
    try {
      const path = action === "claim" || action === "release" ? `/api/inbox/${id}/${action}` : `/api/conversations/${id}`;
      const answer = action === "close"
        ? await this.#client.request("DELETE", path)
        : await this.#client.request("POST", action === "reopen" ? `${path}/reopen` : path);
      if (answer.conversation) this.put(answer.conversation);
      else if (action === "close") this.change(id, { status: "CLOSED" });
      if (action === "release" && !answer.conversation) this.change(id, { assignee: null });
    } catch (error) {
      if (error.code === "already_claimed") this.change(id, { assignee: error.data.assignee });
      throw error;
    }
  }

  #begin(folder, page) {
    this.#pages.set(folder, page);
    this.#tell();
    return page;
  }

  async #read(folder, cursor) {
    const { state } = folderNamed(folder);
    if (state) {
      const { conversations, nextCursor } = await this.#client.request("GET", "/api/inbox",
        { query: { state, cursor, limit: PAGE } });
      return { rows: conversations, cursor: nextCursor ?? null };
    }
    // One's own conversations are read as they are: those of the queue are among them, and left out here.
    const rows = [];
    do {
      const page = await this.#client.conversations.list({ limit: 100, cursor, scope: "own" });
      rows.push(...page.conversations.filter(({ type }) => type !== "SUPPORT"));
      cursor = page.nextCursor;
    } while (cursor && rows.length < PAGE);
    return { rows, cursor };
  }

  /** What ordinary events tell of a conversation lacks what the queue adds: who the visitor is and who has claimed it. */
  #heard(conversation, id = conversation?.id) {
    const row = this.#rows.get(id);
    if (conversation && !conversation.participants.some((one) => one.id === this.me) && conversation.type !== "SUPPORT") {
      this.drop(id);
    } else if (conversation && (row || conversation.type !== "SUPPORT")) {
      this.put({ ...row, ...conversation });
    }
  }

  #keep(row) {
    const before = this.#rows.get(row.id);
    const kept = { ...before, ...row };
    this.#rows.set(row.id, kept);
    const isOwn = holds("mine", kept, this.me) || (holds("team", kept, this.me) && kept.status === "OPEN");
    if (isOwn) this.#follow(row.id);
  }

  /** Begins to note what comes while a list is read. */
  #listen() {
    const news = new Map();
    this.#readings.add(news);
    return news;
  }

  #note(id, fields) {
    for (const news of this.#readings) {
      // What has gone is gone, until it comes back whole.
      if (news.get(id) !== null || fields.id) news.set(id, { ...news.get(id), ...fields });
    }
  }

  /** What a list says, and over it what came since it was asked for: whatever is newer than either comes as well. */
  #keepRead(row, news) {
    const came = news.get(row.id);
    if (came !== null) this.#keep({ ...row, ...came });
  }

  #follow(id) {
    if (this.#followed.has(id) || this.#followed.size >= FOLLOWED_MAX) return;
    const handle = this.#client.conversation(id);
    this.#followed.set(id, handle);
    handle.on("change", () => this.#tell());
    handle.on("gone", () => this.#gone(id));
    handle.follow({ history: 0 }).catch(() => this.#followed.delete(id));
  }

  /** Whoever gives a visitor's conversation back is in it no longer, but it is still in the queue. */
  #gone(id) {
    this.#followed.delete(id);
    if (this.#rows.get(id)?.type !== "SUPPORT") this.drop(id);
  }

  #arrived(message) {
    const { conversationId, seq } = message;
    if (seq < (this.#rows.get(conversationId)?.lastSeq ?? 0)) return;
    const sender = { id: message.senderId, username: message.senderUsername };
    this.change(conversationId, { lastMessage: { ...message, sender }, lastSeq: seq, updatedAt: message.createdAt });
  }

  #status(userId, isOnline) {
    for (const [id, row] of this.#rows) {
      if (!row.participants?.some((one) => one.id === userId)) continue;
      const participants = row.participants.map((one) => (one.id === userId ? { ...one, isOnline } : one));
      const isVisitor = row.visitor && participants.some((one) => one.id === userId && one.role === "CUSTOMER");
      this.#rows.set(id, { ...row, participants, visitor: isVisitor ? { ...row.visitor, isOnline } : row.visitor });
    }
    this.#tell();
  }

  /** Says once that something has changed, however much changes now. */
  #tell() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.dispatchEvent(new Event("change"));
    });
  }
}
