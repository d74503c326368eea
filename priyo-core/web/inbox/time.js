// Times for people.

// The page's words are English; who reads another language gets the day before the month, and 24 hours.
const locale = navigator.languages.find((language) => /^en\b/i.test(language)) ?? "en-GB";
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const date = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const dateOfYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** 14:05 */
export const clockText = (time) => clock.format(new Date(time));

/** Wednesday, 25 November 2026 at 14:05 */
export const wholeText = (time) => whole.format(new Date(time));

/** How many midnights lie between then and now. */
function daysAgo(time, now) {
  const start = (at) => new Date(at).setHours(0, 0, 0, 0);
  return Math.round((start(now) - start(time)) / DAY);
}

/** The heading of a day in a conversation. */
export function dayText(time, now = Date.now()) {
  const days = daysAgo(time, now);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const then = new Date(time);
  return then.getFullYear() === new Date(now).getFullYear() ? weekday.format(then) : dateOfYear.format(then);
}

/** For a row of a list: the time today, else the day. */
export function shortText(time, now = Date.now()) {
  const days = daysAgo(time, now);
  if (days === 0) return clockText(time);
  if (days === 1) return "Yesterday";
  const then = new Date(time);
  return (then.getFullYear() === new Date(now).getFullYear() ? date : dateOfYear).format(then);
}

/** How long someone has been waiting. */
export function waitText(time, now = Date.now()) {
  const minutes = Math.max(0, Math.floor((now - new Date(time)) / MINUTE));
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

/** How bad that is. */
export function waitLevel(time, now = Date.now()) {
  const minutes = (now - new Date(time)) / MINUTE;
  if (minutes < 5) return "fresh";
  return minutes < 30 ? "late" : "overdue";
}

/** A `<time>` element's parts: what a machine reads, and what a pointer shows. */
export const timeAttributes = (time) => ({ datetime: time, title: wholeText(time) });
