//! Whether the API still does for its clients what it did: the document now against the one of the last release.
//!
//! What clients send must go on being taken, what they read must go on being there. Additions are no break: clients
//! ignore members that they do not know.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What would break a client of `before`, each with its place. Empty: nothing.
pub fn breaks(before: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let documents = Documents { before, now };
    for (path, methods) in members(&before["paths"]) {
        for (method, old) in members(methods) {
            let place = format!("{} {path}", method.to_uppercase());
            match now["paths"][path.as_str()].get(method) {
                None => found.push(format!("{place}: is gone")),
                Some(new) => documents.operation(&place, old, new, &mut found),
            }
        }
    }
    found
}

struct Documents<'a> {
    before: &'a Value,
    now: &'a Value,
}

/// Which way a body goes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// From clients: nothing may be asked that was not.
    In,
    /// To clients: nothing may be missing that was there.
    Out,
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Documents<'_> {
    fn operation(&self, place: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
        self.parameters(place, old, new, found);
        self.bodies(place, &old["requestBody"], &new["requestBody"], found);
        for (status, answer) in members(&old["responses"]).filter(|(status, _)| status.starts_with('2')) {
            match new["responses"].get(status) {
                None => found.push(format!("{place}: does not answer {status} any more")),
                Some(now) => self.contents(&format!("{place} → {status}"), answer, now, Way::Out, found),
            }
        }
        let roles = |operation: &Value| operation["x-angarium-guard"]["roles"].clone();
        let (before, now) = (roles(old), roles(new));
        for lost in texts(&before).difference(&texts(&now)) {
            found.push(format!("{place}: is not for the role {lost} any more"));
        }
    }

    fn parameters(&self, place: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
        let all = |operation: &Value| operation["parameters"].as_array().cloned().unwrap_or_default();
        let same = |one: &Value, other: &Value| one["name"] == other["name"] && one["in"] == other["in"];
        let (before, now) = (all(old), all(new));
        for old in &before {
            let place = format!("{place}: parameter {}", old["name"].as_str().unwrap_or_default());
            match now.iter().find(|new| same(old, new)) {
                None => found.push(format!("{place} is gone")),
                Some(new) => {
                    if old["required"] != Value::Bool(true) && new["required"] == Value::Bool(true) {
                        found.push(format!("{place} has to be given"));
                    }
                    self.schema(&place, (&old["schema"], &new["schema"]), Way::In, 0, found);
                }
            }
        }
        let is_new = |new: &&Value| before.iter().all(|old| !same(old, new));
        for new in now.iter().filter(is_new).filter(|new| new["required"] == Value::Bool(true)) {
            let name = new["name"].as_str().unwrap_or_default();
            found.push(format!("{place}: parameter {name} is new and has to be given"));
        }
    }

    fn bodies(&self, place: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
        if old["required"] != Value::Bool(true) && new["required"] == Value::Bool(true) {
            found.push(format!("{place}: a body has to be sent"));
        }
        self.contents(&format!("{place} ← body"), old, new, Way::In, found);
    }

    fn contents(&self, place: &str, old: &Value, new: &Value, way: Way, found: &mut Vec<String>) {
        for (media, content) in members(&old["content"]) {
            match new["content"].get(media) {
                None => found.push(format!("{place}: {media} is gone")),
                Some(now) => self.schema(place, (&content["schema"], &now["schema"]), way, 0, found),
            }
        }
    }

    /// Compares two schemas as far as a client can tell them apart.
    fn schema(
        &self,
        place: &str,
        (old, new): (&Value, &Value),
        way: Way,
        depth: usize,
        found: &mut Vec<String>,
    ) {
        // Deeper is a type that holds itself: it was compared further up.
        if depth > 16 {
            return;
        }
        let (old, new) = (resolved(self.before, old), resolved(self.now, new));
        if old == new && old.get("$ref").is_none() && !has_references(old) {
            return;
        }
        self.types(place, old, new, way, found);
        let (required, now_required) = (texts(&old["required"]), texts(&new["required"]));
        for (name, old) in members(&old["properties"]) {
            let place = format!("{place}.{name}");
            match new["properties"].get(name) {
                None if way == Way::Out || new["additionalProperties"] == Value::Bool(false) => {
                    found.push(format!("{place} is gone"));
                }
                None => {}
                Some(new) => self.schema(&place, (old, new), way, depth + 1, found),
            }
        }
        match way {
            Way::In => {
                for name in now_required.difference(&required) {
                    found.push(format!("{place}.{name} has to be given"));
                }
            }
            Way::Out => {
                for name in required.difference(&now_required) {
                    found.push(format!("{place}.{name} may be missing"));
                }
            }
        }
        if !old["items"].is_null() && !new["items"].is_null() {
            self.schema(&format!("{place}[]"), (&old["items"], &new["items"]), way, depth + 1, found);
        }
    }

    fn types(&self, place: &str, old: &Value, new: &Value, way: Way, found: &mut Vec<String>) {
        let types = |schema: &Value| match &schema["type"] {
            Value::String(one) => BTreeSet::from([one.clone()]),
            several => texts(several).into_iter().map(str::to_owned).collect(),
        };
        let (before, now) = (types(old), types(new));
        let is_narrower = match way {
            Way::In => !now.is_empty() && !before.is_subset(&now),
            Way::Out => !before.is_empty() && (now.is_empty() || !now.is_subset(&before)),
        };
        if is_narrower {
            found.push(format!("{place}: was {before:?}, is {now:?}"));
        }
        if way == Way::In {
            let (before, now) = (texts(&old["enum"]), texts(&new["enum"]));
            for lost in before.difference(&now) {
                found.push(format!("{place}: does not take `{lost}` any more"));
            }
            for bound in
                ["minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems", "format"]
            {
                if old[bound] != new[bound]
                    && !new[bound].is_null()
                    && !is_wider(bound, &old[bound], &new[bound])
                {
                    found.push(format!("{place}: `{bound}` was {}, is {}", old[bound], new[bound]));
                }
            }
        }
    }
}

