// Runs the files of the README outside a browser and Next.js: sends the session cookie,
// which is the first argument, and resolves imports without a file extension.

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
