// Files: how they go up, and the links to them.

import { PriyoError, parsed, refusal } from "./page.js";

/** Uploads a file. By XMLHttpRequest, since `fetch` does not tell how far it is. */
export function upload(page, file, token, { onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new PriyoError("aborted"));
    const form = new FormData();
    form.append("file", file);
    const request = new (page.global("XMLHttpRequest"))();
    request.open("POST", `${page.url}/api/upload`);
    request.setRequestHeader("authorization", `Bearer ${token}`);
    if (onProgress) {
      request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    }
    request.onload = () => {
      const [{ status }, data] = [request, parsed(request.responseText)];
      if (status === 200 && data) return resolve(data.file);
      reject(refusal(status, data, request.getResponseHeader("retry-after")));
    };
    request.onerror = () => reject(new PriyoError("offline"));
    request.onabort = () => reject(new PriyoError("aborted"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** A link to a message's file that is good for a while. */
export async function link(client, { id, seq, conversationId, fileUrl }, { thumb } = {}) {
  if (!fileUrl) throw new PriyoError("not_found", "There is no file");
  let url = new URL(fileUrl);
  if (url.searchParams.get("exp") * 1000 < Date.now() + 60_000) {
    const query = { before: seq + 1, limit: 1 };
    const { messages } = await client.request("GET", `/api/messages/${encodeURIComponent(conversationId)}`, { query });
    if (messages[0]?.id !== id) throw new PriyoError("not_found", "There is no file");
    url = new URL(client.absolute(messages[0].fileUrl));
  }
  if (thumb) url.searchParams.set("size", "thumb");
  return url.href;
}
