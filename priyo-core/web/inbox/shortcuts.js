// The keyboard: what each key does, and the sheet that says so.

import { iconButton, make, place } from "./dom.js";
import { FOLDERS } from "./folders.js";
import { settings } from "./settings.js";

const KEYS = "keys";

export class Shortcuts {
  #sheet = place("keys");
  #done = new AbortController();
  #keys;

  /** @param app what the keys act on */
  constructor(app) {
    const step = (by) => () => app.step(by);
    this.#keys = [
      { keys: ["j", "ArrowDown"], shown: "j", does: "Next conversation", act: step(1) },
      { keys: ["k", "ArrowUp"], shown: "k", does: "Previous conversation", act: step(-1) },
      { keys: ["r"], shown: "r", does: "Write an answer", act: () => app.thread.focusReply() },
      { keys: ["c"], shown: "c", does: "Claim", act: () => app.thread.claim() },
      { keys: ["e"], shown: "e", does: "Close or reopen", act: () => app.thread.closeOrReopen() },
      { keys: ["i"], shown: "i", does: "Show or hide details", act: () => app.toggleAbout() },
      { keys: ["n"], shown: "n", does: "New conversation", act: () => app.people.start() },
      { keys: ["m"], shown: "m", does: "Sound on or off", act: () => app.notify.toggle() },
      ...FOLDERS.map(({ name, title }, index) =>
        ({ keys: [String(index + 1)], shown: String(index + 1), does: `Folder ${title}`, act: () => app.go(name) })),
      { keys: ["?"], shown: "?", does: "This sheet", act: () => this.show() },
    ];
    document.addEventListener("keydown", (event) => this.#pressed(event, app), { signal: this.#done.signal });
    place("help").addEventListener("click", () => this.show(), { signal: this.#done.signal });
  }

  close() {
    this.#done.abort();
    if (this.#sheet.open) this.#sheet.close();
  }

  show() {
    const entry = (keys, does) => make("div", {}, make("dt", {}, keys.map((key) => make("kbd", {}, key))), make("dd", {}, does));
    const box = make("input", { type: "checkbox", onchange: () => settings.set(KEYS, box.checked ? "on" : "off") });
    box.checked = isOn();
    this.#sheet.replaceChildren(
      make("div", { class: "sheet-head" }, make("h2", { id: "keys-title" }, "Keyboard shortcuts"),
        iconButton("cross", "Close", () => this.#sheet.close())),
      make("dl", { class: "shortcuts" }, this.#keys.map(({ shown, does }) => entry([shown], does)),
        entry(["Enter"], "Send"), entry(["Shift", "Enter"], "New line"), entry(["Esc"], "Leave the field, then the conversation")),
      make("label", { class: "choice" }, box, "Use single keys as shortcuts"));
    this.#sheet.showModal();
  }

  #pressed(event, app) {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || event.isComposing) return;
    // A sheet that has just been closed keeps the focus for a moment.
    const target = event.target.closest("input, textarea");
    const field = target?.checkVisibility() ? target : null;
    if (event.key === "Escape") {
      // Out of the answer into the messages: a keyboard must never stand nowhere.
      if (field?.id === "reply") place("log").focus();
      else if (field) field.blur();
      else app.back();
      return;
    }
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    // Arrows scroll what has the focus, unless that is the list.
    if (event.key.startsWith("Arrow") && !event.target.closest(".rows")) return;
    // A key alone can be hit by dictation or an unsteady hand: it can be switched off, all but the sheet.
    const found = this.#keys.find(({ keys }) => keys.includes(event.key));
    if (!found || !(isOn() || event.key === "?" || event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    found.act();
  }
}

const isOn = () => settings.get(KEYS) !== "off";
