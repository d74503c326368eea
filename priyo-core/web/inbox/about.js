// The details of the open conversation: who the visitor is, where they are, and who takes part.

import { avatar, icon, iconButton, make, place } from "./dom.js";
import { faceOf, titleOf, visitorOf } from "./folders.js";
import { link, webAddress } from "./links.js";
import { attempt } from "./problems.js";
import { shortText, timeAttributes } from "./time.js";

const STATUS = { OPEN: "Open", CLOSED: "Closed" };
const ROLES = { AGENT: "Agent", ADMIN: "Administrator", CUSTOMER: "Customer" };

export class About {
  #app;
  #box = place("about");
  #drawn;

  constructor(app) {
    this.#app = app;
  }

  draw(row) {
    const isShown = Boolean(row) && this.#app.aboutIsOpen;
    const focused = this.#box.contains(document.activeElement) && nameOf(document.activeElement);
    this.#box.hidden = !isShown;
    // The focus must not fall to the page's start.
    if (!isShown && focused) this.#app.thread.focusDetails();
    if (!isShown) return;
    const signature = JSON.stringify(row);
    if (signature === this.#drawn) return;
    this.#drawn = signature;
    const parts = [
      make("div", { class: "about-head" }, make("h2", {}, "Details"),
        iconButton("cross", "Close details", () => this.#app.toggleAbout(false))),
      this.#face(row), make("div", { class: "buttons" }, this.#app.thread.actions(row)), row.type === "SUPPORT" && visitor(row), this.#people(row), this.#facts(row),
    ];
    this.#box.replaceChildren(...parts.filter(Boolean));
    const places = [...this.#box.querySelectorAll("a, button")];
    if (focused) (places.find((one) => nameOf(one) === focused) ?? places[0]).focus();
  }

  #face(row) {
    const face = faceOf(row, this.#app.queue.me);
    return make("div", { class: "face" }, avatar(face, { big: true }), make("p", { class: "name", dir: "auto" }, face.username),
      row.type !== "GROUP" && make("p", { class: face.isOnline ? "presence on" : "presence" }, face.isOnline ? "Online" : "Offline"));
  }

  #people(row) {
    const isGroup = row.type === "GROUP";
    const shown = isGroup ? row.participants : row.participants.filter((one) => one.role !== "CUSTOMER" || row.type === "DIRECT");
    return make("section", {}, make("h3", {}, isGroup ? `People (${shown.length})` : "Taking part"),
      shown.length === 0 && make("p", { class: "quiet" }, "No agent yet"),
      make("ul", { class: "people", role: "list" }, shown.map((one) => make("li", {}, avatar(one),
        make("span", {}, make("bdi", {}, one.username), one.id === this.#app.user.id && " (you)",
          make("span", { class: "quiet" }, ROLES[one.role] ?? ""))))),
      isGroup && row.status === "OPEN" && make("div", { class: "buttons" },
        make("button", { type: "button", onclick: () => this.#app.people.add(row) }, "Add people"),
        make("button", { type: "button", onclick: () => this.#leave(row) }, "Leave")));
  }

  #facts(row) {
    const facts = [
      ["Status", STATUS[row.status] ?? row.status],
      row.type === "SUPPORT" && ["Assigned to", row.assignee?.username ?? "Nobody"],
      ["Started", make("time", timeAttributes(row.createdAt), shortText(row.createdAt))],
      ["Last change", make("time", timeAttributes(row.updatedAt), shortText(row.updatedAt))],
    ];
    return make("section", {}, make("h3", {}, "Conversation"), list(facts));
  }

  async #leave(row) {
    if (!confirm(`Leave “${titleOf(row, this.#app.queue.me)}”? You will not be able to read it any more.`)) return;
    await attempt(async () => {
      await this.#app.client.request("POST", `/api/conversations/${row.id}/leave`);
      this.#app.queue.drop(row.id);
      this.#app.go("team");
    });
  }
}

/** Of a button or a link. */
const nameOf = (element) => element.getAttribute("aria-label") ?? element.textContent;

function visitor(row) {
  const { name, email, page } = row.visitor ?? {};
  const address = page && webAddress(page.url);
  const text = page && (page.title || page.url);
  return make("section", {}, make("h3", {}, "Visitor"), list([
    ["Name", name || visitorOf(row)?.username],
    email && ["E-mail", email],
    page && ["Page", address
      ? make("span", {}, link(address, make("bdi", {}, text)), text !== page.url && make("span", { class: "quiet address" }, page.url))
      : make("span", {}, text)],
  ]), email && make("p", { class: "quiet note" }, icon("alert"), "The visitor wrote this; nobody has checked it."));
}

function list(facts) {
  return make("dl", {}, facts.filter(Boolean).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, value)))));
}
