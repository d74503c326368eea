// Where an answer is written.

import { icon, iconButton, make } from "./dom.js";
import { problemText, sizeText, toast } from "./problems.js";
import { drafts } from "./settings.js";

const TEXT_MAX = 5000;
const FILES_MAX = 10;

export class Composer {
  #handle;
  #draft;
  #files = [];
  #chips = make("ul", { class: "chips", role: "list", "aria-label": "Files to be sent", hidden: true });
  #picker = make("input", { type: "file", multiple: true, hidden: true, onchange: () => this.#picked() });

  /** @param name whom it is for */
  constructor(handle, name) {
    this.#handle = handle;
    this.text = make("textarea", { id: "reply", rows: 1, "aria-label": `Message to ${name}`, placeholder: "Write a message …",
      dir: "auto", enterkeyhint: "send", oninput: () => this.#typed(), onkeydown: (event) => this.#pressed(event),
      onpaste: (event) => this.#pasted(event) });
    // A reload must not take half an answer away.
    this.#draft = `draft:${handle.id}`;
    this.text.value = drafts.get(this.#draft) ?? "";
    this.button = make("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
    this.element = make("form", { class: "composer", "aria-label": "Answer", onsubmit: (event) => {
      event.preventDefault();
      this.send();
    } },
      this.#chips,
      make("div", { class: "field" }, iconButton("attach", "Attach files", () => this.#picker.click()), this.#picker,
        this.text, this.button));
    this.#refresh();
  }

  focus() {
    this.text.focus();
  }

  close() {
    this.#handle.stopTyping();
    for (const { url } of this.#files) if (url) URL.revokeObjectURL(url);
  }

  send() {
    const text = this.text.value;
    if (!text.trim() && this.#files.length === 0) return;
    if ([...text].length > TEXT_MAX) {
      toast(`A message has at most ${TEXT_MAX.toLocaleString("en")} characters. This one has ${[...text].length.toLocaleString("en")}.`);
      return;
    }
    try {
      // The text goes first, so that the files stand below what was written about them.
      if (text.trim()) this.#handle.send({ text });
      for (const { file } of this.#files) this.#handle.send({ file });
    } catch (error) {
      toast(problemText(error));
      return;
    }
    for (const { url } of this.#files) if (url) URL.revokeObjectURL(url);
    this.#files = [];
    this.text.value = "";
    this.#refresh();
    drafts.set(this.#draft, "");
    this.text.focus();
  }

  /** Takes files from the picker, the clipboard, or a drop. */
  add(files) {
    const room = FILES_MAX - this.#files.length;
    if (files.length > room) toast(`At most ${FILES_MAX} files at once.`);
    for (const file of [...files].slice(0, room)) {
      const isImage = /^image\/(png|jpeg|gif|webp)$/.test(file.type);
      this.#files.push({ file, url: isImage ? URL.createObjectURL(file) : null });
    }
    this.#refresh();
    this.text.focus();
  }

  #picked() {
    this.add(this.#picker.files);
    this.#picker.value = "";
  }

  #pasted(event) {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    this.add(event.clipboardData.files);
  }

  #typed() {
    if (this.text.value) this.#handle.type();
    else this.#handle.stopTyping();
    drafts.set(this.#draft, this.text.value);
    this.#refresh();
  }

  #pressed(event) {
    // While a word is being composed, Enter chooses it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  #remove(entry) {
    if (entry.url) URL.revokeObjectURL(entry.url);
    this.#files = this.#files.filter((one) => one !== entry);
    this.#refresh();
    this.text.focus();
  }

  #refresh() {
    this.button.disabled = !this.text.value.trim() && this.#files.length === 0;
    this.#chips.hidden = this.#files.length === 0;
    this.#chips.replaceChildren(...this.#files.map((entry) => make("li", { class: "chip" },
      entry.url ? make("img", { src: entry.url, alt: "" }) : icon("file"),
      make("bdi", { class: "file-name" }, entry.file.name),
      make("span", { class: "file-size" }, sizeText(entry.file.size)),
      iconButton("cross", `Remove ${entry.file.name}`, () => this.#remove(entry)))));
    if (CSS.supports("field-sizing", "content")) return;
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }
}
