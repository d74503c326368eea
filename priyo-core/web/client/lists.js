// Lists of conversations, and new ones.

export async function list({ client, seen }, { limit, cursor, scope } = {}) {
  const page = await client.request("GET", "/api/conversations", { query: { limit, cursor, scope } });
  page.conversations.forEach(seen);
  return page;
}

export async function create({ client, seen }, body) {
  try {
    return seen((await client.request("POST", "/api/conversations", { body })).conversation);
  } catch (error) {
    if (error.code !== "direct_exists") throw error;
    return client.conversation(error.data.conversationId);
  }
}
