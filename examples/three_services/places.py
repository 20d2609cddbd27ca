"""Where everybody is."""

import os

PORT = int(os.environ.get("PORT", "8000"))
ISSUER = os.environ.get("ORIGIN", f"http://localhost:{PORT}")
ORDERS, STOCK, MAIL = (f"http://127.0.0.1:{PORT + number}" for number in (1, 2, 3))
STORE = os.environ.get("STORE", "sqlite:///coatcheck.db")
