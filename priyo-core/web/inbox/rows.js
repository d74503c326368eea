// The list of a folder's conversations.

import { avatar, icon, make, place } from "./dom.js";
import { faceOf, folderNamed, titleOf } from "./folders.js";
import { problemText } from "./problems.js";
import { shortText, timeAttributes, waitLevel, waitText } from "./time.js";

const SKELETONS = 7;

export class Rows {
  #queue;
  #box = place("rows");
  #list = make("ul", { class: "row-list", role: "list" });
  #drawn = new Map();
  #folder;
  #open;
  #end = place("rows-end");
  #looked;
  /** What is shown instead of rows. */
  #without;
  #ends = new IntersectionObserver((all) => this.#atEnd(all.at(-1)));

  constructor(queue) {
    this.#queue = queue;
    this.#ends.observe(this.#end);
  }

  close() {
    this.#ends.disconnect();
    this.#box.replaceChildren();
  }

  /** Shows a folder, and in it which conversation is open. */
  show(folder, open) {
    const isOther = folder !== this.#folder;
    this.#folder = folder;
    this.#open = open;
    this.draw();
    if (isOther) place("rows-scroll").scrollTop = 0;
    if (isOther && this.#queue.page(folder).state !== "ready") this.#queue.load(folder);
  }

  draw() {
    const rows = this.#queue.in(this.#folder);
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.#drawn.keys()) if (!ids.has(id)) this.#drawn.delete(id);
    const { state, error, wasRead } = this.#queue.page(this.#folder);
    this.#box.setAttribute("aria-busy", String(state === "loading"));
    this.#look(`${this.#folder} ${state} ${rows.length}`);
    if (rows.length === 0) {
      // Drawn anew, a problem would be told again, and its button lose the focus.
      const isRead = state === "ready" || wasRead;
      const without = `${this.#folder} ${error ? problemText(error) : isRead}`;
      if (without !== this.#without) this.#box.replaceChildren(this.#instead(isRead, error));
      this.#without = without;
      return;
    }
    this.#without = undefined;
    const items = rows.map((row) => this.#item(row));
    // Nodes that are in place stay untouched: one that is moved loses the focus.
    items.forEach((item, index) => {
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    while (this.#list.children.length > items.length) this.#list.lastChild.remove();
    const parts = [this.#list, error && this.#again(error)].filter(Boolean);
    if (this.#box.firstChild !== this.#list || this.#box.children.length !== parts.length) {
      this.#box.replaceChildren(...parts);
    }
  }

  /** What could not be read is not asked for again and again: there is a button for that. */
  #atEnd({ isIntersecting }) {
    if (isIntersecting && this.#queue.page(this.#folder).state === "ready") this.#queue.load(this.#folder);
  }

  /** Looks anew whether the list's end is in sight: of an end that stays there the observer says nothing. */
  #look(shown) {
    if (shown === this.#looked) return;
    this.#looked = shown;
    this.#ends.unobserve(this.#end);
    this.#ends.observe(this.#end);
  }

  /** The next conversation from the one that has the focus or is open, or the one before it. */
  step(by) {
    const rows = this.#queue.in(this.#folder);
    const focused = rows.findIndex(({ id }) => this.link(id) === document.activeElement);
    const at = focused < 0 ? rows.findIndex(({ id }) => id === this.#open) : focused;
    return rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  }

  /** The link of a conversation, if it is in the list. */
  link(id) {
    return this.#drawn.get(id)?.item.querySelector("a");
  }

  /** Brings a conversation into sight; whoever walks through the list with the arrows has the focus there. */
  reach(id) {
    const link = this.link(id);
    link?.scrollIntoView({ block: "nearest" });
    if (this.#box.contains(document.activeElement)) link?.focus({ preventScroll: true });
  }

  #item(row) {
    const shown = this.#shown(row);
    const signature = JSON.stringify(shown);
    const drawn = this.#drawn.get(row.id);
    if (drawn?.signature === signature) return drawn.item;
    const item = make("li", {}, link(shown));
    const had = drawn?.item.contains(document.activeElement);
    // The item stays, so that the list need not move anything.
    if (drawn) drawn.item.replaceChildren(...item.children);
    const kept = drawn?.item ?? item;
    if (had) kept.firstChild.focus({ preventScroll: true });
    this.#drawn.set(row.id, { item: kept, signature });
    return kept;
  }

  #shown(row) {
    const { me } = this.#queue;
    const last = row.lastMessage;
    const isQueue = row.type === "SUPPORT";
    const isWaiting = isQueue && row.status === "OPEN" && row.waitingSince;
    const assignee = row.assignee?.id === me ? "You" : row.assignee?.username ?? "Nobody yet";
    const page = row.visitor?.page?.title || row.visitor?.page?.url;
    return {
      href: `#${this.#folder}/${row.id}`,
      face: faceOf(row, me),
      title: titleOf(row, me),
      preview: previewOf(last, me),
      about: isQueue ? (this.#folder === "open" ? assignee : page) : "",
      isPage: this.#folder !== "open",
      time: isWaiting ? row.waitingSince : last?.createdAt ?? row.updatedAt,
      timeText: isWaiting ? waitText(row.waitingSince) : shortText(last?.createdAt ?? row.updatedAt),
      level: isWaiting ? waitLevel(row.waitingSince) : "",
      unread: this.#queue.unread(row),
      isOpen: row.id === this.#open,
    };
  }

  #instead(isRead, error) {
    if (error) return this.#again(error);
    if (!isRead) return skeletons();
    const { icon: drawing, empty: [title, text] } = folderNamed(this.#folder);
    return make("div", { class: "empty" }, icon(drawing), make("h2", {}, title), make("p", {}, text));
  }

  #again(error) {
    return make("div", { class: "empty failed", role: "alert" }, icon("alert"),
      make("h2", {}, "The list could not be loaded"), make("p", {}, problemText(error)),
      make("button", { type: "button", onclick: () => this.#queue.load(this.#folder) }, "Try again"));
  }
}

function link(shown) {
  const { href, face, title, preview, about, isPage, time, timeText, level, unread, isOpen } = shown;
  return make("a", { href, class: unread ? "row unread" : "row", "aria-current": isOpen && "true" },
    avatar(face),
    make("span", { class: "row-main" },
      make("span", { class: "row-top" },
        make("strong", { dir: "auto" }, title),
        make("time", { ...timeAttributes(time), class: level && `wait ${level}` },
          level && make("span", { class: "hidden" }, ", waiting "), timeText)),
      make("span", { class: "row-bottom" },
        make("span", { class: "preview", dir: "auto" }, preview),
        unread > 0 && make("span", { class: "badge" }, unread > 99 ? "99+" : unread,
          make("span", { class: "hidden" }, " unread"))),
      about && make("span", { class: "row-about" }, icon(isPage ? "page" : "mine"), make("bdi", {}, about))));
}

/** The last message in one line. */
export function previewOf(last, me) {
  if (!last) return "No messages yet";
  const text = last.content || last.fileName || "A file";
  const sender = last.sender?.id ?? last.senderId;
  return sender === me ? `You: ${text}` : text;
}

function skeletons() {
  const line = (size) => make("span", { class: `bone ${size}` });
  const row = () => make("div", { class: "row" }, make("span", { class: "bone round" }),
    make("span", { class: "row-main" }, line("short"), line("long")));
  return make("div", { class: "skeletons" }, make("p", { class: "hidden" }, "Loading …"),
    Array.from({ length: SKELETONS }, row));
}
