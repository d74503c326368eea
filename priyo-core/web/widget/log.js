// The messages, in groups and by days.

import { button, hidden, make, say } from "./dom.js";
import { Row } from "./message.js";

const DOWN = "m6 9.5 6 6 6-6";

/** What one person writes in this time stands together, in milliseconds. */
const TOGETHER = 300_000;
/** How near to the end counts as being there, and how near to the beginning as wanting more, in pixels. */
const NEAR_END = 40;
const NEAR_BEGINNING = 240;

const dayOf = ({ createdAt }) => new Date(createdAt).toDateString();

/** Whether two messages stand in one group. */
const together = (one, other) => one && other && one.mine === other.mine && one.sender?.id === other.sender?.id
  && dayOf(one) === dayOf(other) && Date.parse(other.createdAt) - Date.parse(one.createdAt) < TOGETHER;

export class Log {
  #session;
  #texts;
  #onSeen;
  /** Rows by the keys of their messages, and lines by their days. */
  #rows = new Map();
  #isLoading = false;
  #first;
  #last;
  #top = 0;
  /** Whether it shows the end, and goes on doing so as it grows. */
  isAtEnd = true;
  #list = make("div", { class: "list" });
  #greeting = make("p", { class: "greeting", dir: "auto" });
  #skeleton = make("div", { class: "skeleton", "aria-hidden": true }, make("div"), make("div"), make("div"));
  #typing = make("div", { class: "row theirs typing" });
  #closed = make("p", { class: "closed" });

  /** `onSeen` is called when the newest message has come into view. */
  constructor(session, texts, onSeen) {
    this.#session = session;
    this.#texts = texts;
    this.#onSeen = onSeen;
    this.element = make("div", { class: "log", role: "log", tabindex: 0, "aria-label": texts.log },
      this.#greeting, this.#skeleton, this.#list, this.#typing, this.#closed);
    this.jump = button(DOWN, "jump", texts.newer, () => this.toEnd());
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // A phone's keyboard or a banner takes room from it, and a picture comes late: its end stays where it is.
    const resized = new ResizeObserver(() => this.isAtEnd && this.toEnd());
    resized.observe(this.element);
    resized.observe(this.#list);
  }

  toEnd() {
    this.isAtEnd = true;
    this.element.scrollTop = this.element.scrollHeight;
    this.jump.hidden = true;
  }

  render() {
    const { phase, conversation, messages, greeting } = this.#session;
    const isComing = conversation !== null && !conversation.isReady && !messages.length;
    const isLoading = phase !== "ready" || isComing;
    const shown = isLoading ? [] : messages;
    const { scrollHeight, scrollTop } = this.element;
    // What was there already is no news.
    this.element.ariaLive = isLoading || this.#isLoading ? "off" : "polite";
    this.element.ariaBusy = isLoading;
    this.#skeleton.hidden = !isLoading;
    this.#greeting.hidden = isLoading || !greeting || conversation?.hasOlder;
    say(this.#greeting, greeting);
    this.#place(shown);
    this.#showTyping((!isLoading && conversation?.typing) || []);
    say(this.#closed, conversation?.view?.status === "CLOSED" ? this.#texts.closed : "");

    const last = shown.at(-1);
    const isNew = last?.key !== this.#last;
    if (this.isAtEnd || (isNew && last?.mine)) this.toEnd();
    // What was loaded above leaves the rest where it was.
    else if (shown[0]?.key !== this.#first) this.element.scrollTop = scrollTop + this.element.scrollHeight - scrollHeight;
    else if (isNew) this.jump.hidden = false;
    [this.#first, this.#last] = [shown[0]?.key, last?.key];
    this.#fill();
  }

  /** Puts messages in their order, with a line where a day begins, and moves as little as possible. */
  #place(messages) {
    const newest = messages.findLast(({ mine }) => mine);
    const rows = new Map();
    const elements = messages.flatMap((message, index) => {
      const [before, after] = [messages[index - 1], messages[index + 1]];
      let row = this.#rows.get(message.key);
      if (row?.message.content !== message.content) row = new Row(message, this.#session, this.#texts);
      row.update(message, !together(before, message), !together(message, after), message === newest);
      rows.set(message.key, row);
      const day = dayOf(message);
      if (before && dayOf(before) === day) return row.element;
      const line = this.#rows.get(day) ?? make("div", { class: "day" });
      rows.set(day, line);
      // At midnight it is another word for the same day.
      say(line, this.#texts.day(message.createdAt));
      return [line, row.element];
    });
    this.#rows = rows;
    // What stays in place keeps its focus, and is not read out again.
    for (const child of [...this.#list.children]) if (!elements.includes(child)) child.remove();
    elements.forEach((element, index) => {
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
  }

  #showTyping(people) {
    const names = people.map(({ username }) => username).join(", ");
    this.#typing.hidden = !names;
    const text = names && this.#texts.typing.replace("#", () => names);
    if (this.#typing.textContent === text) return;
    const dots = make("span", { class: "bubble dots", "aria-hidden": true }, make("i"), make("i"), make("i"));
    this.#typing.replaceChildren(dots, hidden(text));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    const isNear = scrollHeight - scrollTop - clientHeight < NEAR_END;
    // Who has not gone up is still there, though the end has gone down.
    this.isAtEnd = isNear || (this.isAtEnd && scrollTop >= this.#top);
    this.#top = scrollTop;
    if (isNear) {
      this.jump.hidden = true;
      this.#onSeen();
    }
    this.#fill();
  }

  /** Loads what was before, when the visitor comes near to it. */
  async #fill() {
    const { conversation } = this.#session;
    const { scrollTop, clientHeight } = this.element;
    // Before it shows anything, or is shown itself, it has no beginning.
    if (this.#isLoading || !conversation?.hasOlder || !this.#rows.size || !clientHeight || scrollTop > NEAR_BEGINNING) return;
    this.#isLoading = true;
    // The next scrolling tries again.
    await conversation.loadOlder().catch(() => {});
    this.#isLoading = false;
  }
}
