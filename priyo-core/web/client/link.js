// The way to the server, kept for as long as it is wanted: over a socket, or where none goes through, by asking.

import { Emitter, PriyoError, part } from "./page.js";

// Packets begin with a digit: of Engine.IO, and after its 4 one of Socket.IO.
const [OPEN, CLOSE, PING, PONG] = ["0", "1", "2", "3"];
const [CONNECT, DISCONNECT, EVENT, ACK, REFUSED] = ["40", "41", "42", "43", "44"];

/** One connection: as much of Socket.IO 5, on Engine.IO 4 over WebSocket, as the server speaks. */
class Socket {
  #socket;
  #times;
  #waiting = new Map();
  #asked = 0;
  #timer;
  #heard = Date.now();
  /** How long the server may be silent, in milliseconds. */
  #silence;
  #end;

  /** `hears(name, payload)` is told each event. */
  constructor(page, token, hears) {
    this.#times = page.times;
    this.token = token;
    this.hears = hears;
    /** Whether the server was there, whatever it said. */
    this.isOpened = false;
    this.isConnected = false;
    /** Resolves when it is over, with why it was refused if it was. */
    this.ended = new Promise((resolve) => { this.#end = resolve; });
    /** Resolves when it is in, or over. */
    this.ready = new Promise((resolve) => { this.isIn = resolve; });
    try {
      this.#socket = new (page.global("WebSocket"))(
        `${page.url.replace(/^http/, "ws")}/socket.io/?EIO=4&transport=websocket`,
      );
    } catch {
      // A page's policy may forbid it.
      return this.#over({});
    }
    this.#socket.onmessage = ({ data }) => this.#read(data);
    this.#socket.onclose = () => this.#over({});
    // What it says, the end says as well.
    this.#socket.onerror = () => {};
    this.#timer = setTimeout(() => this.close(), this.#times.open);
  }

  #read(data) {
    if (typeof data !== "string") return;
    this.#heard = Date.now();
    const type = data[0] === "4" ? data.slice(0, 2) : data[0];
    const text = data.slice(type.length);
    if (type === OPEN) {
      const { pingInterval, pingTimeout } = JSON.parse(text);
      this.isOpened = true;
      this.#silence = pingInterval + pingTimeout;
      // The token goes here and never into a URL, which ends up in logs.
      this.#write(CONNECT + JSON.stringify({ token: this.token }));
      return;
    }
    if (this.isConnected) this.#watch();
    if (type === PING) this.#write(PONG);
    else if (type === CONNECT) {
      this.isConnected = true;
      this.#watch();
      this.isIn();
    } else if (type === REFUSED) this.#over({ refused: JSON.parse(text).message });
    else if (type === EVENT) this.hears(...JSON.parse(text.slice(text.indexOf("["))));
    else if (type === ACK) {
      const start = text.indexOf("[");
      this.#waiting.get(Number(text.slice(0, start)))?.(JSON.parse(text.slice(start))[0]);
    } else if (type === CLOSE || type === DISCONNECT) this.#over({ byServer: true });
  }

  #write(text) {
    if (this.#socket.readyState === 1) this.#socket.send(text);
  }

