// The browser client of Priyo: `import { Client } from "https://chat.example.com/client.js"`.
//
// It keeps one connection, brings every message once and in order, and keeps what is written until the server has
// it. No dependency, no build step; this file describes it for editors and for those who compile.

/** What a client is made with. */
export interface Options {
  /**
   * Where the server is, with the path that it is mounted under: `https://chat.example.com`. Default: where this
   * module came from.
   */
  url?: string;
  /**
   * Where a login, a visitor's token and what is not sent yet are kept. Default: `localStorage`, or memory where a
   * page may not use that. Tabs that share it share the login and the outbox.
   */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;
  /** Begins the names of what is kept. Default: `priyo:` and the url. Two logins side by side need two. */
  scope?: string;
  /** What the page would have as globals, for other places than a browser: `{ WebSocket, … }`. */
  globals?: Partial<Globals>;
  /** Waits, in milliseconds; for tests. */
  times?: Partial<Times>;
}

/** What is used of the platform. `addEventListener` is the window's: `online`, `offline`, `pageshow`. */
export interface Globals {
  fetch: typeof fetch;
  WebSocket: typeof WebSocket;
  XMLHttpRequest: typeof XMLHttpRequest;
  navigator: Navigator;
  document: Document;
  window: EventTarget;
  BroadcastChannel: typeof BroadcastChannel;
}

/** Waits, in milliseconds. */
export interface Times {
  /** How long an acknowledgement may take: 10,000. */
  ack: number;
  /** How long opening a connection may take: 10,000. */
  open: number;
  /** How long a REST call may take: 20,000. */
  request: number;
  /** The first wait before a connection is tried again; grows, with chance: 500. */
  wait: number;
  /** The longest wait before a connection is tried again: 20,000. */
  waitMax: number;
  /** How often it is asked by REST where WebSocket does not go through; grows to `waitMax` in silence: 3,000. */
  poll: number;
}

/**
 * - `idle`: nobody is signed in, or the client was closed.
 * - `connecting`: the first try, or the first one after a connection was lost.
 * - `live`: everything arrives as it happens, over WebSocket or, where that is blocked, by asking over and over. What
 * was
 *   missed is being read at first: `isReady` of a conversation says when it has caught up.
 * - `offline`: there is no way to the server, and it is tried again and again. Stays until it is live: show it. What is
 *   written is kept and sent later.
 */
export type State = "idle" | "connecting" | "live" | "offline";

export type Role = "CUSTOMER" | "AGENT" | "ADMIN";

export interface User {
  id: string;
  username: string;
  role: Role;
  /** Not of a visitor. */
  email?: string;
  avatar?: string | null;
}

export interface Participant {
  id: string;
  username: string;
  avatar: string | null;
  isOnline: boolean;
  lastSeen: string | null;
  role: Role;
}

/** Says who a visitor of a website is. Everything is optional. */
export interface Visitor {
  name?: string;
  email?: string;
  /** `hash`: hex HMAC-SHA256 of `userId`, made by the website's server. */
  identity?: { userId: string; name?: string; email?: string; hash: string };
  page?: { url: string; title: string };
}

/** What a visitor is told when it comes. */
export interface Visit {
  user: User;
  /** The open conversation, if there is one. */
  conversation: { id: string; status: "OPEN" | "CLOSED"; lastSeq: number } | null;
  settings: { title: string; greeting: string; accent: string; locale: string; online: boolean };
}

/** A conversation as REST gives it. */
export interface ConversationView {
  id: string;
  name: string | null;
  type: "DIRECT" | "GROUP" | "SUPPORT";
  status: "OPEN" | "CLOSED";
  participants: Participant[];
  /** Only in lists. */
  lastMessage?: {
    id: string; seq: number; content: string; type: MessageType; fileName: string | null;
    senderId: string; createdAt: string; sender: { id: string; username: string };
  } | null;
  /** Only in lists. */
  unreadCount?: number;
  /** Only in lists. */
  lastSeq?: number;
  createdAt: string;
  updatedAt: string;
}

export interface ConversationPage {
  conversations: ConversationView[];
  nextCursor: string | null;
}

export type MessageType = "TEXT" | "FILE" | "IMAGE";

/**
 * - `sending`: kept here, and on its way as soon as there is one.
 * - `sent`: the server has it, for good.
 * - `delivered`, `read`: at least one other participant was handed it, or has read it.
 * - `failed`: refused; `error` says why. `retry()` or `discard()` it.
 */
export type MessageState = "sending" | "sent" | "delivered" | "read" | "failed";

/**
 * A message. Never changed: when something about it changes, `messages` holds another object with the same `key`, so
 * that `===` tells what to draw again.
 */
