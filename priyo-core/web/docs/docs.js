// The page: loads both descriptions from where it came from itself, and shows them.

import { fold, inline, make, paragraphs, slug } from "./build.js";
import { events } from "./events.js";
import { routes } from "./routes.js";
import { schemas, shapeId } from "./schema.js";

const place = (id) => document.getElementById(id);
const content = place("content");
const state = place("state");

/** The two documents; throws the status of an answer that is none. */
async function load(token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const addresses = ["api/openapi.json", "api/asyncapi.json"];
  return Promise.all(addresses.map(async (address) => {
    const answer = await fetch(address, { headers, cache: "no-store" });
    if (!answer.ok) throw answer.status;
    return answer.json();
  }));
}

/** The shapes that a document names, as a group. */
function shapes(kind, title, { components }) {
  const { whole } = schemas(kind);
  const entries = Object.entries(components.schemas).map(([name, schema]) => {
    const id = shapeId(kind, name);
    const { description, ...rest } = schema;
    const heading = [make("code", { class: "path" }, name), make("span", { class: "summary" }, inline(description))];
    return { id, title: name, element: fold(id, heading, whole(rest)) };
  });
  return { title, text: "", entries };
}

function show([rest, sockets]) {
  place("version").textContent = rest.info.version;
  const groups = [...routes(rest), ...events(sockets), shapes("rest", "Shapes of REST", rest),
    shapes("event", "Shapes of events", sockets)];
  const about = [["REST", rest, "api/openapi.json"], ["Sockets", sockets, "api/asyncapi.json"]];
  content.append(...about.map(([title, { info }, address]) =>
    make("details", { class: "about" }, make("summary", {}, make("h2", {}, `About ${title}`)), paragraphs(info.description),
      make("p", {}, make("a", { href: address }, address)))));
  for (const group of groups) {
    const id = `group-${slug(group.title)}`;
    content.append(make("section", { "aria-labelledby": id },
      make("h2", { id }, group.title), paragraphs(group.text), group.entries.map((entry) => entry.element)));
    place("contents").append(make("details", { open: matchMedia("(min-width: 60rem)").matches },
      make("summary", {}, group.title),
      make("ul", {}, group.entries.map((entry) => make("li", {}, make("a", { href: `#${entry.id}` }, entry.title))))));
  }
  state.hidden = true;
  openTarget();
}

/** Opens and shows the entry that the address names. */
function openTarget() {
  const target = location.hash && place(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
  target.querySelector("summary")?.focus({ preventScroll: true });
}

/** Leaves only the entries that have every word. */
function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const section of content.querySelectorAll("section")) {
    let any = false;
    for (const entry of section.querySelectorAll(".entry")) {
      const all = entry.textContent.toLowerCase();
      entry.hidden = !words.every((word) => all.includes(word));
      any ||= !entry.hidden;
      found += entry.hidden ? 0 : 1;
    }
    section.hidden = !any;
  }
  for (const link of place("contents").querySelectorAll("a")) {
    link.parentElement.hidden = place(link.hash.slice(1))?.hidden ?? false;
  }
  state.hidden = found > 0;
  state.textContent = found > 0 ? "" : "Nothing has all of these words.";
}

async function start(token) {
  const form = place("access");
  try {
    show(await load(token));
    form.hidden = true;
  } catch (problem) {
    const refused = problem === 401 || problem === 403;
    form.hidden = !refused;
    state.textContent = refused ? "" : "The descriptions could not be loaded. Try again later.";
    if (!refused) throw problem;
  }
}

place("filter").addEventListener("input", (event) => filter(event.target.value));
place("unfold").addEventListener("click", ({ currentTarget: button }) => {
  const open = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(open));
  button.textContent = open ? "Close all" : "Open all";
  for (const entry of content.querySelectorAll(".entry")) entry.open = open;
});
place("access").addEventListener("submit", (event) => {
  event.preventDefault();
  start(place("token").value.trim());
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input") && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    place("filter").focus();
  }
});
addEventListener("hashchange", openTarget);
start();
