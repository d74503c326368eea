// Files that go with the next message. Loaded with the first one.

import { CLOSE, button, icon, make } from "./dom.js";
import { FILE, ready, sizeOf } from "./files.js";

export { ready };

const MOST = 5;

export class Shelf {
  files = [];
  #list = make("ul", { class: "shelf" });
  #texts;
  #onChange;

  constructor(form, texts, onChange) {
    this.#texts = texts;
    this.#onChange = onChange;
    form.prepend(this.#list);
    this.#show();
  }

  add(files) {
    this.files = [...this.files, ...files].slice(0, MOST);
    this.#show();
  }

  clear() {
    this.files = [];
    this.#show();
  }

  #show() {
    this.#list.hidden = !this.files.length;
    this.#list.replaceChildren(...this.files.map((file) => {
      const remove = button(CLOSE, "plain", `${this.#texts.remove}: ${file.name}`, () => {
        this.files = this.files.filter((one) => one !== file);
        this.#show();
      });
      return make("li", {}, icon(FILE), make("bdi", { class: "file-name" }, file.name),
        make("span", { class: "file-size" }, sizeOf(file.size, this.#texts)), remove);
    }));
    this.#onChange();
  }
}