export interface Message {
  /** Stays the same from `sending` on, also when the page is reloaded before it is sent. After that it is the id. */
  key: string;
  /** Null until the server has it. */
  id: string | null;
  /** The place in the conversation, from 1 without a gap. Null until the server has it. */
  seq: number | null;
  conversationId: string;
  /** Text as it was written; to be shown as text, never as markup. May be empty beside a file. */
  content: string;
  type: MessageType;
  /**
   * Absolute and signed, for about an hour; `file()` of the conversation gives a fresh one. Null without a file, and
   * until it is uploaded.
   */
  fileUrl: string | null;
  fileName: string | null;
  /** Bytes. */
  fileSize: number | null;
  /** Of a picture, in pixels, where they are known. */
  width?: number;
  height?: number;
  /** A message with nobody as its sender is one of the server's own, such as a greeting. */
  sender: { id: string; username: string } | null;
  createdAt: string;
  /** Whether the user of this client wrote it. */
  mine: boolean;
  state: MessageState;
  /** Who else has read it. */
  readBy: string[];
  /** Somebody else wrote it, and this user has not read it. */
  unread: boolean;
  /** How much of the file is uploaded, 0 to 1; while `sending`. */
  progress?: number;
  /** With `failed`. */
  error?: PriyoError;
}

/** What is sent: a text, a file, or both. */
export interface Draft {
  text?: string;
  file?: File;
}

export interface RequestOptions {
  /** Sent as JSON. */
  body?: unknown;
  /** Put into the query; what is null or undefined is left out. */
  query?: Record<string, string | number | null | undefined>;
  signal?: AbortSignal;
}

/** A refusal, or no answer. */
export class PriyoError extends Error {
  /**
   * A code of the server's (`rate_limited`, `not_found`, `conversation_closed`, …), or `offline`, `timeout`,
   * `aborted`, `signed_out`, `outbox_full`.
   */
  readonly code: string;
  /** Of the HTTP answer, if there was one; else 0. */
  readonly status: number;
  /** Everything that the answer says: `details`, `retryAfter`, `assignee`, `conversationId`, `maxSize`, … */
  readonly data: Record<string, any>;
  /** Whether the same may well succeed later. */
  readonly isPassing: boolean;
  /** How long the server wants to be left alone, in milliseconds; 0 when it did not say. */
  readonly retryAfter: number;
}

export interface ClientEvents {
  /** The connection. */
  state: State;
  /** Who is signed in here; null when the login is over: by `logout()`, here or in another tab, or by the server. */
  user: User | null;
  /** `isOnline` of somebody who shares a conversation. */
  "user:status": { userId: string; isOnline: boolean; lastSeen: string | null };
  "conversation:new": { conversation: ConversationView };
  "conversation:updated": { conversation?: ConversationView; conversationId?: string };
  "conversation:closed": { conversation?: ConversationView; conversationId?: string };
  /** A message of somebody else in any followed conversation, live or caught up with: for sounds and badges. */
  message: { conversation: Conversation; message: Message };
  /**
   * Events may have been missed: it was offline and is live again. Conversations that are followed have caught up by
   * themselves; lists, such as the inbox, are to be read again.
   */
  resync: Record<string, never>;
  /** Any event of the server's by its name: `inbox:new`, `inbox:updated`, `inbox:claimed`, `message:new`, … */
  [event: string]: any;
}

/** One connection of one user. */
export class Client {
  constructor(options?: Options);

  readonly url: string;
  readonly state: State;
  /** Whether WebSocket is blocked and it asks by REST instead. */
  readonly polling: boolean;
  readonly user: User | null;
  /** Of the last `visit()`. */
  readonly visitor: Visit | null;
  /** The messages that are not with the server yet, of all conversations. */
  readonly pending: readonly Message[];

  /**
   * Signs in, keeps the tokens in `storage`, and connects. Fails with `invalid_credentials`, `rate_limited`,
   * `offline`, …
   */
  login(email: string, password: string): Promise<User>;

  /**
   * Goes on with the login that is kept in `storage`, with the user as last seen, and connects, now or later. Gives
   * null
   * where there is none. When it turns out to be over, `user` tells null.
   */
  resume(): Promise<User | null>;

  /**
   * Comes as a visitor of a website, the one of last time on this browser or a new one, and connects. Also to say
   * later who it is: `visit({ identity })`; that may be another user, with other handles, into whose conversation the
   * one of now is carried over, with what was not sent yet. While offline it gives what it gave last time on this
   * browser, to the same visitor. Fails with `aborted` when the visitor is forgotten meanwhile.
   */
  visit(visitor?: Visitor): Promise<Visit>;

  /** Whether a visitor's token is kept in `storage`: whether this browser has been here before. */
  readonly isKnownVisitor: boolean;

  /** The visitor's open conversation; made when there is none. */
  supportConversation(): Promise<Conversation>;

  /**
   * Ends the login on the server and here, in all tabs, and forgets what was not sent. A visitor is forgotten at once,
   * also one whom only an earlier page knew: the next visit is another one's.
   */
  logout(): Promise<void>;

