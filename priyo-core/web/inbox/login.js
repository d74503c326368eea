// Signing in.

import { place } from "./dom.js";
import { problemText } from "./problems.js";

/** Resolves with the user, once the server knows them. */
export function askToSignIn(client, note) {
  const form = place("login-form");
  const button = form.querySelector("button");
  const problem = place("login-problem");
  const say = (text) => {
    problem.textContent = text ?? "";
    problem.hidden = !text;
  };
  say(note);
  form.elements.password.value = "";
  (form.elements.email.value ? form.elements.password : form.elements.email).focus();
  return new Promise((found) => {
    const elsewhere = new AbortController();
    const resolve = (user) => {
      elsewhere.abort();
      form.onsubmit = null;
      form.elements.password.value = "";
      found(user);
    };
    // Whoever signs in in another tab is signed in here too.
    addEventListener("storage", async () => {
      const user = await client.resume().catch(() => null);
      if (user) resolve(user);
    }, { signal: elsewhere.signal });
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      button.disabled = true;
      say();
      try {
        resolve(await client.login(form.elements.email.value.trim(), form.elements.password.value));
      } catch (error) {
        say(problemText(error));
        form.elements.password.select();
      } finally {
        button.disabled = false;
      }
    };
  });
}
