// The guide's one data file: questions, rules, verdicts, figures, starting code. The page reads it as a module, the command
// as JSON (coatcheck/tools/guide.py): what stands between "GUIDE = " and the last semicolon is JSON and nothing else.
//
// Rules: a condition is a list of which one must hold, each of them all of its answers. A question that is not asked has no
// answer. The first rule that holds is the verdict; of the reasons and of what one gives up, all that hold are shown.

export const GUIDE = {
  "questions": [
    {
      "id": "backends",
      "short": "Backends",
      "text": "One backend or many?",
      "help": "Whatever must know who is asking.",
      "answers": [
        { "id": "one", "short": "one", "text": "One application" },
        { "id": "cluster", "short": "cluster", "text": "A small cluster: the same application in several processes or machines" },
        { "id": "many", "short": "many", "text": "Several services of our own" },
        { "id": "federation", "short": "federation", "text": "Services of other organisations, too" }
      ]
    },
    {
      "id": "verify",
      "short": "Who verifies?",
      "text": "Who verifies a request?",
      "help": "Services that can reach one store need no tokens: each check is answered from memory there, too.",
      "asked": [{ "backends": ["many"] }],
      "answers": [
        { "id": "store", "short": "with the store", "text": "Services that can reach our session store, or stand behind one that does" },
        { "id": "alone", "short": "each alone", "text": "Each service by itself, with a public key and without our store" }
      ]
    },
    {
      "id": "clients",
      "short": "Clients",
      "text": "Are there clients without cookies?",
      "help": "Apps, command lines, other servers. A page in a browser has cookies.",
      "answers": [
        { "id": "browsers", "short": "browsers", "text": "No: pages in browsers only" },
        { "id": "programs", "short": "programs", "text": "Yes, all of them: programs only" },
        { "id": "both", "short": "both", "text": "Both: pages in browsers, and programs" }
      ]
    },
    {
      "id": "sign_out",
      "short": "Sign-out",
      "text": "Must a sign-out be instant?",
      "help": "Also: a stolen device, a dismissal, a changed password.",
      "answers": [
        { "id": "instant", "short": "instant", "text": "Yes: the very next request is refused, everywhere" },
        { "id": "delay", "short": "minutes later", "text": "No: some minutes later is soon enough" }
      ]
    },
    {
      "id": "feed",
      "short": "Feed",
      "text": "Can those services listen to a feed?",
      "help": "Coatcheck's feed is one long poll to the issuer that brings keys and revocations. Without it a token counts until it ends.",
      "asked": [
        { "backends": ["federation"], "sign_out": ["instant"] },
        { "verify": ["alone"], "sign_out": ["instant"] }
      ],
      "answers": [
        { "id": "yes", "short": "yes", "text": "Yes: they keep a connection to the issuer" },
        { "id": "no", "short": "no", "text": "No: they know a public key and nothing else" }
      ]
    },
    {
      "id": "rotation",
      "short": "Rotation",
      "text": "Will you run rotation?",
      "help": "Clients that keep a refresh token safely, swap it every 15 minutes, and take part in a change of keys. The engine does its half.",
      "asked": [
        { "clients": ["programs", "both"] },
        { "backends": ["federation"] },
        { "verify": ["alone"] }
      ],
      "answers": [
        { "id": "yes", "short": "yes", "text": "Yes: our clients handle it" },
        { "id": "no", "short": "no", "text": "No: as little to run as possible" }
      ]
    }
  ],
  "rules": [
    {
      "id": "cannot-be-both",
      "when": [{ "feed": ["no"] }],
      "verdict": "cookie"
    },
    {
      "id": "one-store-and-browsers",
      "when": [
        { "backends": ["one", "cluster"], "clients": ["browsers"] },
        { "verify": ["store"], "clients": ["browsers"] }
      ],
      "verdict": "cookie"
    },
    {
      "id": "stateless-without-rotation",
      "when": [
        { "backends": ["federation"], "rotation": ["no"] },
        { "verify": ["alone"], "rotation": ["no"] }
      ],
      "verdict": "hybrid"
    },
    {
      "id": "one-store-without-rotation",
      "when": [{ "rotation": ["no"] }],
      "verdict": "cookie"
    },
    {
      "id": "nobody-has-cookies",
      "when": [{ "clients": ["programs"] }],
      "verdict": "jwt"
    },
    {
      "id": "both-needs",
      "when": [{}],
      "verdict": "hybrid"
    }
  ],
  "verdicts": {
    "cookie": {
      "short": "Cookie",
      "title": "Take session cookies",
      "text": "A random ticket in a cookie that no script can read; the session stays with you.",
      "mode": "cookie"
    },
    "hybrid": {
      "short": "Hybrid",
      "title": "Take the hybrid",
      "text": "Session cookies for whoever has cookies, and short tokens made from the same session for whoever has not, or verifies alone.",
      "mode": "hybrid"
    },
    "jwt": {
      "short": "JWT",
      "title": "Take JWTs",
      "text": "A signed access token of 15 minutes, and a refresh token that changes at each use.",
      "mode": "jwt"
    }
  },
  "honesty": "Most applications should take session cookies, and most that took JWTs would be simpler with them. Change when an answer above changes, not before.",
  "reasons": [
    { "for": ["cookie"], "when": [{ "backends": ["one"] }], "text": "One application looks up its own sessions: nobody else has to understand what the browser carries." },
    { "for": ["cookie"], "when": [{ "backends": ["cluster"] }], "text": "The processes of a small cluster share one store, and each answers checks from memory." },
    { "for": ["cookie"], "when": [{ "verify": ["store"] }], "text": "Services that reach the store need no token: they check the session itself." },
    { "for": ["cookie", "hybrid"], "when": [{ "sign_out": ["instant"] }], "text": "A session that is revoked is refused at the next request: when the call returns, no process accepts it." },
    { "for": ["cookie"], "when": [{ "sign_out": ["delay"] }], "text": "You said that minutes are soon enough. You get instant sign-out anyway; it costs nothing here." },
    { "for": ["cookie"], "text": "The fewest bytes on the wire, the simplest code, no keys to look after." },
    { "for": ["cookie"], "when": [{ "feed": ["no"] }], "text": "Instant sign-out and services that check alone, without any news, cannot both be had, with any product. You said instant: so the session must be asked." },
    { "for": ["cookie"], "when": [{ "rotation": ["no"], "clients": ["programs", "both"] }], "text": "A token without a refresh token lives for days or signs people out every 15 minutes. Programs can hold a cookie, too: HTTP clients have a cookie jar." },
    { "for": ["hybrid"], "when": [{ "clients": ["both"] }], "text": "Pages keep a cookie that no script can read; programs send a bearer token. Both stand for the same session." },
    { "for": ["hybrid"], "when": [{ "clients": ["browsers"] }], "text": "A page has no safe place for a token of its own. It keeps the session cookie, and the short token is made behind it." },
    { "for": ["hybrid", "jwt"], "when": [{ "verify": ["alone"] }, { "backends": ["federation"] }], "text": "Each service verifies with a public key, and asks nobody." },
    { "for": ["hybrid"], "when": [{ "rotation": ["no"], "clients": ["browsers"] }], "text": "No refresh tokens: a new short token comes from the session by itself." },
    { "for": ["hybrid"], "when": [{ "rotation": ["no"], "clients": ["programs", "both"] }], "text": "No refresh tokens: programs keep the cookie in a cookie jar, and get a new short token with it." },
    { "for": ["hybrid"], "text": "Each part is there for a need of yours: the cookie for simplicity and safekeeping, the token for those who cannot use it." },
    { "for": ["hybrid", "jwt"], "when": [{ "feed": ["yes"] }], "text": "With the feed the next verify refuses a revoked token: instant, though each service checks alone." },
    { "for": ["jwt"], "when": [{ "backends": ["one", "cluster"] }, { "verify": ["store"] }], "text": "Nobody needs a cookie, and your own services refuse a revoked token at the next request: they have the store." },
    { "for": ["jwt"], "text": "Clients without cookies send it in a header, and no other site can make them send it." },
    { "for": ["jwt"], "text": "You handle rotation: so access tokens can be short, and a stolen refresh token shows itself." }
  ],
  "gives_up": [
    { "for": ["cookie"], "when": [{ "feed": ["no"] }], "text": "Services that check alone: put them behind the front door, or let them ask (introspection)." },
    { "for": ["cookie"], "text": "Checks without a store: when it is away, whoever memory does not know gets a 503." },
    { "for": ["cookie"], "text": "Other hosts: the cookie belongs to one host name. A service on another one needs a token." },
    { "for": ["cookie"], "when": [{ "clients": ["programs", "both"] }], "text": "Bearer tokens: programs must keep a cookie between requests." },
    { "for": ["hybrid"], "text": "Bytes: a browser sends the cookie and the token. It is the heaviest of the three." },
    { "for": ["hybrid"], "text": "Simplicity: two things to understand, an issuer, and signing keys." },
    { "for": ["hybrid", "jwt"], "when": [
      { "backends": ["federation"], "sign_out": ["delay"] },
      { "verify": ["alone"], "sign_out": ["delay"] }
    ], "text": "Instant sign-out at services that check alone: a revoked token counts there for up to 15 minutes, unless they listen to the feed." },
    { "for": ["hybrid", "jwt"], "when": [{ "feed": ["yes"] }], "text": "Independence: a service that has not heard from the issuer for 2 seconds answers 503 until it does." },
    { "for": ["hybrid", "jwt"], "when": [{ "rotation": ["yes"] }], "text": "Peace: a client that mishandles its refresh token looks like a thief, and its session ends." },
    { "for": ["jwt"], "text": "Bytes: about ten times a session cookie, at every request." },
    { "for": ["jwt"], "text": "Secrecy: whoever holds a token can read what is in it." },
    { "for": ["jwt"], "text": "The browser's safekeeping: where the client keeps its tokens is your problem." }
  ],
  "measured": { "session_token": 43, "access_token": 452, "access_cookie": 514, "refresh_token": 75 },
  "carried": {
    "cookie": [{ "line": "Cookie: __Host-session=", "of": "session_token" }],
    "hybrid": [{ "line": "Cookie: __Host-session=", "of": "session_token" }, { "line": "; __Host-access=", "of": "access_cookie" }],
    "jwt": [{ "line": "Authorization: Bearer ", "of": "access_token" }]
  },
  "bandwidth": {
    "text": "How many requests a day?",
    "usual": 1000000,
    "most": 1000000000000000,
    "note": "Header bytes as HTTP/1.1 sends them, measured with one subject and no roles; each role or claim adds to a token, never to a session cookie. HTTP/2 and 3 send a header that repeats on one connection in a byte or two."
  },
  "frameworks": [
    { "id": "starlette", "name": "Starlette", "import": ["from starlette.applications import Starlette", "from starlette.responses import JSONResponse"], "app": ["app = Starlette(lifespan=auth.lifespan)"] },
    { "id": "fastapi", "name": "FastAPI", "import": ["from fastapi import FastAPI", "from fastapi.responses import JSONResponse"], "app": ["app = FastAPI(lifespan=auth.lifespan)"] },
    { "id": "django", "name": "Django" },
    { "id": "flask", "name": "Flask" }
  ],
  "code": {
    "cookie": [
      "{import}",
      "from coatcheck import Coatcheck, Policy",
      "from coatcheck.asgi import SessionMiddleware, device",
      "",
      "auth = Coatcheck(\"sqlite:\/\/\/coatcheck.db\", policy=Policy(origins=(\"http:\/\/localhost:8000\",)))",
      "",
      "{who}",
      "",
      "{me}",
      "",
      "{sign_in}",
      "",
      "{sign_out}",
      "",
      "{app}",
      "{wrapped}"
    ],
    "hybrid": [
      "{import}",
      "from coatcheck import Coatcheck, Policy",
      "from coatcheck.asgi import SessionMiddleware, device",
      "",
      "policy = Policy(mode=\"hybrid\", origins=(\"http:\/\/localhost:8000\",))",
      "auth = Coatcheck(\"sqlite:\/\/\/coatcheck.db\", issuer=\"http:\/\/localhost:8000\", policy=policy)",
      "",
      "{who}",
      "",
      "{me}",
      "",
      "{sign_in}",
      "",
      "{sign_out}",
      "",
      "async def token(request):",
      "    # For whoever verifies alone: a short token of the same session.",
      "    session = request.scope[\"coatcheck\"]",
      "    jwt = session and await auth.fresh_token(session, audience=\"orders\", client_id=\"pages\")",
      "    if not jwt:  # nobody is signed in, or the session has just ended",
      "        return JSONResponse({\"error\": \"signed out\"}, 401)",
      "    return JSONResponse({\"access_token\": jwt})",
      "",
      "{app}",
      "{wrapped}",
      "app.add_route(\"/token\", token, methods=[\"POST\"])"
    ],
    "jwt": [
      "{import}",
      "from coatcheck import Coatcheck, Policy",
      "from coatcheck.asgi import SessionMiddleware, device",
      "",
      "ISSUER = \"http:\/\/localhost:8000\"",
      "auth = Coatcheck(\"sqlite:\/\/\/coatcheck.db\", issuer=ISSUER, policy=Policy(mode=\"jwt\", origins=(ISSUER,)))",
      "",
      "{who}",
      "",
      "{me}",
      "",
      "def pair_of(pair):",
      "    if not pair:  # refused: sign in again",
      "        return JSONResponse({\"error\": \"signed out\"}, 401)",
      "    refresh = pair.refresh_token.reveal()",
      "    return JSONResponse({\"access_token\": pair.access_token, \"refresh_token\": refresh, \"expires_in\": pair.expires_in})",
      "",
      "async def sign_in(request):",
      "    name = await who_is_it(request)",
      "    if name is None:",
      "        return JSONResponse({\"error\": \"name or password is not right\"}, 401)",
      "    begun = await auth.sign_in(name, device=device(request.scope))",
      "    # ISSUER as audience is for this application; name your services beside it, each verifies for itself.",
      "    return pair_of(await auth.issue_refresh(begun.session, client_id=\"app\", audience=[ISSUER, \"orders\"]))",
      "",
      "async def refresh(request):",
      "    sent = (await request.json())[\"refresh_token\"]",
      "    return pair_of(await auth.refresh(sent, client_id=\"app\"))",
      "",
      "async def sign_out(request):",
      "    session = request.scope[\"coatcheck\"]",
      "    if session is not None:",
      "        await auth.revoke(session.sid)  # in force everywhere when it returns",
      "    return JSONResponse({})",
      "",
      "{app}",
      "{wrapped}",
      "app.add_route(\"/refresh\", refresh, methods=[\"POST\"])"
    ]
  },
  "pieces": {
    "who": [
      "async def who_is_it(request):",
      "    \"\"\"Yours: a password, a link by mail, another service. None: nobody.\"\"\"",
      "    return None"
    ],
    "me": [
      "async def me(request):",
      "    session = request.scope[\"coatcheck\"]",
      "    return JSONResponse({\"sub\": session.sub if session else None})"
    ],
    "sign_in": [
      "async def sign_in(request):",
      "    name = await who_is_it(request)",
      "    if name is None:",
      "        return JSONResponse({\"error\": \"name or password is not right\"}, 401)",
      "    begun = await auth.sign_in(name, device=device(request.scope))",
      "    return JSONResponse({}, headers={\"set-cookie\": auth.cookie(begun)})"
    ],
    "sign_out": [
      "async def sign_out(request):",
      "    session = request.scope[\"coatcheck\"]",
      "    if session is not None:",
      "        await auth.revoke(session.sid)  # in force everywhere when it returns",
      "    return JSONResponse({}, headers={\"set-cookie\": auth.clear_cookie()})"
    ],
    "wrapped": [
      "app.add_middleware(SessionMiddleware, auth=auth)",
      "app.add_route(\"/\", me)",
      "app.add_route(\"/sign-in\", sign_in, methods=[\"POST\"])",
      "app.add_route(\"/sign-out\", sign_out, methods=[\"POST\"])"
    ]
  }
};
