// The browser client of Priyo. What it offers is described in `client.d.ts`.
//
// - `client/page.js`: the page it runs in, its storage and tabs, and calls over REST.
// - `client/link.js`: the socket, and what keeps a way to the server open.
// - `client/conversation.js`: what a page shows.
// - `client/outgoing.js`: what was written and is not with the server yet, typing, and what was read.
//
// Loaded only where they are needed, so that a visitor of a website does not wait for them:
//
// - `client/login.js`: signing in with a password. `client/lists.js`: many conversations.
// - `client/files.js`: uploads and links. `client/poll.js`: where WebSocket is blocked.

import { Conversation } from "./client/conversation.js";
import { Link } from "./client/link.js";
import { Outbox } from "./client/outgoing.js";
import { Emitter, Page, PriyoError, SEEN, call, inTime, lifetime, part } from "./client/page.js";

export { Conversation, PriyoError };

/** So many conversations catch up at once: the server takes 64 unfinished events of a socket. */
const AT_ONCE = 8;
const ABOUT_CONVERSATIONS = /^(message|typing|conversation):/;

export class Client extends Emitter {
  /** The parts, which know each other by it. */
  #core;
  #handles = new Map();
  #online = new Map();
  #counts = null;
  visitor = null;

  constructor(options = {}) {
    super();
    const core = { client: this, page: new Page(options), handles: this.#handles };
    core.seen = (view) => this.#seen(view);
    core.unreadCounts = () => this.#unreadCounts();
    const account = core.account = new Account(core);
    const link = core.link = new Link(core);
    const outbox = core.outbox = new Outbox(core);
    this.#core = core;
    account.on("user", (before) => this.#changeUser(before));
    link.on("state", (state) => this.#changeState(state));
    link.on("event", ({ name, payload }) => this.#hear(name, payload));
    link.on("up", () => this.#catchUp());
    outbox.on("changed", (id) => this.#handles.get(id)?.touch());
    outbox.on("accepted", ({ entry, message }) => {
      this.#handles.get(entry.conversationId)?.accepted(entry.key, message);
    });
  }

  get url() {
    return this.#core.page.url;
  }

  get state() {
    return this.#core.link.state;
  }

  get polling() {
    return this.#core.link.isPolled;
  }

  get user() {
    return this.#core.account.user;
  }

  get pending() {
    return this.#core.outbox.messages();
  }

  // --- Who ---

  async login(email, password) {
    const user = await this.#core.account.login(email, password);
    this.#core.link.start();
    return user;
  }

  async resume() {
    const user = this.#core.account.resume();
    if (user) this.#core.link.start();
    return user;
  }

  get isKnownVisitor() {
    return this.#core.page.get("visitor") !== null;
  }

  async visit(visitor = {}) {
    const { account, link, outbox, page } = this.#core;
    // Who it was until now, perhaps on an earlier page.
    const before = page.get("visitor");
    this.visitor = await account.visit(visitor);
    if (before && !before.userId && before.user.id !== this.user.id) await outbox.adopt(before.user, this.visitor);
    link.start();
    return this.visitor;
  }

  async supportConversation() {
    const { conversation } = await this.request("POST", "/api/widget/conversation");
    this.#core.account.keep(conversation);
    return this.#seen(conversation);
  }

  /** On a computer that others use too nothing may be left, not even what was not sent. */
  async logout() {
    const { account, outbox } = this.#core;
    outbox.clear(!account.isLogin && this.isKnownVisitor);
    await account.logout();
  }

  close() {
    this.#core.link.stop();
    this.#core.outbox.open(null);
    for (const handle of this.#handles.values()) handle.interrupted();
    this.#core.page.close();
  }

  #changeUser(before) {
    const { user } = this;
    this.#core.outbox.open(user);
    // Handles from before anybody was signed in are whoever's comes.
    if (before) for (const handle of [...this.#handles.values()]) handle.end();
    this.#online.clear();
    this.visitor = null;
    // Another one's socket must not go on.
    const wasOn = this.state !== "idle";
    this.#core.link.stop();
    if (user && wasOn) this.#core.link.start();
    this.emit("user", user);
  }

  // --- Conversations ---

  conversation(id) {
    let handle = this.#handles.get(id);
    if (!handle) {
      handle = new Conversation(this.#core, id);
      handle.on("gone", () => this.#handles.delete(id));
      this.#handles.set(id, handle);
    }
    return handle;
  }

  conversations = {
    list: async (options) => (await part("lists")).list(this.#core, options),
    create: async (options) => (await part("lists")).create(this.#core, options),
    get: async (id) => {
      const { conversation } = await this.request("GET", `/api/conversations/${encodeURIComponent(id)}`);
      return this.#seen(conversation).view;
    },
  };

  #seen(view) {
    for (const { id, isOnline } of view.participants) this.#online.set(id, isOnline);
    const handle = this.conversation(view.id);
    handle.seen(view);
    return handle;
  }

  isOnline(userId) {
    return this.#online.get(userId);
  }

  /** Of all conversations; many that begin at once ask once. */
  #unreadCounts() {
    this.#counts ??= this.request("GET", "/api/messages/unread/count")
      .then((answer) => answer.conversations)
      .finally(() => { this.#counts = null; });
    return this.#counts;
  }

  // --- The server ---

  async request(method, path, options = {}) {
    return this.#authorized((token) => call(this.#core.page, method, path, { ...options, token }));
  }

  async upload(file, options) {
    const { upload } = await part("files");
    return this.#authorized((token) => upload(this.#core.page, file, token, options));
  }

  async #authorized(action) {
    const token = await this.#core.account.token();
    try {
      return await action(token);
    } catch (error) {
      if (error.status !== 401) throw error;
      return action(await this.#core.account.token(token));
    }
  }

  absolute(path) {
    return new URL(path, `${this.url}/`).href;
  }

  #changeState(state) {
    if (state !== "live") for (const handle of this.#handles.values()) handle.interrupted();
    this.emit("state", state);
  }

  async #catchUp() {
    this.#core.outbox.flushAll();
    this.emit("resync", {});
    if (!this.#core.link.socket) return;
    const behind = [...this.#handles.values()].filter((handle) => handle.isFollowed);
    const next = async () => {
      for (let handle; (handle = behind.shift());) await handle.catchUp().catch(() => {});
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  #hear(name, payload) {
    if (name === "user:status") this.#online.set(payload.userId, payload.isOnline);
    if (payload?.conversation?.participants) this.#seen(payload.conversation);
    if (ABOUT_CONVERSATIONS.test(name)) this.#handles.get(payload.conversationId)?.hear(name, payload);
    this.emit(name, payload);
  }
}

/**
 * Who is signed in, and the token that says so. Several tabs share one. Tells `user`, with the one before, when it is
 * another one or none.
 */
class Account extends Emitter {
  #page;
  /** `login` or `visitor`: under which name it is kept. */
  #kind = null;
  #renewing = null;
  /** The visitor's token for REST and sockets: one that a page can always ask for again is not kept. */
  #visit = null;
  #identity;
  /** Changes with each end: what was asked before is of no use then. */
  #turn = 0;
  user = null;

  constructor({ page }) {
    super();
    this.#page = page;
    page.tabs?.addEventListener("message", ({ data: { account, isOver } }) => {
      if (isOver && account === this.#kind) this.#become(null);
      else if (account) setTimeout(() => {
        const kept = page.get(account);
        // Another tab may be there as somebody else.
        if (account !== this.#kind || !kept || kept.userId !== this.#identity?.userId) return;
        this.#visit = null;
        this.#become(kept.user);
      }, SEEN);
    });
    // A page that comes back as it was left has not heard of an end meanwhile.
    page.hear("window", "pageshow", () => this.user && !page.get(this.#kind) && this.#become(null));
  }

  get isLogin() {
    return this.#kind === "login";
  }

  async login(email, password) {
    const { login } = await part("login");
    const user = await login(this.#page, email, password);
    this.#kind = "login";
    this.#become(user);
    this.#page.tell({ account: "login" });
    return user;
  }

  resume() {
    const user = this.#page.get("login")?.user ?? null;
    if (user) this.#kind = "login";
    this.#become(user);
    return user;
  }

  /** Opens the session of the visitor who was here before, or of a new one; when offline, that of last time. */
  async visit(details) {
    this.#kind = "visitor";
    // The server may want to see it at each renewal.
    const identity = details.identity ?? this.#identity;
    try {
      return await this.#open({ ...details, identity });
    } catch (error) {
      const kept = this.#page.get("visitor");
      // What somebody has written is not for who comes to the same computer without their proof.
      if (!error.isPassing || !kept || kept.userId !== identity?.userId) throw error;
      this.#identity = identity;
      this.#become(kept.visit.user);
      return kept.visit;
    }
  }

  /** Two tabs that come at once are one visitor. */
  #open(details) {
    const turn = this.#turn;
    return this.#page.alone("visitor", async () => {
      const visitorToken = this.#page.get("visitor")?.token ?? undefined;
      const body = { ...details, visitorToken };
      const { token, expiresIn, visitorToken: kept, ...visit } =
        await call(this.#page, "POST", "/api/widget/session", { body }).finally(() => {
          if (turn !== this.#turn) throw new PriyoError("aborted");
        });
      this.#identity = details.identity;
      this.#page.set("visitor", { token: kept, userId: details.identity?.userId, user: visit.user, visit });
      this.#visit = { accessToken: token, ...lifetime(expiresIn) };
      this.#become(visit.user);
      if (kept !== visitorToken) this.#page.tell({ account: "visitor" });
      return visit;
    });
  }

  /** The conversation that has begun, for a visit while offline. */
  keep(conversation) {
    const { visit, ...kept } = this.#page.get("visitor") ?? {};
    if (visit) this.#page.set("visitor", { ...kept, visit: { ...visit, conversation } });
  }

  /** A good access token, and not the one that was refused. */
  async token(refused) {
    if (!this.user) throw new PriyoError("signed_out", "Nobody is signed in");
    const kept = this.#kept();
    if (kept && kept.accessToken !== refused && Date.now() < kept.renewAt) return kept.accessToken;
    this.#renewing ??= this.#renew(refused).finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  #kept() {
    return this.isLogin ? this.#page.get("login") : this.#visit;
  }

  async #renew(refused) {
    try {
      if (this.isLogin) return await (await part("login")).refresh(this.#page, refused);
      await this.#open({ identity: this.#identity });
      return this.#visit.accessToken;
    } catch (error) {
      // It may be over already, by another tab.
      if (error.status !== 401 || !this.user) throw error;
      this.#end();
      throw new PriyoError("signed_out", error.message, 401);
    }
  }

  #end(kind = this.#kind) {
    this.#page.remove(kind);
    this.#become(null);
    this.#page.tell({ account: kind, isOver: true });
  }

  /** Ends it here even when the server does not hear of it. A visitor's ends at once: the next one may come already. */
  async logout() {
    // A visitor whom only an earlier page knew is forgotten too.
    const kind = this.#kind ?? "visitor";
    const token = this.isLogin ? await inTime(this.token(), 3_000) : this.#visit?.accessToken;
    this.#end(kind);
    if (token) await call(this.#page, "POST", "/api/auth/logout", { token }).catch(() => {});
  }

  #become(user) {
    const before = this.user;
    this.user = user;
    if (!user) {
      this.#turn += 1;
      this.#kind = this.#visit = this.#identity = null;
    }
    if (user?.id !== before?.id) this.emit("user", before);
  }
}
