// What the client uses of the page that it runs in, and what all of its parts share: failures, events, storage, other
// tabs, locks, and calls over REST.

/** Refusals of now and not for good: the same may well succeed later. */
const PASSING = new Set([
  "offline", "timeout", "rate_limited", "overloaded", "unavailable", "internal",
  // Once there is a good token again, perhaps after another login.
  "invalid_token", "unauthenticated", "signed_out",
]);

export class PriyoError extends Error {
  constructor(code, message = code, status = 0, data = {}) {
    super(message);
    Object.assign(this, { name: "PriyoError", code, status, data });
  }

  /** The failure of a message is kept with it. */
  toJSON() {
    return { ...this, message: this.message };
  }

  get isPassing() {
    return PASSING.has(this.code) || this.status >= 500;
  }

  /** How long the server wants to be left alone, in milliseconds. */
  get retryAfter() {
    return (this.data.retryAfter ?? 0) * 1000;
  }
}

export class Emitter {
  #listeners = new Map();

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.off(event, listener);
  }

  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }

  emit(event, payload) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(payload);
      } catch (error) {
        // A listener's fault is the page's to see, and must not stop ours.
        queueMicrotask(() => { throw error; });
      }
    }
  }
}

const TIMES = { ack: 10_000, open: 10_000, request: 20_000, wait: 500, waitMax: 20_000, poll: 3_000 };

/** What one tab has put into the storage others see a moment later: they may be in other processes. */
export const SEEN = 100;

export class Page {
  #memory = new Map();
  #storage;
  #stop = new AbortController();

  #globals;

  constructor({ url, storage, scope, globals, times }) {
    this.url = new URL(url ?? "..", url ? globalThis.location?.href : import.meta.url).href.replace(/\/+$/, "");
    server = `${this.url}/client.js`;
    this.scope = scope ?? `priyo:${this.url}:`;
    this.times = { ...TIMES, ...times };
    this.#globals = globals;
    try {
      this.#storage = storage ?? globalThis.localStorage;
      this.tabs = new (this.global("BroadcastChannel"))(this.scope);
    } catch {
      // A page whose storage is blocked throws at the very name, and other tabs are of no use to it.
    }
  }

  global(name) {
    return this.#globals?.[name] ?? globalThis[name];
  }

  /** Hears an event of the window or the document until the end. */
  hear(target, event, listener) {
    this.global(target)?.addEventListener?.(event, listener, { signal: this.#stop.signal });
  }

  /** Tells the other tabs. */
  tell(what) {
    this.tabs?.postMessage(what);
  }

  get(name) {
    const key = this.scope + name;
    const text = this.#memory.get(key) ?? this.#storage?.getItem(key);
    try {
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  }

  set(name, value) {
    const [key, text] = [this.scope + name, JSON.stringify(value)];
    this.#memory.delete(key);
    try {
      if (this.#storage) return this.#storage.setItem(key, text);
    } catch {
      // Full, or not allowed: it is kept as long as the page is.
    }
    this.#memory.set(key, text);
  }

  remove(name) {
    this.#memory.delete(this.scope + name);
    this.#storage?.removeItem(this.scope + name);
  }

  /** What is kept under names that begin so, in the order of the names. */
  all(prefix) {
    const start = this.scope + prefix;
    const keys = new Set(this.#memory.keys());
    for (let at = 0; at < (this.#storage?.length ?? 0); at += 1) keys.add(this.#storage.key(at));
    const names = [...keys].filter((key) => key.startsWith(start)).sort();
    return names.map((key) => this.get(key.slice(this.scope.length))).filter(Boolean);
  }

  /**
   * Does something while no other tab does the same. Pages without https have no locks: what is done twice there is
   * seen by the server, which takes a message once and forgives a token that is refreshed twice at the same time.
   */
  async alone(name, action) {
    const { locks } = this.global("navigator") ?? {};
    try {
      if (locks) return await locks.request(this.scope + name, action);
    } catch (error) {
      // No locks where storage is blocked.
      if (error.name !== "SecurityError") throw error;
    }
    return action();
  }

  /** The wait before one more try: grows, and differs, so that those who lost a server do not all come at once. */
  wait(tries) {
    const { wait, waitMax } = this.times;
    return Math.min(waitMax, wait * 2 ** tries) * (0.5 + Math.random() / 2);
  }

  close() {
    this.#stop.abort();
    this.tabs?.close();
  }
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a promise gives; nothing when it fails or takes too long. */
export function inTime(promise, ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    promise.then(resolve, () => resolve());
  });
}

/** What not every page needs. */
const parts = {
  files: () => import("./files.js"),
  lists: () => import("./lists.js"),
  login: () => import("./login.js"),
  poll: () => import("./poll.js"),
};

/** The server of the page that was made last, and what was loaded of it. */
let server;
const loaded = {};

/** Loads a part. */
export async function part(name) {
  try {
    // Some browsers never try an import again that has failed once: it begins when there is a way to the server.
    if (!loaded[name]) await fetch(server, { method: "HEAD", mode: "no-cors", cache: "no-store" });
    loaded[name] = await parts[name]();
    return loaded[name];
  } catch (error) {
    throw new PriyoError("offline", error.message);
  }
}

/** The failure that an answer stands for. */
export function refusal(status, data, retryAfter) {
  const { error, code, ...rest } = data ?? {};
  // A proxy in between answers without our shape.
  const passing = status === 429 ? "rate_limited" : "unavailable";
  if (retryAfter && !rest.retryAfter) rest.retryAfter = Number(retryAfter) || 1;
  return new PriyoError(code ?? passing, error ?? `HTTP ${status}`, status, rest);
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** One call, by this token if there is one. */
export async function call(page, method, path, { body, query = {}, signal, token } = {}) {
  const url = new URL(page.url + path);
  for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const late = AbortSignal.timeout(page.times.request);
  let answer, data;
  try {
    answer = await page.global("fetch").call(globalThis, url, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      // Tokens are in the header; cookies of the site are none of ours.
      credentials: "omit", cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    data = parsed(await answer.text());
  } catch (error) {
    if (signal?.aborted) throw new PriyoError("aborted");
    throw new PriyoError(late.aborted ? "timeout" : "offline", error.message);
  }
  if (!answer.ok) throw refusal(answer.status, data, answer.headers.get("retry-after"));
  // Such as the page by which a hotel's network asks for a room number.
  if (!data) throw new PriyoError("offline", "That was not the server");
  return data;
}

/** When to get another token: early enough that no request meets its end, also where it lasts for seconds. */
export function lifetime(expiresIn) {
  return { renewAt: Date.now() + expiresIn * 1000 - Math.min(30_000, expiresIn * 200) };
}
