// The dialog: a card beside the button, or the whole screen of a phone.

import { CLOSE, button, make, say } from "./dom.js";
import { Composer } from "./composer.js";
import { Log } from "./log.js";

const PHONE = matchMedia("(max-width: 479px), (max-height: 419px)");

export class Panel {
  #context;
  #session;
  #texts;
  #title = make("bdi");
  #status = make("bdi");
  #face = make("span", { "aria-hidden": true });
  #banner = make("p", { role: "status" });
  #words = make("p");
  #problem;
  #log;
  #composer;
  /** On a phone: fits it to what the keyboard leaves. */
  #fit;
  #before;

  /** `onSeen` is called when what is new may have been seen. */
  constructor(context, session, onSeen, onClose) {
    const { texts } = context;
    this.#context = context;
    this.#session = session;
    this.#texts = texts;
    this.#log = new Log(session, texts, onSeen);
    const onType = (text) => session.conversation?.[text ? "type" : "stopTyping"]();
    this.#composer = new Composer(texts, (draft) => session.send(draft), onType);
    const again = make("button", { type: "button", class: "again" }, texts.retry);
    again.addEventListener("click", () => session.visit());
    this.#problem = make("div", { class: "problem", role: "alert" }, this.#words, again);
    const head = make("div", { class: "head" }, make("h2", { id: "title" }, this.#title), make("p", {}, this.#status));
    this.element = make("section", { class: "panel", id: "panel", role: "dialog", "aria-labelledby": "title", tabindex: -1, hidden: "" },
      make("header", {}, this.#face, head, button(CLOSE, "plain", texts.close, onClose)), this.#banner,
      make("div", { class: "middle" }, this.#log.element, this.#log.jump, this.#problem), this.#composer.element);
    this.element.addEventListener("keydown", (event) => {
      // The page must not take what is written here for its shortcuts.
      event.stopPropagation();
      if (event.key === "Escape" && !event.isComposing && event.keyCode !== 229) onClose();
    });
    PHONE.addEventListener("change", () => this.isOpen && this.open());
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /** Whether the newest message can be seen. */
  get showsEnd() {
    return this.isOpen && document.visibilityState === "visible" && this.#log.isAtEnd;
  }

  async open(takesFocus) {
    const { launcher } = this.#context;
    if (!this.isOpen) {
      this.#before = document.activeElement;
      this.element.hidden = false;
      launcher.ariaExpanded = true;
      this.render();
      this.#log.toEnd();
    }
    // On a phone the keyboard would cover what is to be read first.
    if (takesFocus) (PHONE.matches ? this.element : this.#composer).focus();
    if (!PHONE.matches) return;
    const { modal } = await import("./phone.js");
    this.#fit ??= modal(this.element, this.#context, PHONE);
    this.#fit();
  }

  close() {
    const { launcher, shadow } = this.#context;
    const hadFocus = this.element.contains(shadow.activeElement);
    this.element.hidden = true;
    launcher.ariaExpanded = false;
    this.#fit?.();
    if (!hadFocus) return;
    // Back to where it was: to what opened it on the page, or to the button.
    const before = this.#before;
    (before?.isConnected && before !== document.body && before !== shadow.host ? before : launcher).focus();
  }

  clear() {
    this.#composer.clear();
  }

  render() {
    const { phase, settings, state, people, isOnline } = this.#session;
    const texts = this.#texts;
    const title = this.#context.settings.title || settings.title || texts.title;
    const names = people.map(({ username }) => username).join(", ");
    say(this.#title, names || title);
    say(this.#status, phase !== "ready" ? "" : isOnline ? texts.online : texts.away);
    say(this.#face, [...(names || title)][0].toUpperCase());
    this.#face.className = isOnline ? "face online" : "face";

    const problem = texts[phase] ?? "";
    say(this.#banner, problem || ["idle", "live"].includes(state) ? "" : texts.offline);
    this.#banner.className = navigator.onLine ? "banner late" : "banner";
    say(this.#words, problem);
    this.#problem.hidden = !problem;
    this.#composer.element.hidden = Boolean(problem);
    if (this.isOpen) this.#log.render();
  }
}
