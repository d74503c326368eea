// Every conversation that the page knows, and how far each folder has been read. Draws nothing.

import { FOLDERS, folderNamed, holds, newestFirst } from "./folders.js";

const PAGE = 30;
// Joining has a price on both sides; who has more open at once sees their counts at the next reading.
const FOLLOWED_MAX = 60;
// Where no socket goes through, nothing tells of the queue.
const POLL_MS = 15_000;

export class Queue extends EventTarget {
  #client;
  #rows = new Map();
  #pages = new Map(FOLDERS.map(({ name }) => [name, { state: "new", cursor: null }]));
  /** What is heard of: its handle, and what ends the hearing. */
  #followed = new Map();
  /** For each list that is being read: what came meanwhile, by conversation and by person. The list may be older. */
  #readings = new Set();
  #stops = [];
  #told = false;
  #open;
  #timer;

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
    this.#timer = setInterval(() => client.polling && this.page("waiting").state !== "loading" && this.reload(), POLL_MS);
  }

  close() {
    clearInterval(this.#timer);
    for (const stop of this.#stops) stop();
  }

  get(id) {
    return this.#rows.get(id);
  }

  /** The conversations of a folder, in its order. */
  in(folder) {
    return [...this.#rows.values()].filter((row) => holds(folder, row, this.me)).sort(newestFirst);
  }

  /** `new`, `loading`, `ready` or `failed`; with `error`, whether it `wasRead` before, and whether there is `more`. */
  page(folder) {
    const { state, cursor, error, wasRead } = this.#pages.get(folder);
    return { state, error, wasRead, more: cursor !== null };
  }

  /** How many of a folder's conversations want to be seen; with a sign that there may be more. */
  news(folder) {
    const rows = this.in(folder);
    const count = folder === "waiting" ? rows.length : rows.filter((row) => this.unread(row) > 0).length;
    return { count, more: folder === "waiting" && this.page(folder).more };
  }

  unread(row) {
    const handle = this.#followed.get(row.id)?.handle;
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
    const { wasRead } = this.page("waiting");
    const readings = known.map((name) => this.#begin(name, { state: "loading", cursor: null, error: this.page(name).error }));
    const news = this.#listen();
    const answers = await Promise.allSettled(known.map((name) => this.#readAgain(name)));
    this.#readings.delete(news);
    const before = this.#rows;
    this.#rows = new Map();
    answers.forEach(({ value, reason: error }, index) => {
      const name = known[index];
      // It may be read once more already, since the connection has been lost again.
      const isLast = this.#pages.get(name) === readings[index];
      if (isLast && value) for (const row of value.rows) this.#keepRead(row, news);
      else for (const row of before.values()) if (holds(name, row, this.me)) this.#keep(row);
      if (isLast) this.#begin(name, value ? { state: "ready", cursor: value.cursor } : { state: "failed", cursor: null, error });
    });
    for (const id of news.rows.keys()) if (before.has(id) && !this.#rows.has(id)) this.#keep(before.get(id));
    const open = before.get(this.#open);
    if (open && !this.#rows.has(this.#open)) {
      this.#rows.set(this.#open, open);
      this.#look(this.#open);
    }
    for (const id of [...this.#followed.keys()]) if (!this.#rows.has(id)) this.#unfollow(id);
    this.#tell();
    if (wasRead) for (const row of this.in("waiting")) if (!before.has(row.id)) this.#tellNew(row);
  }

  /** Keeps the conversation that is open, and gets it where no list that was read has it. */
  keep(id) {
    this.#open = id;
    if (id && !this.#rows.has(id)) this.#look(id);
  }

  /** It comes without what the queue adds: whoever answers takes part in it. */
  async #look(id) {
    const news = this.#listen();
    try {
      const view = await this.#client.conversations.get(id);
      const assignee = view.participants.find(({ role }) => role !== "CUSTOMER") ?? null;
      const row = this.#renewed({ ...this.#rows.get(id), ...view, ...(view.type === "SUPPORT" && { assignee }) }, news);
      if (row) this.put(row);
    } catch {
      // The conversation itself says what is wrong with it.
    } finally {
      this.#readings.delete(news);
    }
  }

  /** Takes a conversation as it is now. */
  put(row) {
    if (!row?.id) return;
    const isNew = !this.#rows.has(row.id);
    this.#note(row.id, row);
    this.#keep(row);
    this.#tell();
    if (isNew) this.#tellNew(this.#rows.get(row.id));
  }

  /** Changes some of what is known of a conversation. */
  change(id, fields) {
    this.#note(id, fields);
    if (!this.#rows.has(id)) return;
    this.#keep({ id, ...fields });
    this.#tell();
  }

  /** Forgets one that is not to be seen any more. */
  drop(id) {
    this.#unfollow(id);
    for (const { rows } of this.#readings) rows.set(id, null);
    if (this.#rows.delete(id)) this.#tell();
  }

  /** It is not open any more: hears no more of it, unless its row does. */
  letGo(handle) {
    const { id } = handle;
    if (this.#followed.get(id)?.handle !== handle) handle.unfollow();
    else if (!this.#isOwn(this.#rows.get(id))) this.#unfollow(id);
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
    page.wasRead = page.state === "ready" || this.#pages.get(folder).wasRead;
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

  /** As many as are shown: whoever has scrolled down stays there. */
  async #readAgain(folder) {
    const rows = [];
    const count = this.in(folder).length;
    let cursor = null;
    do {
      const page = await this.#read(folder, cursor);
      rows.push(...page.rows);
      ({ cursor } = page);
    } while (cursor && rows.length < count);
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
    if (this.#isOwn(kept)) this.#follow(row.id);
    // The one that is open is heard of until it is let go.
    else if (row.id !== this.#open) this.#unfollow(row.id);
  }

  /** Whether one is told what comes in it. */
  #isOwn(row) {
    return row?.status === "OPEN" && (holds("mine", row, this.me) || holds("team", row, this.me));
  }

  /** Begins to note what comes while a list is read. */
  #listen() {
    const news = { rows: new Map(), online: new Map() };
    this.#readings.add(news);
    return news;
  }

  #note(id, fields) {
    for (const { rows } of this.#readings) {
      // What has gone is gone, until it comes back whole.
      if (rows.get(id) !== null || fields.id) rows.set(id, { ...rows.get(id), ...fields });
    }
  }

  /** What was read, and over it what came since it was asked for: whatever is newer than either comes as well. */
  #renewed(row, { rows, online }) {
    const came = rows.get(row.id);
    if (came === null) return null;
    return [...online].reduce((now, [userId, isOnline]) => withStatus(now, userId, isOnline), { ...row, ...came });
  }

  #keepRead(row, news) {
    const renewed = this.#renewed(row, news);
    if (renewed) this.#keep(renewed);
  }

  #follow(id) {
    if (this.#followed.has(id) || this.#followed.size >= FOLLOWED_MAX) return;
    const handle = this.#client.conversation(id);
    const stops = [handle.on("change", () => this.#tell()), handle.on("gone", () => this.#gone(id))];
    const followed = { handle, stops };
    this.#followed.set(id, followed);
    handle.follow({ history: 0 }).catch(() => {
      if (this.#followed.get(id) === followed) this.#forget(id);
    });
  }

  /** Hears no more of one, so that there is room for another; its count stays. */
  #unfollow(id) {
    const handle = this.#forget(id);
    if (!handle) return;
    const row = this.#rows.get(id);
    if (row && handle.isReady) this.#rows.set(id, { ...row, unreadCount: handle.unread });
    handle.unfollow();
  }

  #forget(id) {
    const { handle, stops = [] } = this.#followed.get(id) ?? {};
    for (const stop of stops) stop();
    this.#followed.delete(id);
    return handle;
  }

  /** Whoever gives a visitor's conversation back is in it no longer, but it is still in the queue. */
  #gone(id) {
    this.#forget(id);
    if (this.#rows.get(id)?.type !== "SUPPORT") this.drop(id);
  }

  #arrived(message) {
    const { conversationId, seq } = message;
    if (seq < (this.#rows.get(conversationId)?.lastSeq ?? 0)) return;
    const sender = { id: message.senderId, username: message.senderUsername };
    this.change(conversationId, { lastMessage: { ...message, sender }, lastSeq: seq, updatedAt: message.createdAt });
  }

  #status(userId, isOnline) {
    for (const { online } of this.#readings) online.set(userId, isOnline);
    for (const [id, row] of this.#rows) this.#rows.set(id, withStatus(row, userId, isOnline));
    this.#tell();
  }

  #tellNew(row) {
    this.dispatchEvent(new CustomEvent("new", { detail: row }));
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

/** A row in which somebody comes or goes. */
function withStatus(row, userId, isOnline) {
  if (!row.participants?.some((one) => one.id === userId)) return row;
  const participants = row.participants.map((one) => (one.id === userId ? { ...one, isOnline } : one));
  const isVisitor = row.visitor && participants.some((one) => one.id === userId && one.role === "CUSTOMER");
  return { ...row, participants, visitor: isVisitor ? { ...row.visitor, isOnline } : row.visitor };
}
