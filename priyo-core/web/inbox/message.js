// One message as it is drawn.

import { icon, make } from "./dom.js";
import { webAddress, withLinks } from "./links.js";
import { problemText, sizeText } from "./problems.js";
import { clockText, timeAttributes } from "./time.js";

const STATES = { sending: "Sending …", sent: "Sent", delivered: "Delivered", read: "Read" };

/**
 * @param handle the conversation
 * @param message
 * @param around whether it is the `first` and the `last` of its sender's run, whether to show its `state`, the
 *   sender's `name`, and whether that is one of `ours`, who answer the visitor too
 */
export function drawMessage(handle, message, { first, last, state, name, ours }) {
  const sender = message.mine ? "You" : message.sender ? name : "Automatic message";
  const kind = message.mine ? "mine" : ours ? "ours" : "theirs";
  const failed = message.state === "failed";
  return make("li", {
    class: ["message", kind, first && "first", last && "last", failed && "refused"].filter(Boolean).join(" "),
    "data-seq": message.seq,
  },
    make("p", { class: first && !message.mine ? "sender" : "hidden" }, make("bdi", {}, sender)),
    make("div", { class: "bubble", title: timeAttributes(message.createdAt).title },
      hasFile(message) && drawFile(handle, message),
      message.content && make("p", { class: "text", dir: "auto" }, withLinks(message.content))),
    failed ? refusal(handle, message) : (last || state) && stamp(message, state));
}

const hasFile = ({ type, fileName, fileUrl }) => type !== "TEXT" || Boolean(fileName || fileUrl);

function stamp(message, state) {
  return make("p", { class: "stamp" }, make("time", timeAttributes(message.createdAt), clockText(message.createdAt)),
    state && make("span", { class: `state ${message.state}` }, `· ${STATES[message.state] ?? ""}`));
}

function refusal(handle, message) {
  return make("p", { class: "stamp refusal" }, icon("alert"), `Not sent. ${problemText(message.error)} `,
    make("button", { type: "button", class: "text", onclick: () => handle.retry(message) }, "Try again"),
    make("button", { type: "button", class: "text", onclick: () => handle.discard(message) }, "Discard"));
}

function drawFile(handle, message) {
  const name = message.fileName ?? "File";
  if (!message.fileUrl) return drawUpload(handle, message, name);
  if (message.type === "IMAGE") return drawImage(handle, message, name);
  return make("a", fileLink(handle, message, "file-card"), icon("file"),
    make("span", {}, make("bdi", { class: "file-name" }, name),
      make("span", { class: "file-size" }, message.fileSize ? sizeText(message.fileSize) : "")));
}

function drawImage(handle, message, name) {
  const image = make("img", { alt: name, class: "thumb", loading: "lazy", decoding: "async" });
  const link = make("a", fileLink(handle, message, "picture"), image);
  image.addEventListener("error", () => link.replaceChildren(icon("file"), make("bdi", {}, name)), { once: true });
  handle.file(message, { thumb: true }).then((url) => { image.src = url; }, () => image.dispatchEvent(new Event("error")));
  return link;
}

export const isUploading = (message) => hasFile(message) && !message.fileUrl && message.state === "sending";

const shareOf = ({ progress = 0 }) => Math.round(progress * 100);

/** Shows how far an upload is, in the message as it is drawn. */
export function moveBar(element, message) {
  const bar = element.querySelector("progress");
  bar.value = shareOf(message);
  bar.textContent = `${bar.value} %`;
}

function drawUpload(handle, message, name) {
  const share = shareOf(message);
  return make("div", { class: "file-card" }, icon("file"),
    make("span", {}, make("bdi", { class: "file-name" }, name),
      message.state === "sending" &&
        make("progress", { max: 100, value: share, "aria-label": `Uploading ${name}` }, `${share} %`)),
    message.state === "sending" &&
      make("button", { type: "button", class: "text", onclick: () => handle.discard(message) }, "Stop"));
}

/** A link's address is good for an hour, and the page may be open for a day: it is asked for anew when it is followed. */
function fileLink(handle, message, kind) {
  return {
    class: kind,
    href: webAddress(message.fileUrl),
    target: "_blank",
    rel: "noopener noreferrer",
    onclick: async (event) => {
      event.preventDefault();
      const address = webAddress(await handle.file(message).catch(() => message.fileUrl));
      if (address) window.open(address, "_blank", "noopener,noreferrer");
    },
  };
}
