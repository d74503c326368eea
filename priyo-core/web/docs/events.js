// The AsyncAPI document: socket events both ways.

import { fold, label, make, paragraphs, slug } from "./build.js";
import { schemas } from "./schema.js";

const { whole } = schemas("event");

const GROUPS = [
  ["handshake", "Socket handshake"],
  ["fromClient", "Events you send"],
  ["fromServer", "Events you get"],
];

/** What a reference names. */
function named(document, { $ref }) {
  return $ref.slice(2).split("/").reduce((place, key) => place[key], document);
}

/** A message of a channel, which is itself a reference. */
const message = (document, reference) => named(document, named(document, reference));

/** The groups of events, as `routes` gives those of routes. */
export function events(document) {
  const all = Object.values(document.operations);
  return GROUPS.map(([channel, title]) => ({
    title,
    text: document.channels[channel].description,
    entries: all.filter((one) => one.channel.$ref === `#/channels/${channel}`).map((one) => {
      const { name, payload } = message(document, one.messages[0]);
      const id = `event-${channel}-${slug(name)}`.toLowerCase();
      return { id, title: name, element: entry(document, id, name, payload, one) };
    }),
  }));
}

function entry(document, id, name, payload, operation) {
  const sent = operation.action === "receive";
  const heading = [
    make("span", { class: `method ${sent ? "emit" : "on"}` }, sent ? "emit" : "on"),
    make("code", { class: "path" }, name),
    make("span", { class: "summary" }, operation.summary),
  ];
  const replies = (operation.reply?.messages ?? []).map((one) => message(document, one));
  return fold(id, heading,
    paragraphs(operation.description),
    label("Payload"),
    whole(payload),
    replies.length > 0 && label(name === "connect" ? "When it is refused" : "Acknowledgement"),
    replies.map((reply, index) => [index > 0 && make("p", { class: "or" }, "or, when it fails,"), whole(reply.payload)]));
}