  /** A connection whose other end has gone without a word looks like a quiet one, but that no ping comes. */
  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), this.#silence);
  }

  /** Sends an event, and gives its acknowledgement. */
  ask(name, payload, patience = this.#times.ack) {
    return new Promise((resolve, reject) => {
      if (!this.isConnected) return reject(new PriyoError("offline"));
      const id = this.#asked++;
      const done = (answer) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        if (answer.ok) return resolve(answer);
        const { code, message, ...data } = answer.error;
        reject(new PriyoError(code, message, 0, data));
      };
      const timer = setTimeout(() => {
        done({ error: { code: "timeout" } });
        // What else it may have swallowed nobody knows: the next connection asks.
        this.close();
      }, patience);
      this.#waiting.set(id, done);
      this.#write(`${EVENT}${id}${JSON.stringify([name, payload])}`);
    });
  }

  /** Finds out whether it still works, after the network has changed or the machine has slept. */
  probe() {
    if (!this.isConnected) return;
    if (Date.now() - this.#heard > this.#silence) this.close();
    // Costs the server nothing, and it answers.
    else this.ask("auth:refresh", { token: this.token }, Math.min(this.#times.ack, 5_000)).catch(() => {});
  }

  close() {
    this.#over({});
  }

  #over(end) {
    clearTimeout(this.#timer);
    this.isConnected = false;
    if (this.#socket) {
      this.#socket.onmessage = this.#socket.onclose = null;
      // It would go on for as long as the other end says nothing: nobody listens any more.
      this.#socket.close();
    }
    for (const done of [...this.#waiting.values()]) done({ error: { code: "offline" } });
    this.#end(end);
    this.isIn();
  }
}

/** So many sockets in a row that did not even open, and it is tried without. */
const BLOCKED = 2;

/** Tells `state`, `event` with its name and payload, and `up` at each new way. */
export class Link extends Emitter {
  #core;
  #page;
  #run = 0;
  #wakes = new Set();
  #isPolling = false;
  #refused;
  state = "idle";
  /** The connection, while it is in. */
  socket = null;
  /** The same, and one that is about to come in. */
  #current = null;
  /** Whether it goes by asking now. */
  isPolled = false;

  constructor(core) {
    super();
    this.#core = core;
    const page = this.#page = core.page;
    for (const event of ["online", "pageshow"]) page.hear("window", event, () => this.wake());
    page.hear("window", "offline", () => {
      // The browser knows before the connection does.
      this.#current?.close();
      this.isPolled = false;
      this.#lost("offline");
    });
    page.hear("document", "visibilitychange", () => {
      if (page.global("document").visibilityState === "visible") this.wake();
    });
  }

  get isUp() {
    return this.state === "live";
  }

  start() {
    if (this.state !== "idle") return this.wake();
    this.#become("connecting");
    this.#keep(++this.#run);
  }

  stop() {
    this.#run += 1;
    this.#isPolling = this.isPolled = false;
    this.#current?.close();
    this.socket = this.#current = null;
    this.#become("idle");
    this.#rouse();
  }

  /** Does not wait any longer: something has changed for the better. */
  wake() {
    this.socket?.probe();
    this.#rouse();
  }

  #rouse() {
    for (const wake of [...this.#wakes]) wake();
  }

  /** Waits, but not when something has changed for the better. */
  pause(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#wakes.add(wake);
    });
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.emit("state", state);
  }

  /** There is no way now. Says `connecting` once; when that has failed, `offline` until it succeeds. */
  #lost(state) {
    if (this.state !== "idle" && this.state !== "offline") this.#become(state);
  }

  /** Asks over the socket; fails where there is none. */
  ask(name, payload) {
    return this.socket?.ask(name, payload) ?? Promise.reject(new PriyoError("offline"));
  }

  /** Opens one socket after the other. */
  async #keep(run) {
    let [failures, unopened] = [0, 0];
    while (run === this.#run) {
      let wait = 0;
      try {
        const token = await this.#core.account.token(this.#refused);
        if (run !== this.#run) return;
        const socket = new Socket(this.#page, token, (name, payload) => this.#heard(name, payload));
        this.#current = socket;
        await socket.ready;
        if (socket.isConnected) {
          [failures, this.#refused, this.#isPolling, this.isPolled] = [0, undefined, false, false];
          this.socket = socket;
          this.#become("live");
          this.emit("up");
        }
        const { refused, byServer } = await socket.ended;
        unopened = socket.isOpened ? 0 : unopened + 1;
        // A server that stops sends all its clients away at once: let them not come back at once as well.
        if (byServer) wait = this.#page.wait(1) * (1 + Math.random());
        if (refused) {
          // Another token helps, or the login is over. Once: a refusal that stays is not to be met without end.
          if (/token|User/.test(refused) && this.#refused === undefined) failures -= 1;
          else wait = this.#page.times.waitMax / 2;
          this.#refused = token;
        }
      } catch (error) {
        if (error.code === "signed_out") return;
        wait = error.retryAfter ?? 0;
      }
      if (run !== this.#run) return;
      const had = this.socket;
      this.socket = this.#current = null;
      if (!this.isPolled) this.#lost(had ? "connecting" : failures >= 0 ? "offline" : this.state);
      if (unopened >= BLOCKED) this.#poll(run);
      // While asking works there is no haste.
      if (this.isPolled) wait = this.#page.times.waitMax;
      await this.pause(Math.max(wait, failures < 0 ? 0 : this.#page.wait(Math.min(failures, 9))));
      failures += 1;
    }
  }

  /** Asks over and over, until a socket is in. */
  async #poll(run) {
    if (this.#isPolling) return;
    this.#isPolling = true;
    const isWanted = () => this.#isPolling && run === this.#run;
    const tell = (isPolled) => {
      this.isPolled = isPolled;
      if (!isPolled) return this.#lost("offline");
      this.#become("live");
      this.emit("up");
      // It may be that the server was away, and is back.
      this.#rouse();
    };
    try {
      await (await part("poll")).poll(this.#core, isWanted, tell);
    } catch {
      // It could not be loaded: the next socket that does not open tries again.
    }
    if (run === this.#run) this.#isPolling = false;
  }

  #heard(name, payload) {
    if (name === "auth:expiring") this.#renew(this.socket);
    this.emit("event", { name, payload });
  }

  /** Goes on with a fresh token; where that fails the server closes, and the next connection brings one. */
  async #renew(socket) {
    try {
      const token = await this.#core.account.token(socket.token);
      await socket.ask("auth:refresh", { token });
      socket.token = token;
    } catch (error) {
      if (error.code === "forbidden" || error.code === "invalid_token") socket.close();
    }
  }
}
