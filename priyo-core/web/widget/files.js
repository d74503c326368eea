// Files in messages. Loaded with the first one.

import { dress, hidden, icon, make } from "./dom.js";

export const FILE = "M13.5 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V8.5L13.5 3Zm0 0v5.5H19";

/** Longer sides are of no use here. */
const SIDE = 640;

let dressed;
/** Resolves when files look as they should in a shadow root. */
export const ready = (shadow) => (dressed ??= dress(shadow, "files.css").catch((error) => {
  dressed = undefined;
  throw error;
}));

export function sizeOf(bytes, { tag }) {
  const [value, unit] = bytes < 1e6 ? [Math.ceil(bytes / 1e3), "kilobyte"] : [bytes / 1e6, "megabyte"];
  return new Intl.NumberFormat(tag, { style: "unit", unit, maximumFractionDigits: 1 }).format(value);
}

/**
 * Draws a picture. As an `<img>` it would need `img-src` in the page's Content-Security-Policy, with the server and
 * `blob:`; to fetch it takes only what the chat needs anyway.
 */
async function draw(canvas, source) {
  const blob = source instanceof Blob ? source : await (await fetch(source, { referrerPolicy: "no-referrer" })).blob();
  const bitmap = await createImageBitmap(blob);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, bitmap.width * scale);
  canvas.height = Math.max(1, bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
}

/** The file of a message: a picture or a card. It stays the same element while the message changes. */
export class Attachment {
  #session;
  #message;
  #card;
  #canvas;
  #progress;

  constructor(message, session, texts) {
    this.#session = session;
    const name = message.fileName ?? "";
    this.#card = [icon(FILE), make("bdi", { class: "file-name" }, name),
      make("span", { class: "file-size" }, sizeOf(message.fileSize ?? 0, texts))];
    this.#progress = make("progress", { max: 1, value: 0, "aria-label": texts.sending });
    this.#canvas = message.type === "IMAGE" && make("canvas", { "aria-hidden": true });
    const shown = this.#canvas ? [this.#canvas, hidden(texts.file.replace("#", () => name))] : this.#card;
    const kind = this.#canvas ? "picture" : "file";
    this.element = make("a", { class: kind, target: "_blank", rel: "noopener noreferrer" }, ...shown, this.#progress);
    this.element.addEventListener("click", (event) => this.#open(event));
    this.update(message);
  }

  update(message) {
    this.#message = message;
    if (message.fileUrl) this.element.href = message.fileUrl;
    this.#progress.hidden = message.state !== "sending";
    this.#progress.value = message.progress ?? 0;
    this.#draw();
  }

  async #draw() {
    const canvas = this.#canvas;
    const own = this.#session.files.get(this.#message.key);
    if (!canvas || !(own ?? this.#message.fileUrl)) return;
    this.#canvas = null;
    try {
      await draw(canvas, own ?? await this.#session.file(this.#message, true));
    } catch {
      // What is no picture after all is a file like others.
      this.element.className = "file";
      this.element.replaceChildren(...this.#card, this.#progress);
    }
  }

  /** A link ends after an hour. */
  async #open(event) {
    const { fileUrl } = this.#message;
    if (!fileUrl || new URL(fileUrl).searchParams.get("exp") * 1000 > Date.now()) return;
    event.preventDefault();
    open(await this.#session.file(this.#message), "_blank", "noopener,noreferrer");
  }
}
