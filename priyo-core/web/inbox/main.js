// The inbox: who is signed in, and the parts of the page that they get to see.

import { Client } from "../client.js";
import { App } from "./app.js";
import { draw, place } from "./dom.js";
import { askToSignIn } from "./login.js";

// The page is `/inbox`, perhaps under a prefix; the routes are beside it.
const client = new Client({ url: new URL(".", location.href).href.replace(/\/$/, "") });

const isAgent = (user) => user?.role === "AGENT" || user?.role === "ADMIN";

/** Shows the page for whom it is, and the form of signing in to everybody else. */
async function start(user, note) {
  let problem = note;
  while (!isAgent(user)) {
    if (user) {
      // Left signed in, a customer's login would wait here for whoever comes next.
      await client.logout().catch(() => {});
      problem = `${user.username} is a customer: this page is for agents.`;
    }
    show("login");
    user = await askToSignIn(client, problem);
    problem = undefined;
  }
  show("app");
  const app = new App(client, user);
  const stop = client.on("user", (now) => {
    if (now?.id === user.id) return;
    stop();
    app.close();
    start(now, "You have been signed out.");
  });
}

function show(part) {
  for (const id of ["starting", "login", "app"]) place(id).hidden = id !== part;
}

draw();
start(await client.resume().catch(() => null));
