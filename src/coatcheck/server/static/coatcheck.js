// An access token for this page: kept in memory, renewed once for all tabs, ended in all of them. No dependency.
//
//   import { Tokens } from "/static/coatcheck.js";
//   const orders = new Tokens({ audience: "orders", onEnd: () => location.assign("/sign-in") });
//   const answer = await orders.fetch("https://orders.example.com/mine");
//
// Rules of this module:
//
// 1. A token is in memory and in nothing else: not in storage, an address, the console or an error.
// 2. One tab renews, under a lock that all tabs share, and tells the others what it got.
// 3. A 401 leads to one renewal and one more try at most; to none where the refused token had only just been made, so
//    that a service which refuses everything is not asked in a circle.
// 4. Who is signed out asks for nothing more until the page says that somebody has signed in.
// 5. What was asked for before that is of somebody else, whenever the answer comes. So tabs name the sign-in they know of,
//    and hear only what is said of the same one.

const SPARE_MS = 30_000; // renewed this long before its end, or a fifth of its life where that is shorter
const YOUNG_MS = 5_000;
const ANSWER_MS = 50; // what another tab has to answer in
const CALL_MS = 10_000;
const LOOK_MS = 10_000; // at most so often is asked whether the session lives, when the page is shown again
const LONGEST_WAIT_MS = 30_000;

/** The session has ended. */
export class SignedOut extends Error {
  name = "SignedOut";
}

/** Not just now: the server is away or busy. `retryAfterMs` says when to try again. */
export class Unavailable extends Error {
  name = "Unavailable";
  constructor(message, retryAfterMs) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Never: pages get no token for that audience. `code` is the server's. */
export class Misconfigured extends Error {
  name = "Misconfigured";
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

const NO_LOCKS = { request: (name, work) => work() }; // an old browser: each tab renews for itself

/** The access token of one audience, for as long as the page is open. */
export class Tokens {
  #audience;
  #server;
  #onEnd;
  #token = null; // { text, from, until }: milliseconds of Date.now()
  #ended = false;
  #signIn = null; // a name for the sign-in that the page told us of; null before it has told any
  #renewing = null;
  #quietUntil = 0;
  #failures = 0;
  #refusal = null;
  #lookedAt = 0;
  #channel;
  #answered = () => {};
  #shown = () => document.visibilityState === "visible" && this.look();

  /**
   * @param {string} audience Whom the tokens are for: one that the server has registered for browsers.
   * @param {string} [server] Where Coatcheck's server is, below this origin: "" or "/auth".
   * @param {(reason: string) => void} [onEnd] Called once when the session has ended, here or elsewhere.
   */
  constructor({ audience, server = "", onEnd = () => {} }) {
    if (typeof audience !== "string" || audience === "") throw new TypeError("audience: name whom the tokens are for");
    this.#audience = audience;
    this.#server = server;
    this.#onEnd = onEnd;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    document.addEventListener("visibilitychange", this.#shown);
  }

  get #name() {
    return `coatcheck ${this.#server} ${this.#audience}`;
  }

  /** Whether the session has ended, as far as this page has heard. */
  get ended() {
    return this.#ended;
  }

