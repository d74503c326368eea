// Signing in with a password, and the two tokens of a login.

import { PriyoError, SEEN, call, lifetime, sleep } from "./page.js";

function keep(page, { expiresIn, ...tokens }, user) {
  page.set("login", { ...tokens, ...lifetime(expiresIn), user });
}

export async function login(page, email, password) {
  const { user, tokens } = await call(page, "POST", "/api/auth/login", { body: { email, password } });
  keep(page, tokens, user);
  return user;
}

/** Gives a good access token. One tab uses a refresh token up, and the others find the tokens that it got. */
export function refresh(page, refused) {
  return page.alone("tokens", async () => {
    const before = page.get("login");
    if (!before) throw new PriyoError("signed_out", "The login is over", 401);
    if (before.accessToken !== refused && Date.now() < before.renewAt) return before.accessToken;
    try {
      const body = { refreshToken: before.refreshToken };
      const { tokens } = await call(page, "POST", "/api/auth/refresh", { body });
      // Whoever has signed out meanwhile stays out: others may use this computer.
      if (page.get("login")?.user.id !== before.user.id) {
        call(page, "POST", "/api/auth/logout", { token: tokens.accessToken }).catch(() => {});
        throw new PriyoError("signed_out", "The login is over");
      }
      keep(page, tokens, before.user);
      // Who waits for its turn must find them.
      await sleep(SEEN);
      return tokens.accessToken;
    } catch (error) {
      // Without locks another tab may have been faster.
      const now = page.get("login");
      if (error.status !== 401 || !now || now.refreshToken === before.refreshToken) throw error;
      return now.accessToken;
    }
  });
}
