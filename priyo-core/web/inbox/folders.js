// The folders: what is in each, and how its list is read.

/** In the order of the page; `key` is the digit that opens it. */
export const FOLDERS = [
  { name: "waiting", title: "Waiting", icon: "waiting", state: "unassigned",
    empty: ["Nobody is waiting", "New conversations from your website appear here as they come."] },
  { name: "mine", title: "Mine", icon: "mine", state: "mine",
    empty: ["Nothing is on your desk", "Claim a waiting conversation, and it moves here."] },
  { name: "open", title: "Open", icon: "open", state: "open",
    empty: ["No open conversations", "Everything that visitors asked has been answered and closed."] },
  { name: "closed", title: "Closed", icon: "closed", state: "closed",
    empty: ["Nothing is closed yet", "Closed conversations stay readable here. They reopen when the visitor writes again."] },
  { name: "team", title: "Team", icon: "team",
    empty: ["No conversations yet", "Write to a colleague, or to several at once."] },
];

/** The folder of this name, or the first. */
export const folderNamed = (name) => FOLDERS.find((folder) => folder.name === name) ?? FOLDERS[0];

/** Whether a conversation belongs into a folder. */
export function holds(folder, row, me) {
  if (row.type !== "SUPPORT") return folder === "team" && row.participants.some(({ id }) => id === me);
  switch (folder) {
    case "waiting": return row.status === "OPEN" && !row.assignee;
    case "mine": return row.status === "OPEN" && row.assignee?.id === me;
    case "open": return row.status === "OPEN";
    case "closed": return row.status === "CLOSED";
    default: return false;
  }
}

/** The order of every folder, which is the server's: the newest activity first. Times and ids sort as text. */
export function newestFirst(one, other) {
  return compare(other.updatedAt, one.updatedAt) || compare(other.id, one.id);
}

const compare = (one, other) => (one < other ? -1 : Number(one > other));

/** Who wrote from outside: the customer of a SUPPORT conversation. */
export const visitorOf = (row) => row.participants?.find(({ role }) => role === "CUSTOMER");

/** What a conversation is called. */
export function titleOf(row, me) {
  if (row.type === "SUPPORT") {
    return row.visitor?.name || row.visitor?.email || visitorOf(row)?.username || "Visitor";
  }
  const others = row.participants.filter(({ id }) => id !== me).map(({ username }) => username);
  return row.name || others.join(", ") || "Only you";
}

/** Whose picture stands for it. */
export function faceOf(row, me) {
  const title = titleOf(row, me);
  if (row.type === "GROUP") return { id: row.id, username: title };
  const other = (row.type === "SUPPORT" && visitorOf(row)) || row.participants.find(({ id }) => id !== me);
  return { id: other?.id ?? row.id, username: title, isOnline: row.visitor?.isOnline ?? other?.isOnline };
}
