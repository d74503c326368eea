// A conversation as a page sees it: its messages in order, each once, whatever happens to the connection.

import { Marks, Typing } from "./outgoing.js";
import { Emitter, PriyoError, inTime, part } from "./page.js";

const GONE = () => new PriyoError("not_found", "Conversation not found", 404);
/** As many as the server gives at once. */
const PAGE = 200;

export class Conversation extends Emitter {
  /** The parts of the client. */
  #core;
  /** Messages without a gap; the one at `index` has the `seq` of `#first + index`. */
  #list = [];
  #first = null;
  /** Accepted by the server, and not in the list yet, by their ids. */
  #accepted = new Map();
  #shown = null;
  #isTold = false;
  /** How many to begin with; null while it is not followed. */
  #history = null;
  #isReady = false;
  #catching = null;
  #waiting = [];
  #marks;
  /** Unread ones before the first message. */
  #unreadBefore = 0;
  #known = 0;
  #typing;
  view = null;
  isGone = false;

  /** Made by `client.conversation(id)`. */
  constructor(core, id) {
    super();
    this.#core = core;
    this.id = id;
    this.#typing = new Typing(core, id, () => this.touch());
    this.#marks = new Marks(core, this);
  }

  get messages() {
    if (this.#shown) return this.#shown;
    // What was accepted late may be older than the list.
    const placed = [...this.#list, ...this.#accepted.values()].sort((one, other) => one.seq - other.seq);
    const keys = new Set(placed.slice(-PAGE).map(({ key }) => key));
    const pending = this.#core.outbox.messages(this.id).filter(({ key }) => !keys.has(key));
    this.#shown = [...placed, ...pending];
    return this.#shown;
  }

  get isFollowed() {
    return this.#history !== null;
  }

  get isReady() {
    return this.#isReady;
  }

  get hasOlder() {
    return this.#first > 1;
  }

  get lastSeq() {
    return Math.max(this.#known, this.have);
  }

  get unread() {
    const { user } = this.#core.client;
    // An ADMIN may look into any; what waits there waits for others.
    if (this.view && !this.view.participants.some(({ id }) => id === user?.id)) return 0;
    return this.#unreadBefore + countUnread(this.#list);
  }

  get typing() {
    return this.#typing.others;
  }

  /** Where its messages are. */
  get path() {
    return `/api/messages/${encodeURIComponent(this.id)}`;
  }

  /** The last `seq` that is here. */
  get have() {
    return this.#first === null ? 0 : this.#first + this.#list.length - 1;
  }

  // --- Following ---

  async follow({ history = 50 } = {}) {
    if (this.isGone) throw GONE();
    // Somebody follows it without its history, or has just begun to.
    const isMore = this.#history === 0 && history > 0;
    this.#history = Math.max(this.#history ?? 0, history);
    if (!this.#isReady) {
      await new Promise((resolve, reject) => {
        this.#waiting.push({ resolve, reject });
        this.catchUp().catch(() => {});
      });
    }
    if (isMore && this.#list.length < history) await this.loadOlder(history);
    return this;
  }

  unfollow() {
    // It may be joining.
    this.#core.link.ask("conversation:leave", this.id).catch(() => {});
    this.#forget(new PriyoError("aborted"));
  }

  #forget(error) {
    this.#unreadBefore = this.unread;
    [this.#list, this.#first, this.#history, this.#isReady] = [[], null, null, false];
    this.#accepted.clear();
    this.#typing.clear();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.touch();
  }

  /** It is not this user's any more, or the user has changed. */
  end() {
    this.isGone = true;
    this.#forget(GONE());
    this.emit("gone", this);
  }

  /** The connection is lost: what comes next is known only after it has been asked for. */
  interrupted() {
    this.#isReady = false;
    this.#typing.clear();
    this.touch();
  }

  /** Gets what was missed, and hears what comes; says whether anything was new. One at a time. */
  catchUp() {
    this.#catching ??= this.#catchUp().finally(() => { this.#catching = null; });
    return this.#catching;
  }

  async #catchUp() {
    const { client, link, outbox, page } = this.#core;
    const before = this.have;
    while (this.isFollowed && link.isUp) {
      const way = link.socket;
      try {
        await inTime(outbox.settle(this.id), page.times.ack).catch(() => {});
        if (!this.view) await client.conversations.get(this.id);
        if (this.#first === null) await this.#begin();
        if (this.#first === null) continue;
        if (way) await this.#join(way);
        else await (await part("poll")).ask(this.#core, this);
        // What came over another connection is not the end of it, nor what came for a following that is over.
        if (this.#first === null || way !== link.socket) continue;
        this.#isReady = true;
        for (const { resolve } of this.#waiting.splice(0)) resolve();
        this.touch();
        this.#marks.send();
        break;
      } catch (error) {
        if (!error.isPassing) {
          if (error.code === "not_found") this.end();
          else this.#forget(error);
          break;
        }
        // Asking again is the next round's work.
        if (!way) throw error;
        if (link.socket === way) await link.pause(Math.max(error.retryAfter, page.wait(1)));
      }
    }
    return this.have > before;
  }

  /** The newest messages, and how many before them are unread. */
  async #begin() {
    // Asked first: what is sent meanwhile is in the page, and counts there.
    const counts = await this.#core.unreadCounts();
    const history = this.#history;
    const query = { limit: Math.min(history, PAGE) || 1 };
    const { messages, hasMore } = await this.#core.client.request("GET", this.path, { query });
    // Somebody wants more of it, or none any more.
    if (!this.isFollowed || history !== this.#history) return;
    const shown = history ? messages : [];
    this.#first = shown[0]?.seq ?? (messages.at(-1)?.seq ?? 0) + 1;
    this.#list = shown.map((wire) => this.#listed(wire));
    const isAll = history && !hasMore;
    this.#unreadBefore = isAll ? 0 : Math.max(0, (counts[this.id] ?? 0) - countUnread(this.#list));
    this.touch();
  }

  /** Only the answer that says that there is no more makes the server send what comes next. */
  async #join(socket) {
    for (let hasMore = true; hasMore && this.#first !== null;) {
      const answer = await socket.ask("conversation:join", { conversationId: this.id, after: this.have });
      this.take(answer.messages);
      ({ hasMore } = answer);
    }
  }

  async loadOlder(limit = 50) {
    if (!this.hasOlder) return 0;
    const before = this.#first;
    const query = { before, limit: Math.min(limit, PAGE) };
    const { messages } = await this.#core.client.request("GET", this.path, { query });
    // Asked for twice at once, or forgotten meanwhile.
    if (before !== this.#first || !messages.length) return 0;
    const older = messages.map((wire) => this.#listed(wire));
    this.#list.unshift(...older);
    this.#first = older[0].seq;
    this.#unreadBefore = this.hasOlder ? Math.max(0, this.#unreadBefore - countUnread(older)) : 0;
    this.touch();
    return older.length;
  }

  // --- What comes ---

  /** Takes messages in order; false when there is a gap before one. */
  take(messages) {
    for (const wire of messages) {
      this.#known = Math.max(this.#known, wire.seq);
      if (this.#first === null || wire.seq > this.have + 1) return false;
      const message = this.#message(wire);
      if (wire.seq <= this.have) {
        // Known; but who has read it may be new.
        this.#change([wire.seq], () => wire.reads && { readBy: message.readBy, unread: message.unread });
        continue;
      }
      this.#list.push(message);
      this.#accepted.delete(message.id);
      this.#typing.ended(message.sender?.id);
      this.touch();
      if (!message.mine) {
        this.emit("message", message);
        this.#core.client.emit("message", { conversation: this, message });
      }
    }
    return true;
  }

  /** What is in the list needs no other place. */
  #listed(wire) {
    const message = this.#message(wire);
    this.#accepted.delete(wire.id);
    return message;
  }

  #message(wire) {
    const { client } = this.#core;
    const me = client.user?.id;
    const { id, seq, content, type, fileUrl = null, fileName = null, fileSize = null, createdAt } = wire;
    const sender = wire.sender ?? (wire.senderId ? { id: wire.senderId, username: wire.senderUsername } : null);
    const mine = sender !== null && sender.id === me;
    const readers = (wire.reads ?? []).map((read) => read.user.id);
    // History does not say by which key it was sent; the acknowledgement did.
    const key = (mine && wire.clientMessageId) || this.#accepted.get(id)?.key || id;
    const readBy = readers.filter((reader) => reader !== me);
    const { width, height } = wire;
    return Object.freeze({
      key, id, seq, conversationId: this.id, content, type, fileName, fileSize,
      fileUrl: fileUrl && client.absolute(fileUrl),
      ...(width && { width, height }), sender, createdAt, mine, readBy,
      state: mine && readBy.length ? "read" : "sent",
      unread: !mine && !readers.includes(me),
    });
  }

  /** Puts other objects in the place of messages of which something has changed. */
  #change(seqs, change) {
    for (const seq of seqs) {
      const message = this.#list[seq - this.#first];
      const changes = message && change(message);
      if (!changes) continue;
      const changed = { ...message, ...changes };
      changed.readBy = [...new Set([...message.readBy, ...changed.readBy])];
      if (changed.mine && changed.readBy.length) changed.state = "read";
      changed.unread &&= message.unread;
      if (changed.state === message.state && changed.unread === message.unread
        && changed.readBy.length === message.readBy.length) continue;
      this.#list[seq - this.#first] = Object.freeze(changed);
      this.touch();
    }
  }

  /** Something that is shown has changed. */
  touch() {
    this.#shown = null;
    if (this.#isTold) return;
    this.#isTold = true;
    queueMicrotask(() => {
      this.#isTold = false;
      this.emit("change", this);
    });
  }

  /** An event of the server's about this conversation. */
  hear(name, payload) {
    if (name === "message:new") {
      // While it is behind, this comes again in its turn.
      if (this.isFollowed && !this.take([payload])) this.catchUp().catch(() => {});
    } else if (name === "message:delivered" || name === "message:read") this.#receipt(name, payload);
    else if (name === "typing:start" || name === "typing:stop") this.#typing.heard(name, payload);
    else if (payload.gone) this.end();
  }

  /** A newer state of it, of a list or an event. */
  seen(view) {
    this.view = { ...this.view, ...view };
    this.#known = Math.max(this.#known, view.lastSeq ?? 0);
    if (view.unreadCount !== undefined && view.lastSeq >= this.have && !this.isFollowed) {
      this.#unreadBefore = view.unreadCount;
    }
    this.touch();
  }

  #receipt(name, { messageId, messageIds, seq, readBy }) {
    const ids = new Set(messageIds ?? [messageId]);
    const seqs = messageIds ? this.#list.filter(({ id }) => ids.has(id)).map((message) => message.seq) : [seq];
    const isOwn = readBy === this.#core.client.user?.id;
    if (isOwn) {
      const elsewhere = messageIds ? ids.size - seqs.length : Number(seq < this.#first);
      this.#unreadBefore = Math.max(0, this.#unreadBefore - elsewhere);
    }
    this.#change(seqs, (message) => {
      if (!ids.has(message.id)) return null;
      if (name === "message:delivered") return message.state === "sent" && message.mine && { state: "delivered" };
      return isOwn ? { unread: false } : { readBy: [readBy] };
    });
  }

  // --- Sending ---

  send(draft) {
    const { text = "", file } = typeof draft === "string" ? { text: draft } : draft;
    if (!file && !text.trim()) throw new PriyoError("validation_failed", "There is nothing to send");
    this.#typing.stop();
    return this.#core.outbox.write(this.id, text, file);
  }

  sent(key) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const message = this.messages.find((one) => one.key === key);
        if (message?.state === "sending") return;
        off();
        if (!message) reject(new PriyoError("aborted"));
        else if (message.error) reject(message.error);
        else resolve(message);
      };
      const off = this.on("change", look);
      look();
    });
  }

  retry({ key }) {
    this.#core.outbox.retry(key);
  }

  discard({ key }) {
    this.#core.outbox.discard(key);
  }

  /** The server has it. Its place in the list is told by what comes before it. */
  accepted(key, wire) {
    const at = wire.seq - this.#first;
    if (this.#list[at]?.id === wire.id) {
      this.#list[at] = Object.freeze({ ...this.#list[at], key });
    } else {
      this.#accepted.set(wire.id, Object.freeze({ ...this.#message(wire), key }));
      // Nothing will bring it: there is no socket, or it is not heard. It is known now, that is enough.
      if (this.isFollowed && !this.#core.link.socket) this.catchUp().catch(() => {});
    }
    this.touch();
  }

  // --- Typing, reading, files ---

  type() {
    this.#typing.start();
  }

  stopTyping() {
    this.#typing.stop();
  }

  markRead(upTo = Infinity) {
    const unread = this.#list.filter((message) => message.unread && message.seq <= upTo);
    if (!unread.length) return;
    this.#change(unread.map((message) => message.seq), () => ({ unread: false }));
    this.#marks.add(unread.map((message) => message.id));
  }

  async file(message, options) {
    return (await part("files")).link(this.#core.client, message, options);
  }
}

function countUnread(messages) {
  return messages.filter((message) => message.unread).length;
}
