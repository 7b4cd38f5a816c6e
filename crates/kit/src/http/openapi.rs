//! The document of all routes, OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.1>).

use super::{
    doc::{AnswerDoc, Body, Doc, Param, event_type},
    routes::Operation,
};
use crate::access::{FORBIDDEN, FOREIGN_ORIGIN, Guard, UNAUTHENTICATED};
use angarium_base::{
    Code,
    error::{
        BODY_TOO_LARGE, HEADERS_TOO_LARGE, INTERNAL, INVALID_PARAMETER, MALFORMED_BODY, NOT_FOUND,
        REQUEST_TIMEOUT, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE,
    },
};
use http::Method;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document of `operations`, in the order of their paths.
pub fn document(operations: &[Operation], version: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = SchemaGenerator::new(settings);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let method = operation.method.as_str().to_lowercase();
        let value = operation_value(operation, &mut generator);
        paths.entry(operation.path).or_default().insert(method, value);
    }
    let paths: Map<String, Value> =
        paths.into_iter().map(|(path, methods)| (path.replace("{*", "{"), Value::Object(methods))).collect();
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".into(), problem_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Angarium",
            "version": version,
            "description": "Accepts events, makes them durable before it says yes, and lets people watch. \
                Errors are RFC 9457 problem documents with a stable `code`; /docs/errors lists all codes.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`ang_sk_…`, `ang_wk_…`) or a JSON Web Token of an issuer that this server trusts.",
                },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "A write key as the user name, without a password.",
                },
            },
        },
    })
}

fn operation_value(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let Operation { method, path, guard, doc } = operation;
    let path_names = names_in(path);
    let mut parameters: Vec<Value> = path_names.iter().map(|name| path_parameter(name)).collect();
    parameters.extend(doc.query.iter().map(|param| parameter(param, "query")));
    parameters.extend(doc.headers.iter().map(|param| parameter(param, "header")));
    if takes_idempotency_key(method, *guard) {
        parameters.push(idempotency_key());
    }
    let mut value = json!({
        "operationId": operation_id(method, path, doc),
        "summary": doc.summary,
        "description": doc.description,
        "tags": [doc.tag],
        "parameters": parameters,
        "responses": responses(operation, generator),
    });
    let members = [
        ("requestBody", doc.body.as_ref().map(|body| body_value(body, generator))),
        ("security", Some(security(*guard))),
        ("x-angarium-guard", Some(guard_value(*guard))),
        ("x-angarium-alias", doc.is_alias.then(|| doc.id.into())),
    ];
    if let Value::Object(object) = &mut value {
        object.extend(members.into_iter().filter_map(|(name, member)| Some((name.to_owned(), member?))));
    }
    value
}

/// Unique in the document, as it has to be: an alias has its path in its id.
fn operation_id(method: &Method, path: &str, doc: &Doc) -> String {
    if !doc.is_alias {
        return doc.id.to_owned();
    }
    let plain: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{}_{}{plain}", doc.id, method.as_str().to_lowercase())
}

/// The names in braces.
fn names_in(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .map(|name| name.trim_start_matches('*'))
        .collect()
}

fn path_parameter(name: &str) -> Value {
    let (about, schema) = match name {
        "app" => {
            ("the app's id or its bundle id", json!({ "type": "string", "minLength": 1, "maxLength": 255 }))
        }
        "group" => (
            "the group's name",
            json!({ "type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$" }),
        ),
        "type" => ("the event's type", event_type()),
        _ => ("its name or id", json!({ "type": "string", "minLength": 1 })),
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn parameter(param: &Param, place: &str) -> Value {
    let Param { name, about, is_required, schema } = *param;
    json!({ "name": name, "in": place, "required": is_required, "description": about, "schema": schema() })
}

/// Every POST of a known caller.
pub fn takes_idempotency_key(method: &Method, guard: Guard) -> bool {
    *method == Method::POST && guard != Guard::Public
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "the same key and body within 24 h has one effect and one answer; replays say `Idempotency-Replay: true`",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
    })
}

fn body_value(body: &Body, generator: &mut SchemaGenerator) -> Value {
    let content: Map<String, Value> = body
        .content
        .iter()
        .map(|(media_type, schema)| {
            let mut content = json!({ "schema": schema_value(*schema, generator) });
            if let (Some(example), "application/json", Value::Object(object)) =
                (&body.example, *media_type, &mut content)
            {
                object.insert("example".into(), example.clone());
            }
            ((*media_type).to_owned(), content)
        })
        .collect();
    json!({ "required": body.is_required, "content": content })
}

fn schema_value(schema: Option<super::doc::SchemaOf>, generator: &mut SchemaGenerator) -> Value {
    schema.map_or_else(|| json!({ "type": "string" }), |schema| schema(generator).to_value())
}

fn security(guard: Guard) -> Value {
    match guard {
        Guard::Public => json!([]),
        Guard::Known | Guard::InApp { basic: false, .. } => json!([{ "bearer": [] }]),
        Guard::InApp { basic: true, .. } => json!([{ "bearer": [] }, { "basic": [] }]),
        // The key may be in the query or in the body, and some families take anonymous callers.
        Guard::ByKey { .. } => json!([{ "bearer": [] }, { "basic": [] }, {}]),
    }
}