  /**
   * Return an access token that counts for a while.
   * @throws {SignedOut} The session has ended. {Unavailable} Try again later. {Misconfigured} It will never work.
   */
  async get() {
    return (await this.#current(null)).text;
  }

  /**
   * Like the global fetch, with the token. A refused token is renewed, once; what the service answers then is the answer.
   * Give only addresses of the service that the token is for: whoever gets it can use it.
   */
  async fetch(input, init) {
    const request = new Request(input, init);
    const token = await this.#current(null);
    const answer = await send(request.clone(), token);
    if (!isTokenRefused(answer)) return answer;
    if (Date.now() - token.from < YOUNG_MS) {
      await this.look(); // it was not its age: has the session ended, or is the service wrong about us?
      return answer;
    }
    try {
      return await send(request, await this.#current(token.text));
    } catch {
      return answer; // the page has heard of the end; of anything else the next call will tell
    }
  }

  /** Ask whether the session lives; the page is told if it does not. Happens by itself when the page is shown again. */
  async look() {
    if (this.#ended || Date.now() - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = Date.now();
    try {
      const signIn = this.#signIn;
      const answer = await this.#call("GET", "/api/session");
      if (answer.status === 401 && signIn === this.#signIn) this.#end();
    } catch {
      // The network is away for a moment; that says nothing about the session.
    }
  }

  /** The page has signed out: every tab forgets its token. */
  signedOut() {
    this.#end();
  }

  /** The page has signed somebody in: whatever was known is of somebody else. */
  signedIn() {
    this.#begin(crypto.randomUUID());
    this.#say("begin");
  }

  /** Forget everything, and hear nothing more. */
  close() {
    this.#token = null;
    this.#channel.close();
    document.removeEventListener("visibilitychange", this.#shown);
  }

  // --- between tabs ---

  #say(kind, more) {
    this.#channel.postMessage({ kind, signIn: this.#signIn, ...more });
  }

  #hear(said) {
    if (said.kind === "begin") return this.#begin(said.signIn);
    if (said.kind === "ask") return this.#has(said.not) ? this.#tell() : undefined;
    const isOurs = said.signIn === this.#signIn;
    if (said.kind === "end") return isOurs ? this.#end({ isNews: false }) : undefined;
    // A tab that was opened later has not heard the name, and learns it with its first token.
    if (!isOurs && (this.#signIn !== null || this.#token !== null)) return undefined;
    if (!this.#ended && said.token.until > (this.#token?.until ?? 0)) {
      this.#signIn = said.signIn;
      this.#token = said.token;
      this.#answered();
    }
    return undefined;
  }

  #tell() {
    this.#say("token", { token: this.#token });
  }

  #end({ isNews = true } = {}) {
    if (this.#ended) return;
    this.#ended = true;
    this.#token = null;
    if (isNews) this.#say("end");
    this.#onEnd(isNews ? "here" : "elsewhere");
  }

  #begin(signIn) {
    this.#signIn = signIn;
    this.#token = this.#refusal = null;
    this.#ended = false;
    this.#quietUntil = this.#failures = this.#lookedAt = 0;
  }

  // --- renewing ---

  #has(not) {
    const token = this.#token;
    if (token === null || token.text === not) return false;
    return Date.now() < token.until - Math.min(SPARE_MS, (token.until - token.from) / 5);
  }

  async #current(not) {
    if (this.#ended) throw new SignedOut("the session has ended");
    if (this.#has(not)) return this.#token;
    this.#renewing ??= this.#renew(not).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew(not) {
    return (navigator.locks ?? NO_LOCKS).request(this.#name, async () => {
      if (!this.#has(not)) await this.#askOthers(not); // who held the lock before us has one now
      if (this.#ended) throw new SignedOut("the session has ended");
      return this.#has(not) ? this.#token : this.#fetchToken();
    });
  }

  async #askOthers(not) {
    await new Promise((resolve) => {
      this.#answered = resolve;
      setTimeout(resolve, ANSWER_MS);
      this.#say("ask", { not });
    });
    this.#answered = () => {};
  }

  async #fetchToken() {
    const waitMs = this.#quietUntil - Date.now();
    if (this.#refusal !== null) throw this.#refusal;
    if (waitMs > 0) throw new Unavailable("not again so soon", waitMs);
    const signIn = this.#signIn;
    const answer = await this.#call("POST", "/api/token", { audience: this.#audience }).catch(() => null);
    const said = await answer?.json().catch(() => ({}));
    if (signIn !== this.#signIn) return this.#fetchToken(); // somebody has signed in meanwhile
    if (answer === null) throw this.#fail("the server cannot be reached");
    if (answer.ok) return this.#take(said);
    if (answer.status === 401) {
      this.#end();
      throw new SignedOut("the session has ended");
    }
    if (answer.status === 429 || answer.status >= 500) {
      throw this.#fail("the server is busy, or away", 1000 * Number(answer.headers.get("retry-after")));
    }
    const { code = `status ${answer.status}` } = said;
    this.#refusal = new Misconfigured(`no token for the audience ${this.#audience}: ${code}`, code);
    throw this.#refusal;
  }

  #take({ access_token: text, expires_in: livesS }) {
    if (typeof text !== "string" || !(livesS > 0)) throw this.#fail("that was not the answer of a Coatcheck server");
    const from = Date.now();
    this.#token = { text, from, until: from + 1000 * livesS };
    this.#failures = 0;
    this.#tell();
    return this.#token;
  }

  #fail(message, afterMs = 0) {
    this.#failures += 1;
    const waitMs = afterMs > 0 ? afterMs : Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.#failures);
    this.#quietUntil = Date.now() + waitMs;
    return new Unavailable(message, waitMs);
  }

  #call(method, path, body) {
    return fetch(this.#server + path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error", // to a page with a form, say: that is no answer
      signal: AbortSignal.timeout(CALL_MS),
    });
  }
}

function send(request, token) {
  const headers = new Headers(request.headers);
  headers.set("authorization", `Bearer ${token.text}`);
  return fetch(new Request(request, { headers }));
}

/** RFC 6750, section 3.1. A service of another origin may hide the header from us; then it is taken to be about the token. */
function isTokenRefused(answer) {
  if (answer.status !== 401) return false;
  const challenge = answer.headers.get("www-authenticate");
  return challenge === null || /\bBearer\b.*\berror="?invalid_token\b/i.test(challenge);
}
