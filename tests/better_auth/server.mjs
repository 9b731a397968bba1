// Better Auth as a frontend runs it, one per instance: users sign up by e-mail, the jwt
// plugin signs tokens and publishes keys. All instances share one database with the
// service; each has its own keys.

import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";
import pg from "pg";

const { database, secret, instances } = JSON.parse(process.argv[2]);
const pool = new pg.Pool({ connectionString: database });

for (const { name, port, jwks, session } of instances) {
  const schema = { jwks: { modelName: `jwks_${name}` } };
  const options = {
    baseURL: `http://127.0.0.1:${port}`,
    secret,
    database: pool,
    emailAndPassword: { enabled: true },
    session,
    plugins: [jwt({ jwks, schema })],
  };
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  const server = createServer(toNodeHandler(betterAuth(options)));
  await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
}
console.log("ready");
