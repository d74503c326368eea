// Everything behind the button: loaded by it, when it is wanted.

import { Panel } from "./panel.js";
import { Session } from "./session.js";
import { dress, make, say } from "./dom.js";
import { textsOf } from "./texts.js";

/** Builds the panel; gives what the button and `window.Priyo` call. */
export async function start(context) {
  const { key, locale, settings, shadow, root, launcher, paint, emit } = context;
  const [texts] = await Promise.all([textsOf(locale), dress(shadow, "widget.css")]);
  Object.assign(context, { texts, changed, heard, keep, forgot });
  const badge = make("span", { class: "badge", "aria-hidden": true });
  const news = make("span", { class: "hidden", role: "status" });
  let unread;
  let isChanged = false;

  const session = new Session(context);
  const panel = new Panel(context, session, seen, close);
  const label = launcher.ariaLabel;
  launcher.append(badge);
  root.append(panel.element, news);
  document.addEventListener("visibilitychange", seen);

  /** Many changes at once are shown once. */
  function changed() {
    if (isChanged) return;
    isChanged = true;
    queueMicrotask(() => {
      isChanged = false;
      if (!settings.accent) paint(session.settings.accent ?? "");
      panel.render();
      seen();
      count();
    });
  }

  function count() {
    const now = panel.showsEnd ? 0 : session.unread;
    if (now === unread) return;
    unread = now;
    badge.textContent = now > 99 ? "99+" : now || "";
    launcher.ariaLabel = now ? `${label}: ${texts.unread(now)}` : label;
    say(news, now && !panel.isOpen ? texts.unread(now) : "");
    emit("unread", now);
  }

  /** What is new has been seen, if it can be. */
  function seen() {
    if (panel.showsEnd && session.unread) session.conversation.markRead();
  }

  function heard({ content, sender, createdAt, fileName }) {
    emit("message", { text: content, from: sender?.username ?? null, file: fileName, at: createdAt });
  }

  /** Tells the next page, if there is a place for it. */
  function keep(place, what) {
    try { window[place].setItem(key, what); } catch { /* There is none. */ }
  }

  function open(takesFocus) {
    const wasOpen = panel.isOpen;
    panel.open(takesFocus);
    if (wasOpen) return;
    session.visit();
    keep("sessionStorage", "open");
    changed();
    emit("open");
  }

  function close() {
    if (!panel.isOpen) return;
    panel.close();
    keep("sessionStorage", "closed");
    changed();
    emit("close");
  }

  /** The visitor is forgotten, here or in another tab: nothing of theirs stays. */
  function forgot() {
    close();
    panel.clear();
    changed();
  }

  return {
    open,
    close,
    toggle: () => (panel.isOpen ? close() : open(true)),
    listen: () => session.visit(),
    identify: () => session.identify(),
    send: (text) => void (String(text).trim() && session.send({ text: String(text) })),
    async reset() {
      await session.reset();
      emit("reset");
    },
  };
}
