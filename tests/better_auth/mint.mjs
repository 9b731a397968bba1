// Prints a token signed with the shared secret, without the jwt plugin.

import { SignJWT } from "jose";

const [secret, subject] = process.argv.slice(2);
const token = await new SignJWT({ sub: subject })
  .setProtectedHeader({ alg: "HS256" })
  .setIssuedAt()
  .setExpirationTime("15m")
  .sign(new TextEncoder().encode(secret));
console.log(token);
