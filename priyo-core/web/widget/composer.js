// Where the visitor writes.

import { button, make } from "./dom.js";

const CLIP = "m20 11-8.6 8.6a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8l-8.6 8.6a1.7 1.7 0 0 1-2.4-2.4L15 7";
const SEND = "M12 19.5v-15M5.5 11 12 4.5l6.5 6.5";

/** The most that a message may have: the server's default. */
const CHARACTERS = 5000;

export class Composer {
  #texts;
  #onSend;
  #text;
  #shelf = null;
  #attaching;
  #picker = make("input", { type: "file", multiple: "", hidden: "" });

  /** `onSend` takes a draft; `onType` is called at each change of the text, with the text. */
  constructor(texts, onSend, onType) {
    this.#texts = texts;
    this.#onSend = onSend;
    const text = this.#text = make("textarea", {
      rows: 1, dir: "auto", maxlength: CHARACTERS, placeholder: texts.write, "aria-label": texts.write, enterkeyhint: "send",
    });
    const clip = button(CLIP, "plain clip", texts.attach, () => this.#picker.click());
    const line = make("div", { class: "line" }, clip, text, button(SEND, "send", texts.send));
    this.element = make("form", { class: "composer" }, line, this.#picker);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener("input", () => {
      this.#changed();
      onType(text.value);
    });
    text.addEventListener("keydown", (event) => {
      // While a word is put together, Enter chooses it: Safari ends that before it tells of the key, as 229.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.attach(event.clipboardData.files);
    });
    this.#picker.addEventListener("change", () => this.attach(this.#picker.files));
    this.#changed();
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  clear() {
    this.#text.value = "";
    this.#shelf?.clear();
    this.#changed();
  }

  /** Takes files along with the next message. */
  async attach(files) {
    const all = [...files];
    // So that the same file can be chosen again.
    this.#picker.value = "";
    this.#attaching = this.#openShelf();
    await this.#attaching;
    this.#shelf?.add(all);
    this.focus();
  }

  async #openShelf() {
    try {
      const { Shelf, ready } = await import("./shelf.js");
      await ready(this.element.getRootNode());
      this.#shelf ??= new Shelf(this.element, this.#texts, () => this.#changed());
    } catch {
      // Without a connection it cannot be loaded: choosing them again tries again.
    }
  }

  async #submit() {
    // What was chosen goes along, also when it has only just been.
    await this.#attaching;
    const { value } = this.#text;
    const text = value.trim() && value;
    const [first, ...others] = this.#shelf?.files ?? [];
    if (!text && !first) return;
    // What there is no room for any more stays here.
    this.#onSend({ text, file: first });
    for (const file of others) this.#onSend({ file });
    this.clear();
  }

  /** It is as high as its text; the style sheet says how high at most. */
  #changed() {
    const { style, value } = this.#text;
    style.height = "";
    if (value) style.height = `${this.#text.scrollHeight}px`;
    this.element.classList.toggle("empty", !value.trim() && !this.#shelf?.files.length);
  }
}
