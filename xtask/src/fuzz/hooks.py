"""What the fuzzer cannot know of this API: which refusals of data that the schema allows are right, and what the run
itself stands on.

https://schemathesis.readthedocs.io/en/stable/guides/extending/
"""

import json
import os
import urllib.request

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

# Codes with which data of the right shape is refused, since the shape is not all there is to it.
RIGHT_REFUSALS = {
    # Only the server makes cursors, and no pattern tells the end of a stream.
    "invalid_cursor",
    # Which bodies came with a key before is not in the schema; the fuzzer likes short keys.
    "idempotency_key_reused",
    # A group's cursor goes forward only, and to what was handed out.
    "commit_out_of_range",
    # Not every object is a JSON Schema.
    "invalid_schema",
    # Calls of other systems' libraries are judged one by one, by rules of these systems.
    "nothing_kept",
}
# The same, where the detail says which rule of several it was.
RIGHT_DETAILS = (
    # A schema cannot compare two members, nor a member with the time of day.
    "`from` is before `to`",
    "`expires_at` is an RFC 3339 instant in the future",
    # Of keys and texts anywhere in free JSON.
    "has `\\u0000`, which cannot be stored",
    # A condition's value is text, and what the text says depends on the comparison.
    "is needed after this comparison",
    "a number, a text, true, false or null is needed",
    # `false` and null say nothing either.
    "nothing says which letters are meant",
    # Bytes, where a schema counts characters.
    "`user_agent` may have 2048 bytes",
)


# What need not be there although what it belongs to has just been made: a new app's messages have no schema, and a message
# that was taken in is persisted a moment later.
NOT_THERE_YET = {"show_message_schema", "show_message"}

BY_KEY = {"track_by_query", "track_segment_calls", "track_segment_pixel", "track_posthog_events"}
TRACKING = {"track_events", "track_segment_calls", "track_posthog_events"}


@schemathesis.hook
def filter_failure(context, failure: Failure, case, response) -> bool:
    """False for a failure that is none."""
    operation = case.operation.definition.raw["operationId"]
    if operation in NOT_THERE_YET and response.status_code == 404:
        return False
    if isinstance(failure, AcceptedNegativeData):
        # Of several events or calls each is judged by itself: the answer names those that were refused.
        return not (operation in TRACKING and problem_of(response).get("rejected"))
    if not isinstance(failure, RejectedPositiveData):
        return True
    if operation == "track_segment_pixel" and response.status_code == 400:
        # As `nothing_kept`; its problems are told by the status alone, for the body is an image.
        return False
    if case.media_type == "application/x-www-form-urlencoded" and response.status_code == 400:
        # `data` of PostHog's form is JSON or base64 of it, which is a matter of its text.
        return False
    problem = problem_of(response)
    if problem.get("code") in RIGHT_REFUSALS:
        return False
    faults = (problem.get("errors") or []) + (problem.get("rejected") or [])
    if any(fault.get("code") == "schema_mismatch" for fault in faults):
        # Of the app's own schema for its messages, which the fuzzer has set itself.
        return False
    # Of several events or calls, each has a detail of its own.
    details = [fault["detail"] for fault in problem.get("rejected") or [problem] if "detail" in fault]
    return not any(right in detail for detail in details for right in RIGHT_DETAILS)


def problem_of(response) -> dict:
    try:
        problem = json.loads(response.content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Keeps alive what the run itself stands on: the app, its admin's grant, the keys."""
    operation = case.operation.definition.raw["operationId"]
    if operation in BY_KEY:
        # The token's user has several apps before long, and these paths name none: a key does.
        case.headers["Authorization"] = f"Bearer {os.environ['FUZZ_WRITE_KEY']}"
    if case.meta is not None and case.meta.phase.name.value == "stateful":
        # A replayed answer tells of a thing that may be gone by now, and the fuzzer likes to repeat itself.
        case.headers.pop("Idempotency-Key", None)
    if case.meta is None or case.meta.generation.mode.is_positive:
        # A wait is as well tried by a short one.
        for place in (case.query, case.body):
            if isinstance(place, dict) and place.get("wait") not in (None, ""):
                place["wait"] = "20ms"
    parameters = case.path_parameters or {}
    if operation == "delete_app" and parameters.get("app") in ours()["apps"]:
        parameters["app"] = "app_of_somebody_else"
    if operation in ("change_grant", "delete_grant") and parameters.get("grant") in ours()["grants"]:
        parameters["grant"] = "grant_of_somebody_else"
    if operation in ("delete_key", "rotate_key") and parameters.get("key") in ours()["keys"]:
        parameters["key"] = "key_of_somebody_else"


def ours(known={}) -> dict:
    """The ids that were there when the run began."""
    if not known:
        app = os.environ["FUZZ_APP"]
        bundle_id = get(f"/v1/apps/{app}")["bundle_id"]
        listed = lambda what: [item["id"] for item in get(f"/v1/apps/{app}/{what}")["items"]]
        known.update(apps={app, bundle_id}, grants=set(listed("grants")), keys=set(listed("keys")))
    return known


def get(path: str) -> dict:
    headers = {"Authorization": f"Bearer {os.environ['FUZZ_TOKEN']}"}
    request = urllib.request.Request(os.environ["FUZZ_URL"] + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


# Before anything else is there.
ours()
