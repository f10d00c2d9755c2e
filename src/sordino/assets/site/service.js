// Keeps the page in the browser, so that it works without its server. SITE, with its version and files, stands above.
"use strict";

// All pages of one server share the store of their browser; the scope tells them apart.
const PREFIX = `sordino ${self.registration.scope} `;
const NAME = PREFIX + SITE.version;
const FOLDER = "./";

async function keep() {
  const store = await caches.open(NAME);
  const fresh = (file) => new Request(file, { cache: "no-cache" });
  await store.addAll(SITE.files.filter((file) => file !== FOLDER).map(fresh));
  await store.add(fresh(FOLDER)).catch(() => {}); // some servers show no page for a folder
}

async function tidy() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function answer(request) {
  const store = await caches.open(NAME);
  return (await store.match(request, { ignoreSearch: true })) || fetch(request);
}

// A new version waits until no tab shows the one before: a page never runs with scripts of another.
self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(tidy()));
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});
