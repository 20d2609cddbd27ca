"""
The applications that are compared: one endpoint, ``GET /me``, and whoever says whose request it is.

Each file is one library in the set-up that its own documentation gives for production, with nothing taken out that
makes it safe and nothing put in that it does not ask for. All have the same addresses:

    GET  /me                  200 {"sub": ...} to who is signed in, else 401 or 403
    POST /sign-in?sub=maria   signs in, without a password; cookies, or {"access_token", "refresh_token"}
    POST /sign-out            takes it back as far as the library can
    POST /refresh             exchanges the refresh token, where there is one
    POST /fill?n=1000         makes so many sessions, through the library, in this process

``bare_*`` are the same applications with nothing that asks who it is. Where a store is, they read in the environment:
``BENCH_POSTGRES``, ``BENCH_VALKEY`` and ``BENCH_SQLITE``; a file with several rows reads which of them it is in
``BENCH_VARIANT``.
"""
