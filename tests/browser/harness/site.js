// A company's website, on an origin of its own, that has the widget's tag.

import { createServer } from "node:http";
import { once } from "node:events";
import { Heard } from "./patience.js";

/** What a strict website needs to say so that the widget works: nothing inline, nothing from anywhere else. */
export const strict = ({ base }) => [
  "default-src 'self'", `script-src ${base}`, `connect-src ${base} ${base.replace("http", "ws")}`, "style-src 'self'",
  "object-src 'none'", "base-uri 'none'", "require-trusted-types-for 'script'", "report-uri /csp",
].join("; ");

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** The tag, with settings such as `{ title: "Ask us" }`. */
export function tag({ base }, settings = {}) {
  const data = Object.entries(settings).map(([name, value]) => ` data-${name}="${escape(value)}"`);
  return `<script src="${base}/widget.js" async${data.join("")}></script>`;
}

/** A page with the tag. */
export const page = (server, { settings, body = "<h1>A shop</h1><button id=\"shop\">Buy</button>", lang = "en", dir = "ltr", head = "" } = {}) =>
  `<!doctype html><html lang="${lang}" dir="${dir}"><head><meta charset="utf-8"><title>A shop</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">${head}${tag(server, settings)}</head><body>${body}</body></html>`;

export class Site {
  /** By path: `{ html, csp }`. */
  pages = new Map();
  /** Reports of what a Content-Security-Policy has stopped. */
  reports = new Heard();
  #http = createServer((request, response) => this.#answer(request, response));

  async listen() {
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
  }

  /** `localhost`, so that it is not the server's origin. */
  get origin() {
    return `http://localhost:${this.#http.address().port}`;
  }

  /** Shows a page at a path; gives its address. */
  show(path, html, csp) {
    this.pages.set(path, { html, csp });
    return this.origin + path;
  }

  close() {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  #answer(request, response) {
    if (request.url === "/csp") {
      let text = "";
      request.on("data", (piece) => (text += piece)).on("end", () => this.reports.add(JSON.parse(text)["csp-report"]));
      response.writeHead(204).end();
      return;
    }
    // Every browser asks for it.
    if (request.url === "/favicon.ico") return void response.writeHead(204).end();
    const { html, csp } = this.pages.get(new URL(request.url, "http://site").pathname) ?? {};
    if (html === undefined) return void response.writeHead(404).end();
    const headers = { "content-type": "text/html; charset=utf-8" };
    if (csp) headers["content-security-policy"] = csp;
    response.writeHead(200, headers).end(html);
  }
}

export async function startSite(t) {
  const site = new Site();
  await site.listen();
  t.after(() => site.close());
  return site;
}
