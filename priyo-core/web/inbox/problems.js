// What a refusal is called on the page, and the notes at its edge that say so.

import { iconButton, make, place } from "./dom.js";

const TEXTS = {
  invalid_credentials: "E-mail or password is wrong.",
  offline: "The server cannot be reached. Check the connection.",
  timeout: "The server took too long to answer. Try again.",
  forbidden: "You may not do that.",
  not_found: "It does not exist any more, or is not yours to see.",
  conversation_closed: "The conversation is closed.",
  payload_too_large: "The file is too large.",
  quota_exceeded: "There is no room for more files.",
  unsupported_media_type: "Files of this kind are not taken.",
  overloaded: "The server is busy. Try again in a moment.",
  unavailable: "The server is busy. Try again in a moment.",
  outbox_full: "Too much is waiting to be sent.",
  aborted: "Stopped.",
};

/** A sentence for a person. */
export function problemText(error) {
  const { code, data = {} } = error ?? {};
  if (code === "already_claimed") return `${data.assignee?.username ?? "Somebody else"} has claimed it already.`;
  if (code === "rate_limited") {
    return data.retryAfter ? `Too many tries. Wait ${data.retryAfter} seconds.` : "Too many tries. Wait a moment.";
  }
  if (code === "payload_too_large" && data.maxSize) {
    return `The file is larger than ${sizeText(data.maxSize)}.`;
  }
  return TEXTS[code] ?? error?.message ?? "Something went wrong.";
}

/** A number of bytes for a person. */
export function sizeText(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let size = bytes;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

const TOAST_MS = 8000;

/** A note that goes away by itself; a screen reader says it at once. */
export function toast(text) {
  const note = make("div", { class: "toast" }, make("p", {}, text), iconButton("cross", "Dismiss", () => note.remove()));
  place("toasts").append(note);
  setTimeout(() => note.remove(), TOAST_MS);
}

/** Does it, and shows what went wrong. Gives undefined then. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(problemText(error));
    return undefined;
  }
}
