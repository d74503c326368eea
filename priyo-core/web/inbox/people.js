// Starting a conversation, and adding people to one.

import { avatar, iconButton, make, place } from "./dom.js";
import { problemText } from "./problems.js";

const ASK_AFTER_MS = 200;
const SHOWN_MAX = 50;

export class People {
  #app;
  #sheet = place("new");
  #chosen = new Map();
  #found = [];
  #timer;

  constructor(app) {
    this.#app = app;
  }

  close() {
    if (this.#sheet.open) this.#sheet.close();
  }

  /** Asks for whom a new conversation is, and opens it. */
  start() {
    const name = make("input", { id: "new-name", maxlength: 100, autocomplete: "off" });
    const named = make("div", { class: "named", hidden: true }, make("label", { for: "new-name" }, "Name of the group (optional)"), name);
    this.#ask("New conversation", "Start", [], {
      extra: named,
      changed: () => { named.hidden = this.#chosen.size < 2; },
      act: async (participantIds) => {
        const type = participantIds.length > 1 ? "GROUP" : "DIRECT";
        const options = type === "GROUP" && name.value.trim() ? { name: name.value.trim() } : {};
        const handle = await this.#app.client.conversations.create({ participantIds, type, ...options });
        this.#app.queue.put(handle.view ?? await this.#app.client.conversations.get(handle.id));
        this.#app.go("team", handle.id);
      },
    });
  }

  /** Asks whom to add to a group. */
  add(row) {
    this.#ask("Add people", "Add", row.participants.map(({ id }) => id), {
      act: async (userIds) => {
        const path = `/api/conversations/${row.id}/participants`;
        const { conversation } = await this.#app.client.request("POST", path, { body: { userIds } });
        this.#app.queue.put(conversation);
      },
    });
  }

  #ask(title, verb, without, { extra, changed, act }) {
    this.#chosen.clear();
    const problem = make("p", { class: "problem", role: "alert", hidden: true });
    const list = make("ul", { class: "choices", role: "list" });
    const button = make("button", { type: "submit", class: "primary", disabled: true }, verb);
    const draw = () => {
      button.disabled = this.#chosen.size === 0;
      const shown = [...this.#chosen.values(), ...this.#found.filter(({ id }) => !this.#chosen.has(id))]
        .filter(({ id }) => !without.includes(id) && id !== this.#app.user.id).slice(0, SHOWN_MAX);
      list.replaceChildren(...shown.map((person) => this.#choice(person, () => {
        button.disabled = this.#chosen.size === 0;
        changed?.();
      })));
      if (shown.length === 0) list.append(make("li", { class: "quiet" }, "Nobody of this name."));
    };
    const search = make("input", { id: "new-search", type: "search", autocomplete: "off", spellcheck: "false",
      oninput: () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#find(search.value.trim()).then(draw), ASK_AFTER_MS);
      } });
    const form = make("form", { onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      problem.hidden = true;
      try {
        await act([...this.#chosen.keys()]);
        this.close();
      } catch (error) {
        problem.textContent = problemText(error);
        problem.hidden = false;
        button.disabled = false;
      }
    } },
      make("div", { class: "sheet-head" }, make("h2", { id: "new-title" }, title), iconButton("cross", "Close", () => this.close())),
      make("label", { for: "new-search" }, "Find people by name"), search,
      make("fieldset", {}, make("legend", { class: "hidden" }, "People"), list),
      extra, problem, make("div", { class: "buttons" }, button));
    this.#sheet.replaceChildren(form);
    this.#sheet.showModal();
    search.focus();
    this.#find("").then(draw);
  }

  #choice(person, changed) {
    const box = make("input", { type: "checkbox", onchange: () => {
      if (box.checked) this.#chosen.set(person.id, person);
      else this.#chosen.delete(person.id);
      changed();
    } });
    box.checked = this.#chosen.has(person.id);
    return make("li", {}, make("label", { class: "choice" }, box, avatar(person),
      make("span", {}, make("bdi", {}, person.username), person.email && make("span", { class: "quiet" }, person.email))));
  }

  /** Colleagues as the server lists them; where it lists none to this user, those who have been met. */
  async #find(text) {
    const { client, user } = this.#app;
    const query = text ? { q: text } : {};
    try {
      const { users } = user.role === "ADMIN"
        ? await client.request("GET", "/api/users", { query: { ...query, limit: SHOWN_MAX } })
        : await client.request("GET", "/api/inbox/people", { query });
      this.#found = users.filter((one) => !one.disabled);
    } catch {
      this.#found = this.#app.queue.peopleMet().filter(({ username }) => username.toLowerCase().includes(text.toLowerCase()));
    }
  }
}