/// What a machine can check callers against.
fn guard_value(guard: Guard) -> Value {
    let named = |kind: &str, grant: &str, roles: &[crate::access::Role]| {
        let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        json!({ "kind": kind, "grant": grant, "roles": roles })
    };
    match guard {
        Guard::Public => json!({ "kind": "public" }),
        Guard::Known => json!({ "kind": "known" }),
        Guard::InApp { grant, roles, .. } => named("in_app", grant, roles),
        Guard::ByKey { grant, roles } => named("by_key", grant, roles),
    }
}

/// What the operation answers, and what follows from its guard and its shape.
fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for answer in &operation.doc.answers {
        responses.insert(answer.status.to_string(), answer_value(answer, generator));
    }
    let mut problems: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in implied(operation).iter().chain(&operation.doc.codes) {
        let names = problems.entry(code.kind.status()).or_default();
        if !names.contains(&code.name) {
            names.push(code.name);
        }
    }
    for (status, names) in problems {
        let codes = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let content = match operation.doc.problems_as {
            None => {
                json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
            }
            Some(media_type) => json!({ media_type: { "schema": { "type": "string" } } }),
        };
        let problem = json!({ "description": codes, "content": content });
        responses.entry(status.to_string()).or_insert(problem);
    }
    Value::Object(responses)
}

fn implied(operation: &Operation) -> Vec<Code> {
    let Operation { method, path, guard, doc } = operation;
    let mut codes = vec![HEADERS_TOO_LARGE, crate::RATE_LIMITED, INTERNAL, UNAVAILABLE];
    match guard {
        Guard::Public => {}
        Guard::Known => codes.extend([UNAUTHENTICATED]),
        Guard::InApp { .. } => codes.extend([UNAUTHENTICATED, FORBIDDEN, NOT_FOUND]),
        Guard::ByKey { .. } => codes.extend([UNAUTHENTICATED, FORBIDDEN, NOT_FOUND]),
    }
    if *method != Method::GET && matches!(guard, Guard::Known | Guard::InApp { .. }) {
        codes.push(FOREIGN_ORIGIN);
    }
    if names_in(path).len() > usize::from(path.contains("{app}")) {
        codes.push(NOT_FOUND);
    }
    if *guard != Guard::Public || !doc.query.is_empty() {
        // Unknown parameters are refused by name.
        codes.push(INVALID_PARAMETER);
    }
    if doc.body.is_some() {
        codes.extend([
            MALFORMED_BODY,
            REQUEST_TIMEOUT,
            BODY_TOO_LARGE,
            UNSUPPORTED_MEDIA_TYPE,
            INVALID_PARAMETER,
        ]);
    }
    if takes_idempotency_key(method, *guard) {
        codes.extend_from_slice(crate::idempotency::CODES);
        codes.extend([MALFORMED_BODY, REQUEST_TIMEOUT, BODY_TOO_LARGE]);
    }
    codes
}

fn answer_value(answer: &AnswerDoc, generator: &mut SchemaGenerator) -> Value {
    let mut value = json!({ "description": answer.about });
    let Value::Object(object) = &mut value else { return value };
    if let Some((media_type, schema)) = answer.content {
        // The text of a stream of events is of no schema: 3.1 cannot speak of the single events.
        let content = match media_type {
            "text/event-stream" => json!({}),
            _ => json!({ "schema": schema_value(schema, generator) }),
        };
        object.insert("content".into(), json!({ media_type: content }));
    }
    if !answer.headers.is_empty() {
        let headers: Map<String, Value> = answer
            .headers
            .iter()
            .map(|header| {
                let Param { name, about, is_required, schema } = *header;
                let value = json!({ "description": about, "required": is_required, "schema": schema() });
                (name.to_owned(), value)
            })
            .collect();
        object.insert("headers".into(), Value::Object(headers));
    }
    value
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "where the code is explained" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "what is wrong here, and the way out" },
            "code": { "type": "string", "description": "stable: what programs match on" },
            "request_id": { "type": "string", "description": "as in the header `X-Request-Id`, and in the log" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "code", "detail"],
                    "properties": {
                        "pointer": { "type": "string", "description": "RFC 6901: the faulty place in the body" },
                        "code": { "type": "string" },
                        "detail": { "type": "string" },
                    },
                },
            },
            "rejected": {
                "type": "array",
                "description": "of several events or calls, what is wrong with each",
                "items": {
                    "type": "object",
                    "required": ["index", "code", "detail", "pointer"],
                    "properties": {
                        "index": { "type": "integer", "minimum": 0, "description": "its place in the body, from 0" },
                        "code": { "type": "string" },
                        "detail": { "type": "string" },
                        "pointer": { "type": "string", "description": "RFC 6901: the faulty place in the event" },
                    },
                },
            },
        },
    })
}
