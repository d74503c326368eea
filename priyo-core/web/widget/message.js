// One message.

import { hidden, icon, make } from "./dom.js";

const CHECKS = "m2 12.5 4.5 4.5L16 7.5m-5 8 1.5 1.5L22 7.5";
const MARKS = {
  sending: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2",
  sent: "m5 12.5 4.5 4.5L19 7.5",
  delivered: CHECKS,
  read: CHECKS,
};
const WARN = "M12 8v4.5m0 3.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z";
/** Refusals that would come again. */
const FINAL = ["payload_too_large", "unsupported_media_type"];

export class Row {
  #session;
  #texts;
  #attachment;
  #who = make("div");
  #meta = make("div", { class: "meta" });
  /** What the foot says: it is made anew only when that has changed. */
  #said;

  constructor(message, session, texts) {
    this.#session = session;
    this.#texts = texts;
    const { content, mine, sender, type } = message;
    const text = content && make("div", { class: "text", dir: "auto" }, content);
    const bubble = make("div", { class: "bubble" }, text);
    // Said before each message, shown over the first.
    this.#who.append(make("bdi", {}, mine ? texts.you : sender?.username ?? texts.team), hidden(": "));
    this.element = make("div", {}, this.#who, bubble, this.#meta);
    if (type !== "TEXT") this.#attach(bubble);
    if (/https?:/i.test(content)) import("./links.js").then(({ link }) => link(text));
  }

  /**
   * - `first`, `last`: whether it begins or ends a group of one person's messages.
   * - `isNewest`: whether it is the last one of the visitor's.
   */
  update(message, first, last, isNewest) {
    const { mine, sender, state, createdAt, error } = message;
    const isOther = this.message !== message;
    this.message = message;
    if (isOther) this.#attachment?.update(message);
    this.element.className = `row ${mine ? "mine" : "theirs"} ${first ? "first" : ""} ${last ? "last" : ""} ${state}`;
    this.#who.className = mine || !first || !sender ? "hidden" : "who";
    const said = [state, last, isNewest, createdAt, error?.code].join();
    if (said !== this.#said) this.#meta.replaceChildren(...this.#foot(last, isNewest).filter(Boolean));
    this.#said = said;
  }

  #foot(last, isNewest) {
    const { state, createdAt, error, mine, type } = this.message;
    const texts = this.#texts;
    const remove = this.#action(texts.remove, "discard");
    if (state === "failed") {
      const reason = make("span", { class: "reason" }, icon(WARN), texts[error.code] ?? texts.failed);
      return [reason, !FINAL.includes(error.code) && this.#action(texts.retry, "retry"), remove];
    }
    return [
      last && make("time", { datetime: createdAt }, texts.time(createdAt)),
      mine && (isNewest || state === "sending") && make("span", { class: `mark ${state}` }, icon(MARKS[state]), texts[state]),
      state === "sending" && type !== "TEXT" && remove,
    ];
  }

  #action(text, method) {
    const made = make("button", { type: "button", class: "link" }, text);
    made.addEventListener("click", () => this.#session[method](this.message));
    return made;
  }

  /** Most conversations have no file. */
  async #attach(bubble) {
    try {
      const { Attachment, ready } = await import("./files.js");
      await ready(this.element.getRootNode());
      this.#attachment = new Attachment(this.message, this.#session, this.#texts);
      bubble.prepend(this.#attachment.element);
    } catch {
      // It could not be loaded.
      bubble.prepend(this.message.fileName);
    }
  }
}
