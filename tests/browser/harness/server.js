// A server as an operator starts it: the binary, a database of its own, a free port.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Heard } from "./patience.js";

const { PRIYO_SERVER, PRIYO_TEST_STORAGE, PRIYO_TEST_POSTGRES } = process.env;

/** Where a server keeps its data: as the tests in Rust, in a file or in a schema of its own. */
function database() {
  if (PRIYO_TEST_STORAGE !== "postgres") return "sqlite:priyo.db";
  if (!PRIYO_TEST_POSTGRES) throw new Error("PRIYO_TEST_POSTGRES is not set");
  const joint = PRIYO_TEST_POSTGRES.includes("?") ? "&" : "?";
  return `${PRIYO_TEST_POSTGRES}${joint}schema=test_${randomBytes(8).toString("hex")}&connection_limit=5`;
}

export class Server {
  #directory;
  #settings;
  #child;
  #lines;
  port = 0;

  constructor(directory, settings) {
    this.#directory = directory;
    this.#settings = settings;
  }

  /** `http://127.0.0.1:…`; the same after a restart. */
  get base() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Everything that it has logged. */
  get log() {
    return this.#lines.all.join("\n");
  }

  /** Starts it, where it was if it was there before. */
  async start() {
    const lines = this.#lines ?? new Heard();
    this.#lines = lines;
    const from = lines.all.length;
    const environment = { PATH: process.env.PATH, HOST: "127.0.0.1", PORT: String(this.port), ...this.#settings };
    const child = spawn(PRIYO_SERVER, [], { cwd: this.#directory, env: environment, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", (line) => lines.add(line));
    child.once("exit", (code) => lines.add(`exit ${code}`));
    const isNews = (line) => lines.all.indexOf(line) >= from && /is ready|^exit /.test(line);
    const line = await lines.first(isNews, "the start of the server");
    const found = /is ready.*listening="?127\.0\.0\.1:(\d+)/.exec(line);
    if (!found) throw new Error(`the server does not start:\n${this.log}`);
    this.port = Number(found[1]);
  }

  /** Ends it at once, as `kill -9` does. */
  async kill() {
    await this.#end("SIGKILL");
  }

  async stop() {
    await this.#end("SIGTERM");
  }

  async #end(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill(signal);
    await gone;
  }
}

/** A server for one test, or for one file of tests: `t` is whatever has `after`. Settings as in `.env.example`. */
export async function startServer(t, settings = {}) {
  if (!PRIYO_SERVER) throw new Error("PRIYO_SERVER is not set: tests/browser/run does that");
  const directory = await mkdtemp(join(tmpdir(), "priyo-browser-"));
  const server = new Server(directory, { DATABASE_URL: database(), RATE_LIMITS: "off", ...settings });
  await server.start();
  t.after(async () => {
    await server.kill();
    await rm(directory, { recursive: true, force: true });
    const panic = /panicked at.*/.exec(server.log);
    if (panic) throw new Error(`the server ${panic[0]}`);
  });
  return server;
}
