"""Writes the API's document without what is no operation of a client: `leave_out.py FROM TO`.

Left out: aliases, which are other paths of the same operations; what libraries of other systems call; what answers with
pages, images or a feed without an end; and bodies that are no JSON document.
"""

import json
import sys

OTHERS_LIBRARIES = {"segment", "posthog"}
METHODS = {"get", "post", "put", "patch", "delete"}


def main(source: str, target: str) -> None:
    with open(source, encoding="utf-8") as file:
        document = json.load(file)
    paths = {}
    for path, operations in document["paths"].items():
        if not path.startswith(("/v1/", "/health/")):
            continue
        kept = {method: operation for method, operation in operations.items() if is_for_clients(method, operation)}
        if kept:
            paths[path] = kept
    for operation in (operation for operations in paths.values() for operation in operations.values()):
        content = operation.get("requestBody", {}).get("content", {})
        for media_type in set(content) - {"application/json"}:
            del content[media_type]
    document["paths"] = paths
    schemas = document["components"]["schemas"]
    used = reachable(paths, schemas)
    document["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name in used}
    with open(target, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=False)


def is_for_clients(method: str, operation: dict) -> bool:
    if method not in METHODS or "x-angarium-alias" in operation or OTHERS_LIBRARIES & set(operation["tags"]):
        return False
    good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    types = {media_type for answer in good for media_type in answer.get("content", {})}
    return bool(good) and types <= {"application/json"}


def reachable(value, schemas: dict, found: set | None = None) -> set:
    """The names of the schemas that `value` and these refer to."""
    found = set() if found is None else found
    if isinstance(value, dict):
        name = str(value.get("$ref", "")).removeprefix("#/components/schemas/")
        if name in schemas and name not in found:
            found.add(name)
            reachable(schemas[name], schemas, found)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        reachable(inner, schemas, found)
    return found


main(*sys.argv[1:])
