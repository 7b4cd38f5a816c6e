//! What a route says of itself, for the document.

use angarium_base::{Code, error::INVALID_CURSOR};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Makes a schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an operation takes and answers.
#[derive(Clone)]
pub struct Doc {
    /// The operation's one name, on every surface: handler, client's method, verb of the command line.
    pub id: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub tag: &'static str,
    pub query: Vec<Param>,
    pub headers: Vec<Param>,
    pub body: Option<Body>,
    pub answers: Vec<AnswerDoc>,
    pub codes: Vec<Code>,
    /// What problems come as; a page that loads an image must get one.
    pub problems_as: Option<&'static str>,
    /// A second path of another operation, for callers that write it so: not an operation of the clients.
    pub is_alias: bool,
}

/// A query parameter or a header.
#[derive(Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub about: &'static str,
    pub is_required: bool,
    pub schema: fn() -> Value,
}

/// A request body.
#[derive(Clone)]
pub struct Body {
    pub is_required: bool,
    /// Media types and what each holds; `None`: text or bytes.
    pub content: Vec<(&'static str, Option<SchemaOf>)>,
    pub example: Option<Value>,
}

/// A status that is no problem.
#[derive(Clone)]
pub struct AnswerDoc {
    pub status: u16,
    pub about: &'static str,
    pub content: Option<(&'static str, Option<SchemaOf>)>,
    pub headers: Vec<Param>,
}

impl Doc {
    pub fn new(tag: &'static str, id: &'static str, summary: &'static str, description: &'static str) -> Doc {
        Doc {
            id,
            summary,
            description,
            tag,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: Vec::new(),
            problems_as: None,
            is_alias: false,
        }
    }

    pub fn query(mut self, params: &[Param]) -> Doc {
        self.query.extend_from_slice(params);
        if params.iter().any(|param| param.name == AFTER.name) {
            self.codes.push(INVALID_CURSOR);
        }
        self
    }

    pub fn header(mut self, header: Param) -> Doc {
        self.headers.push(header);
        self
    }

    /// A JSON body.
    pub fn body<T: JsonSchema>(self, example: Value) -> Doc {
        self.bodies(vec![("application/json", Some(schema_of::<T>))], Some(example))
    }

    /// A JSON body that may be left out, which is the same as `{}`.
    pub fn body_or_none<T: JsonSchema>(mut self, example: Value) -> Doc {
        self = self.body::<T>(example);
        if let Some(body) = &mut self.body {
            body.is_required = false;
        }
        self
    }

    pub fn bodies(mut self, content: Vec<(&'static str, Option<SchemaOf>)>, example: Option<Value>) -> Doc {
        self.body = Some(Body { is_required: true, content, example });
        self
    }

    /// Answers JSON.
    pub fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Doc {
        self.answers_as(status, about, "application/json", Some(schema_of::<T>))
    }

    pub fn answers_as(
        mut self,
        status: u16,
        about: &'static str,
        media_type: &'static str,
        schema: Option<SchemaOf>,
    ) -> Doc {
        let content = Some((media_type, schema));
        self.answers.push(AnswerDoc { status, about, content, headers: Vec::new() });
        self
    }

    /// Answers without a body.
    pub fn answers_empty(mut self, status: u16, about: &'static str) -> Doc {
        self.answers.push(AnswerDoc { status, about, content: None, headers: Vec::new() });
        self
    }

    /// The last answer has this header too.
    pub fn with_header(mut self, header: Param) -> Doc {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push(header);
        }
        self
    }

    /// Problems beyond those that follow from the guard, the parameters and the body.
    pub fn refuses(mut self, codes: &[Code]) -> Doc {
        self.codes.extend_from_slice(codes);
        self
    }

    /// Problems are told by the status alone: the body is of this media type.
    pub fn problems_as(mut self, media_type: &'static str) -> Doc {
        self.problems_as = Some(media_type);
        self
    }

    /// The same operation at another path.
    pub fn alias(&self) -> Doc {
        Doc { is_alias: true, ..self.clone() }
    }
}

/// The schema of a type.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn optional(name: &'static str, about: &'static str, schema: fn() -> Value) -> Param {
    Param { name, about, is_required: false, schema }
}

impl Param {
    pub const fn optional(name: &'static str, about: &'static str, schema: fn() -> Value) -> Param {
        optional(name, about, schema)
    }

    pub const fn required(name: &'static str, about: &'static str, schema: fn() -> Value) -> Param {
        Param { name, about, is_required: true, schema }
    }
}

/// How many items a page has.
pub const LIMIT: Param = optional(
    "limit",
    "how many items at most; 100 if not given",
    || json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
);

/// Where a page begins.
pub const AFTER: Param = optional("after", "a cursor: go on after it", cursor);

pub const LOCATION: Param = Param::required(
    "Location",
    "where the new thing is",
    || json!({ "type": "string", "format": "uri-reference" }),
);

/// The schema of a cursor.
pub fn cursor() -> Value {
    json!({ "type": "string", "pattern": CURSOR_PATTERN, "maxLength": 1000 })
}

/// Callers need not look inside; what is certainly none can be told by it.
pub const CURSOR_PATTERN: &str = "^c[a-z0-9_]+(-[a-z0-9_]+)+$";

/// The schema of an instant.
pub fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The schema of how long to wait: up to a minute.
pub fn wait() -> Value {
    json!({ "type": "string", "pattern": WAIT_PATTERN })
}

/// A duration of up to a minute.
pub const WAIT_PATTERN: &str = "^0*(([0-5]?[0-9]{1,4}|60000)(ms)?|([0-5]?[0-9]|60)s|[01]m|0[hd])$";

/// The schema of a flag.
pub fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// The schema of an event's type.
pub fn event_type() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": EVENT_TYPE_PATTERN })
}

/// No white space (Unicode's `White_Space`) and no control characters.
pub const EVENT_TYPE_PATTERN: &str =
    r"^[^\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]+$";

/// The schema of text.
pub fn text() -> Value {
    json!({ "type": "string" })
}
