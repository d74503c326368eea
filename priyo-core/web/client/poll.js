// Asking over and over, where no socket goes through.

/** So far back it is looked what has become of one's own messages. */
const RECEIPTS = 50;
const PAGE = 200;

/** Asks until `isWanted()` says no. `tell(true)` when there are answers, `tell(false)` when there are none any more. */
export async function poll(core, isWanted, tell) {
  const { account, link, page } = core;
  const { poll: shortest, waitMax } = page.times;
  let wait = shortest;
  while (isWanted()) {
    try {
      const isBack = !link.isPolled;
      if (isBack) await account.token();
      const isNew = await round(core);
      if (!isWanted()) return;
      wait = isNew || isBack ? shortest : Math.min(wait * 1.3, waitMax);
      if (isBack) tell(true);
    } catch (error) {
      if (error.code === "signed_out" || !isWanted()) return;
      tell(false);
      wait = Math.max(error.retryAfter ?? 0, Math.min(wait * 2, waitMax));
    }
    await link.pause(wait);
  }
}

/** Says whether anything was new. Of many conversations the list tells which of them to ask for. */
async function round({ client, handles }) {
  const followed = [...handles.values()].filter((handle) => handle.isFollowed);
  const heads = new Map();
  if (followed.length !== 1) {
    const { conversations } = await client.conversations.list({ limit: PAGE, scope: "own" });
    for (const view of conversations) heads.set(view.id, view.lastSeq);
  }
  let isNew = false;
  for (const handle of followed) {
    const isCaughtUp = handle.isReady && heads.get(handle.id) === handle.have;
    if (!isCaughtUp && (await handle.catchUp())) isNew = true;
  }
  return isNew;
}

/** Brings a conversation what it has missed. */
export async function ask({ client }, handle) {
  const open = handle.messages.slice(-RECEIPTS).find(({ seq, mine, state }) => seq && mine && state !== "read");
  let after = Math.min(handle.have, open ? open.seq - 1 : Infinity);
  for (let hasMore = true; hasMore && handle.isFollowed;) {
    const page = await client.request("GET", handle.path, { query: { after, limit: PAGE } });
    handle.take(page.messages);
    ({ hasMore } = page);
    after = page.messages.at(-1)?.seq;
  }
}
