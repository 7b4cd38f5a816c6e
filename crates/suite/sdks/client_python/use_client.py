"""Uses the generated client against a server: `use_client.py FOLDER URL TOKEN`. Says what went wrong, or `done`."""

import asyncio
import sys

folder, url, token = sys.argv[1:]
sys.path.insert(0, folder)

from angarium_client import AuthenticatedClient
from angarium_client.api.apps import create_app
from angarium_client.api.events import list_events, track_events
from angarium_client.api.keys import create_key
from angarium_client.api.streams import read_records
from angarium_client.models import Event, KeptEvent, NewApp, NewKey, Problem

admin = AuthenticatedClient(base_url=url, token=token)
new_app = NewApp(name="Shop", bundle_id="com.acme.python")
app = create_app.sync(client=admin, body=new_app, idempotency_key="app-1")
assert app.bundle_id == "com.acme.python" and app.created_at.tzinfo is not None, app
again = create_app.sync_detailed(client=admin, body=new_app, idempotency_key="app-1")
assert again.parsed.id == app.id and again.headers["Idempotency-Replay"] == "true", again

key = create_key.sync(app.id, client=admin, body=NewKey(name="server", role="sender"))
assert key.key.startswith("ang_sk_") and key.role == "sender", key
client = AuthenticatedClient(base_url=url, token=key.key)

numbered = [Event.from_dict({"type": "level_up", "id": f"e-{n}", "params": {"level": n}}) for n in range(6)]
one = track_events.sync(app.id, client=client, body=numbered[0])
assert (one.accepted, one.duplicates) == (1, 0), one
several = track_events.sync(app.id, client=client, body=numbered, atomic=True)
assert (several.accepted, several.duplicates, several.rejected) == (5, 1, []), several


async def levels() -> list[int]:
    found, after = [], None
    while True:
        place = {} if after is None else {"after": after}
        page = await list_events.asyncio("com.acme.python", client=client, limit=4, **place)
        assert all(isinstance(event, KeptEvent) for event in page.items) and len(page.items) <= 4, page
        found += [event.params["level"] for event in page.items]
        after = page.next_
        if after is None:
            return found


assert asyncio.run(levels()) == list(range(6))
records = read_records.sync(app.id, "events", client=client, limit=2, wait="1s")
assert [record.data["id"] for record in records.items] == ["e-0", "e-1"] and records.next_.startswith("c"), records

refused = create_key.sync_detailed(app.id, client=client, body=NewKey(name="mine", role="admin"))
assert refused.status_code == 403 and isinstance(refused.parsed, Problem), refused
assert refused.parsed.code == "forbidden" and refused.parsed.request_id, refused.parsed
invalid = track_events.sync(app.id, client=client, body=Event.from_dict({"type": "two words"}))
assert invalid.code == "invalid_event" and invalid.errors[0].pointer == "/type", invalid
print("done")