  /** Ends the connection and every timer. What is not sent yet stays in `storage`. */
  close(): void;

  readonly conversations: {
    /** One page, newest activity first; go on with `cursor: nextCursor`. */
    list(options?: { limit?: number; cursor?: string | null; scope?: "own" }): Promise<ConversationPage>;
    /** The handle of a new conversation. An open DIRECT that exists already is given instead of failing. */
    create(options: { participantIds: string[]; type: "DIRECT" | "GROUP"; name?: string }): Promise<Conversation>;
    get(id: string): Promise<ConversationView>;
  };

  /**
   * The handle of a conversation; the same object for the same id, until it is gone or another user signs in. Asks the
   * server nothing until it is followed.
   */
  conversation(id: string): Conversation;

  /** Whether somebody is online, as far as lists and events have told: `undefined` when not known. */
  isOnline(userId: string): boolean | undefined;

  /**
   * Any REST call: `request("POST", "/api/inbox/" + id + "/claim")`. Gives the answer's JSON. A token that is over is
   * renewed once. Fails with a `PriyoError`; the waits that `rate_limited` asks for are the caller's
   * (`error.data.retryAfter`).
   */
  request(method: string, path: string, options?: RequestOptions): Promise<any>;

  /**
   * Uploads a file on its own; `send({ file })` does it by itself. `signal` stops it (`aborted`).
   */
  upload(
    file: File,
    options?: { onProgress?: (share: number) => void; signal?: AbortSignal },
  ): Promise<{ id: string; url: string; originalName: string; size: number; mimetype: string }>;

  /** Makes a url of the server's absolute. */
  absolute(path: string): string;

  /** Hears an event until the function that it gives is called. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): () => void;
  off<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): void;
}

export interface ConversationHandleEvents {
  /** Something that is to be seen has changed; at most once per turn of the event loop. Read the properties. */
  change: Conversation;
  /** A message of somebody else, live or caught up with. Not for history that was loaded. */
  message: Message;
  /** It is not one's own any more. Its messages are gone. */
  gone: Conversation;
}

/** A conversation. */
export class Conversation {
  readonly id: string;
  /** As last seen; null before a list, `follow()` or an event has told. */
  readonly view: ConversationView | null;
  /** In order, each once; without a gap from the first to the last. Those not with the server yet stand at the end. */
  readonly messages: readonly Message[];
  /** Whether there is more before the first. */
  readonly hasOlder: boolean;
  /** Whether it is followed and has caught up. */
  readonly isReady: boolean;
  readonly isGone: boolean;
  readonly unread: number;
  /** The last `seq` of the conversation, as far as known. */
  readonly lastSeq: number;
  /** Who is writing now. */
  readonly typing: readonly { userId: string; username: string }[];

  /**
   * Loads the newest messages and hears everything from then on, over every interruption. `history: 0` loads none and
   * only hears what comes: for rows of a list. May be called again, for more. Gives up only on a refusal
   * (`not_found`, `forbidden`): while offline it is waited for.
   */
  follow(options?: { history?: number }): Promise<this>;

  /** Hears no more of it, and forgets its messages; not those that are not sent yet. */
  unfollow(): void;

  /** Loads what was before; gives how many. */
  loadOlder(limit?: number): Promise<number>;

  /**
   * Takes a message into the outbox, shows it as `sending`, and sends it when it can, in the order of writing. One with
   * a file takes its place when the file is uploaded: others do not wait for that.
   *
   * Gives it as it is now; later ones of the same `key` stand in `messages`. Fails at once for what can never be sent
   * (`validation_failed` for nothing at all), or `outbox_full`.
   *
   * A text is kept over a reload of the page; a file is, once it is uploaded.
   */
  send(draft: Draft | string): Message;

  /** Resolves when the server has the message of this key, fails when it is refused. */
  sent(key: string): Promise<Message>;

  /** Tries a failed message again. */
  retry(message: Pick<Message, "key">): void;

  /** Takes a message out of the outbox; stops its upload. One that may be with the server already can still appear. */
  discard(message: Pick<Message, "key">): void;

  /** Call it at each key stroke: the others are told now and then, and that it ended, 3 s after the last one. */
  type(): void;
  /** The text was sent or emptied. `send()` says so by itself. */
  stopTyping(): void;

  /** Marks as read what others wrote, up to this `seq`; without one, all that is loaded. */
  markRead(upTo?: number): void;

  /**
   * A message's file by a link that is good now, asked anew when the old one is about to end. `thumb`: a small
   * picture.
   */
  file(message: Message, options?: { thumb?: boolean }): Promise<string>;

  on<E extends keyof ConversationHandleEvents>(
    event: E,
    listener: (payload: ConversationHandleEvents[E]) => void,
  ): () => void;
  off<E extends keyof ConversationHandleEvents>(
    event: E,
    listener: (payload: ConversationHandleEvents[E]) => void,
  ): void;
}
