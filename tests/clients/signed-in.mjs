// What a browser and Next.js do for the files of the README: a browser keeps the cookie
// of the session, here the first argument, and a bundler finds files without their ending.

import { registerHooks } from "node:module";

registerHooks({
  resolve: (specifier, context, next) =>
    next(/^\.\/[a-z-]+$/.test(specifier) ? `${specifier}.ts` : specifier, context),
});
const { fetch } = globalThis;
globalThis.fetch = (resource, init) => {
  const request = new Request(resource, init);
  if (request.url.startsWith(process.env.BETTER_AUTH_URL)) {
    request.headers.set("Cookie", process.argv[2]);
  }
  return fetch(request);
};
await import("./lib/pending.ts");
