// The visitor and its conversation, as far as the widget shows them.

import { Client } from "../client.js";

/** A conversation begins with it; the panel shows it above all messages. */
const isGreeting = ({ seq, mine }) => seq === 1 && !mine;

export class Session {
  /**
   * - `idle`: nothing is known yet.
   * - `loading`: it is asked who this is, and what was said before.
   * - `ready`: there is a conversation, or there can be one.
   * - `unreachable`, `refused`: there was no answer, or it was no.
   */
  phase = "idle";
  settings = {};
  conversation = null;
  /** Files that were sent from this page, by the key of their message. */
  files = new Map();
  #context;
  #client;
  #ends = [];
  /** Messages from before there was a conversation for them, each with its draft. */
  #held = [];
  /** While it is asked who this is, and afterwards as long as that holds. */
  #coming;
  /** While the conversation begins. */
  #starting;
  #isMoving = false;
  /** Changes when another visitor or conversation begins: what was asked for the one before is of no use then. */
  #turn = 0;

  /**
   * In `context`, `changed` is called when there is something else to show, `heard` with each message of others, and
   * `forgot` when nothing of the visitor may be left.
   */
  constructor(context) {
    const { base, changed } = context;
    const url = base.slice(0, -1);
    this.#context = context;
    this.#client = new Client({ url, scope: `priyo:widget:${url}` });
    this.#client.on("state", (state) => {
      // What could not be asked before, such as who it is now.
      if (state === "live") this.visit();
      changed();
    });
    // Another tab may have forgotten the visitor.
    this.#client.on("user", (user) => {
      if (user || this.phase === "idle") return;
      context.who = undefined;
      this.#forget();
    });
    this.#client.on("user:status", changed);
    addEventListener("online", () => this.phase === "unreachable" && this.visit());
  }

  get state() {
    return this.#client.state;
  }

  get unread() {
    return this.conversation?.unread ?? 0;
  }

  /** Who answers. */
  get people() {
    return this.conversation?.view?.participants.filter(({ role }) => role !== "CUSTOMER") ?? [];
  }

  /** Whether one of them is there, or anybody who could be. */
  get isOnline() {
    const { people } = this;
    return people.length ? people.some(({ id, isOnline }) => this.#client.isOnline(id) ?? isOnline) : Boolean(this.settings.online);
  }

  /** What is said to who comes. */
  get greeting() {
    return this.#context.settings.greeting ?? this.settings.greeting ?? this.#context.texts.greeting;
  }

  get messages() {
    return [...(this.conversation?.messages ?? []).filter((one) => !isGreeting(one)), ...this.#held];
  }

  /** Comes as the visitor of last time, or as a new one. */
  async visit() {
    if (this.#isMoving) return;
    // Who it is could not be said, while there is a conversation that may become another one.
    if (this.conversation && !this.#coming) return this.identify();
    await (this.#coming ??= this.#come(this.#turn));
    await this.#start();
  }

  /** Says who the visitor is, once more if that was said before. */
  async identify() {
    if (this.phase === "idle") return;
    // The conversation may become another one. What is on its way arrives in this one, what is written now in that.
    this.#isMoving = true;
    const turn = this.#turn;
    await this.#coming;
    await this.#starting;
    const { conversation, messages } = this;
    const leaving = messages.filter(({ state, seq }) => state === "sending" && seq === null);
    await Promise.allSettled(leaving.map(({ key }) => conversation.sent(key)));
    if (turn === this.#turn) await (this.#coming = this.#come(turn));
    if (turn !== this.#turn) return;
    this.#isMoving = false;
    await this.#start();
  }

  /** Forgets the visitor. */
  async reset() {
    this.#forget();
    await this.#client.logout();
  }

  /** Sends a text, a file, or both. The first one begins the conversation. */
  send(draft) {
    if (this.conversation && !this.#isMoving) return this.#write(draft);
    const { text: content = "", file } = draft;
    this.#held.push({
      draft, key: `held:${Math.random()}`, content, type: file ? "FILE" : "TEXT", mine: true, state: "sending",
      fileName: file?.name, fileSize: file?.size, createdAt: new Date().toISOString(),
    });
    this.#context.changed();
    this.visit();
  }

  retry(message) {
    this.conversation.retry(message);
  }

  discard(message) {
    this.#held = this.#held.filter((one) => one !== message);
    this.conversation?.discard(message);
    this.#context.changed();
  }

  /** A link to a file that is good now. */
  file(message, thumb = false) {
    return this.conversation.file(message, { thumb });
  }

  async #come(turn) {
    const { who, changed } = this.#context;
    const { userId, name, email, hash } = who ?? {};
    const identity = userId ? { userId: String(userId), name, email, hash } : undefined;
    // What follows the path may be a secret of the page.
    const page = { url: location.origin + location.pathname, title: document.title };
    if (this.phase !== "ready") this.phase = "loading";
    changed();
    await this.#trying(turn, async () => {
      const { settings, conversation } = await this.#client.visit({ identity, name, email, page });
      if (turn !== this.#turn) return;
      this.settings = settings;
      const followed = this.#adopt(conversation && this.#client.conversation(conversation.id));
      if (!conversation) this.#context.keep("localStorage", "visited");
      // Who has been here can write before everything has come.
      this.phase = "ready";
      changed();
      await followed;
    });
  }

  /** Begins the conversation with what was written before there was one. */
  #start() {
    if (this.#isMoving || this.phase !== "ready" || !this.#held.length) return;
    const turn = this.#turn;
    return this.#starting ??= this.#trying(turn, async () => {
      const conversation = this.conversation ?? await this.#client.supportConversation();
      if (turn !== this.#turn) return;
      const followed = this.#adopt(conversation);
      for (const { draft } of this.#held.splice(0)) this.#write(draft);
      await followed;
    }).then(() => { this.#starting = undefined; });
  }

  /** Does something, and notes where that leaves the chat if it fails. */
  async #trying(turn, action) {
    try {
      await action();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#coming = undefined;
      // In between it is offline, and that is told already.
      const isRefused = error.status >= 400 && error.status < 500 && error.status !== 429;
      if (this.phase !== "ready" || error.status) this.phase = isRefused ? "refused" : "unreachable";
    }
    this.#context.changed();
  }

  /** Shows another conversation, or none. */
  async #adopt(conversation) {
    if (conversation === this.conversation) return;
    for (const end of this.#ends.splice(0)) end();
    this.conversation?.unfollow();
    this.conversation = conversation;
    if (!conversation) return;
    const { changed, heard, keep } = this.#context;
    const gone = () => {
      // Who says who they are gets the other one by that.
      if (this.#isMoving || conversation !== this.conversation) return;
      this.#leave();
      this.visit();
    };
    this.#ends = [
      conversation.on("change", changed), conversation.on("message", heard),
      conversation.on("gone", () => queueMicrotask(gone)),
    ];
    keep("localStorage", "talking");
    await conversation.follow();
    // Nobody waits for an answer to the greeting.
    conversation.markRead(1);
  }

  #write(draft) {
    const { key } = this.conversation.send(draft);
    if (draft.file) this.files.set(key, draft.file);
    this.#context.changed();
  }

  /** What was asked for before is of no use any more. */
  #leave() {
    this.#turn += 1;
    this.#coming = this.#starting = undefined;
    this.#adopt(null);
  }

  #forget() {
    this.#leave();
    [this.#held, this.settings, this.phase, this.#isMoving] = [[], {}, "idle", false];
    this.files.clear();
    this.#context.keep("localStorage", "");
    this.#context.forgot();
  }
}
