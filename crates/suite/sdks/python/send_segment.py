"""Every call of Segment's library, in two batches: python send_segment.py HOST KEY"""

import sys

from segment.analytics.client import Client

host, key = sys.argv[1:]
failures = []
client = Client(key, host=host, gzip=True, on_error=lambda error, _: failures.append(error))
for user in ("u1", "u2"):
    client.track(user, "Level Up", {"n": 7})
    client.identify(user, {"plan": "free"})
    client.page(user, "Docs", "Home", {"url": "https://example.com/"})
    client.screen(user, "App", "Main")
    client.group(user, "g1", {"size": 3})
    client.alias("anonymous", user)
    client.flush()
client.shutdown()
sys.exit(f"not delivered: {failures}" if failures else 0)
