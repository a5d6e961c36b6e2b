// Caches the folder's files, so that the page opens without a network. Only GETs of this folder are handled.

const scope = new URL("./", self.location).href;

/** One cache per page.json, so that a page that was written again does not use the files of an earlier one. */
async function current() {
  const response = await fetch(new URL("page.json", scope), { cache: "no-cache" });
  const text = await response.clone().text();
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const name = `candor-${scope}-${[...new Uint8Array(hash)].slice(0, 8).map((b) => b.toString(16)).join("")}`;
  return { name, files: JSON.parse(text).files };
}

self.addEventListener("install", (event) => {
  const keep = async () => {
    const { name, files } = await current();
    const cache = await caches.open(name);
    await cache.addAll(["./", ...files].map((file) => new URL(file, scope).href));
    const old = (await caches.keys()).filter((n) => n.startsWith(`candor-${scope}`) && n !== name);
    await Promise.all(old.map((n) => caches.delete(n)));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || !event.request.url.startsWith(scope)) return;
  // The network first, so that a page that was written again is used; the cache if there is no network.
  const answer = async () => {
    try {
      return await fetch(event.request);
    } catch (error) {
      const kept = await caches.match(event.request, { ignoreSearch: true });
      if (kept) return kept;
      throw error;
    }
  };
  event.respondWith(answer());
});