/// Whether a bound lets more through than before.
fn is_wider(bound: &str, old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_f64(), new.as_f64()) else { return false };
    if bound.starts_with("min") { new <= old } else { new >= old }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

fn has_references(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => object.contains_key("$ref") || object.values().any(has_references),
        Value::Array(items) => items.iter().any(has_references),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(body: Value, answer: Value, roles: Value) -> Value {
        json!({
            "paths": { "/a": { "post": {
                "parameters": [{ "name": "limit", "in": "query", "required": false, "schema": { "type": "integer" } }],
                "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/In" } } } },
                "responses": { "200": { "content": { "application/json": { "schema": answer } } } },
                "x-angarium-guard": { "roles": roles },
            } } },
            "components": { "schemas": { "In": body } },
        })
    }

    fn body() -> Value {
        json!({ "type": "object", "required": ["a"], "additionalProperties": false, "properties": { "a": { "type": "string", "maxLength": 5 }, "b": { "enum": ["x", "y"] } } })
    }

    fn answer() -> Value {
        json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } })
    }

    #[test]
    fn additions_and_wider_bounds_break_nobody() {
        let before = document(body(), answer(), json!(["admin"]));
        let mut wider = body();
        wider["properties"]["a"]["maxLength"] = json!(9);
        wider["properties"]["c"] = json!({ "type": "string" });
        wider["properties"]["b"]["enum"] = json!(["x", "y", "z"]);
        let mut more = answer();
        more["properties"]["at"] = json!({ "type": "string" });
        let now = document(wider, more, json!(["admin", "viewer"]));
        assert_eq!(breaks(&before, &now), Vec::<String>::new());
        assert_eq!(breaks(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn what_clients_send_must_go_on_being_taken() {
        let before = document(body(), answer(), json!(["admin", "viewer"]));
        let changed = |change: fn(&mut Value)| {
            let mut now = before.clone();
            change(&mut now);
            breaks(&before, &now)
        };
        let schema = "/components/schemas/In";
        let with_body = |change: fn(&mut Value)| {
            let mut now = before.clone();
            change(now.pointer_mut(schema).unwrap());
            breaks(&before, &now)
        };
        assert_eq!(changed(|now| now["paths"] = json!({})), ["POST /a: is gone"]);
        assert_eq!(
            with_body(|body| body["required"] = json!(["a", "b"])),
            ["POST /a ← body.b has to be given"]
        );
        assert_eq!(
            with_body(|body| body["properties"] = json!({ "a": { "type": "string" } })),
            ["POST /a ← body.b is gone"]
        );
        assert_eq!(with_body(|body| body["properties"]["a"]["maxLength"] = json!(4)).len(), 1);
        assert_eq!(with_body(|body| body["properties"]["a"]["type"] = json!("integer")).len(), 1);
        assert_eq!(
            with_body(|body| body["properties"]["b"]["enum"] = json!(["x"])),
            ["POST /a ← body.b: does not take `y` any more"]
        );
        let parameter =
            json!([{ "name": "limit", "in": "query", "required": true, "schema": { "type": "integer" } }]);
        let mut now = before.clone();
        now["paths"]["/a"]["post"]["parameters"] = parameter;
        assert_eq!(breaks(&before, &now), ["POST /a: parameter limit has to be given"]);
        let roles = changed(|now| now["paths"]["/a"]["post"]["x-angarium-guard"]["roles"] = json!(["admin"]));
        assert_eq!(roles, ["POST /a: is not for the role viewer any more"]);
    }

    #[test]
    fn what_clients_read_must_go_on_being_there() {
        let before = document(body(), answer(), json!([]));
        let with_answer = |answer: Value| breaks(&before, &document(body(), answer, json!([])));
        assert_eq!(with_answer(json!({ "type": "object", "properties": {} })).len(), 2);
        let optional = json!({ "type": "object", "properties": { "id": { "type": "string" } } });
        assert_eq!(with_answer(optional), ["POST /a → 200.id may be missing"]);
        let null = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": ["string", "null"] } } });
        assert_eq!(with_answer(null).len(), 1);
    }
}
