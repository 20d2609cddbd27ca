// better-auth on Node: sessions in PostgreSQL, with its cookie cache or without; "bare" is Node and nobody who asks.

import { createServer } from "node:http";

const variant = process.env.BENCH_VARIANT;
const port = Number(process.argv[2]);

function answer(response, status, body, headers = {}) {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": text.length, ...headers });
  response.end(text);
}

async function bare(request, response) {
  answer(response, 200, { sub: "maria" });
}

async function withBetterAuth() {
  const { betterAuth } = await import("better-auth");
  const { getMigrations } = await import("better-auth/db/migration");
  const { fromNodeHeaders, toNodeHandler } = await import("better-auth/node");
  const { default: pg } = await import("pg");

  const options = {
    database: new pg.Pool({ connectionString: process.env.BENCH_POSTGRES }),
    baseURL: `http://127.0.0.1:${port}`,
    secret: "of a benchmark, and as long as it should be: 0123456789abcdef",
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    logger: { disabled: true },
    // Hashing is left out here as it is everywhere else: what is measured is the session.
    emailAndPassword: {
      enabled: true,
      password: { hash: async () => "none", verify: async () => true },
    },
    session: { expiresIn: 14 * 86_400, cookieCache: { enabled: variant === "cookie-cache", maxAge: 5 * 60 } },
  };
  const { runMigrations } = await getMigrations(options);
  await runMigrations().catch(() => {}); // another worker is making the tables
  const auth = betterAuth(options);
  const body = { email: "maria@example.com", password: "correct horse", name: "Maria" };
  await auth.api.signUpEmail({ body }).catch(() => {}); // she is there already

  const cookiesOf = (headers) => ({ "set-cookie": headers.getSetCookie() });
  return async (request, response) => {
    const url = new URL(request.url, `http://127.0.0.1:${port}`);
    const headers = fromNodeHeaders(request.headers);
    if (url.pathname === "/me") {
      const session = await auth.api.getSession({ headers });
      return answer(response, session ? 200 : 401, { sub: session?.user.id });
    }
    if (url.pathname === "/sign-in") {
      const done = await auth.api.signInEmail({ body, headers, returnHeaders: true });
      return answer(response, 200, {}, cookiesOf(done.headers));
    }
    if (url.pathname === "/sign-out") {
      const done = await auth.api.signOut({ headers, returnHeaders: true });
      return answer(response, 200, {}, cookiesOf(done.headers));
    }
    if (url.pathname === "/fill") {
      const context = await auth.$context;
      const { user } = await context.internalAdapter.findUserByEmail("maria@example.com");
      for (let i = 0; i < Number(url.searchParams.get("n")); i++) await context.internalAdapter.createSession(user.id);
      return answer(response, 200, {});
    }
    return toNodeHandler(auth)(request, response);
  };
}

const handle = variant === "bare" ? bare : await withBetterAuth();
createServer((request, response) => {
  handle(request, response).catch((error) => answer(response, 500, { error: String(error) }));
}).listen(port, "127.0.0.1", () => console.log("ready"));
