"""Every call of PostHog's library, in two batches: python send_posthog.py HOST KEY"""

import sys

from posthog import Posthog

host, key = sys.argv[1:]
failures = []
client = Posthog(key, host=host, gzip=True, on_error=lambda error, _: failures.append(error))
for user in ("u1", "u2"):
    client.capture("Level Up", distinct_id=user, properties={"n": 7})
    client.set(distinct_id=user, properties={"plan": "free"})
    client.group_identify("guild", "g1", {"size": 3}, distinct_id=user)
    client.alias(user, "anonymous")
    client.flush()
client.shutdown()
sys.exit(f"not delivered: {failures}" if failures else 0)
