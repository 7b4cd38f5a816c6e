//! What checking by a schema may cost. Schemas are an app's own, and a small one can take time without end: subschemas
//! that are referred to twice, which refer to others twice. Pure.

use serde_json::Value;

/// Subschemas, each counted as often as it is referred to.
const MOST: usize = 5_000;
/// References within references.
const DEEPEST: usize = 128;

/// A part of the document that a subschema is for, within the one around it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step<'a> {
    Member(&'a str),
    AnyMember,
    Element(usize),
    AnyElement,
}

impl Step<'_> {
    /// Whether both can be for the same part.
    fn meets(self, other: Step<'_>) -> bool {
        use Step::{AnyElement, AnyMember, Element, Member};
        match (self, other) {
            (Member(one), Member(other)) => one == other,
            (Element(one), Element(other)) => one == other,
            (Member(_) | AnyMember, Element(_) | AnyElement) => false,
            (Element(_) | AnyElement, Member(_) | AnyMember) => false,
            _ => true,
        }
    }
}

/// A subschema that is being walked through.
struct Around<'a> {
    schema: *const Value,
    /// Where in the document it is for.
    depth: usize,
    /// For which parts of its own it, or one around it, begins anew.
    again: Vec<Vec<Step<'a>>>,
}

struct Walk<'a> {
    document: &'a Value,
    count: usize,
    around: Vec<Around<'a>>,
    place: Vec<Step<'a>>,
}

/// # Errors
/// Why the schema cannot be used, in words.
pub fn check(document: &Value) -> Result<(), String> {
    Walk { document, count: 0, around: Vec::new(), place: Vec::new() }.enter(document)
}

impl<'a> Walk<'a> {
    fn enter(&mut self, schema: &'a Value) -> Result<(), String> {
        if let Some(at) = self.around.iter().position(|around| std::ptr::eq(around.schema, schema)) {
            return self.begin_again(at);
        }
        self.count += 1;
        if self.count > MOST {
            return Err(format!(
                "it unfolds to more than {MOST} subschemas; refer less often to what refers on"
            ));
        }
        if self.around.len() == DEEPEST {
            return Err(format!("more than {DEEPEST} subschemas lie within each other"));
        }
        self.around.push(Around { schema, depth: self.place.len(), again: Vec::new() });
        let walked = schema.as_object().map_or(Ok(()), |members| {
            members.iter().try_for_each(|(keyword, value)| self.keyword(keyword, value))
        });
        self.around.pop();
        walked
    }

    /// One around this begins anew, for a part of its document. If two can for the same part, each level of the document
    /// doubles the work.
    fn begin_again(&mut self, at: usize) -> Result<(), String> {
        for around in &mut self.around[at..] {
            let steps = self.place[around.depth..].to_vec();
            let meets =
                |other: &Vec<Step<'_>>| other.iter().zip(&steps).all(|(one, other)| one.meets(*other));
            if around.again.iter().any(meets) {
                return Err("it refers to itself more than once for the same part of a document".to_owned());
            }
            around.again.push(steps);
        }
        if self.place.len() == self.around[at].depth {
            return Err("it refers to itself without an end".to_owned());
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value) -> Result<(), String> {
        use Step::{AnyElement, AnyMember, Element, Member};
        match (keyword, value) {
            ("$dynamicRef" | "$recursiveRef", _) => {
                Err(format!("`{keyword}` is not taken; `$ref` with a JSON pointer is"))
            }
            ("$ref", Value::String(reference)) => {
                let target = self.target(reference)?;
                self.enter(target)
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                all.iter().try_for_each(|one| self.enter(one))
            }
            ("not" | "if" | "then" | "else", one) => self.enter(one),
            ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                all.values().filter(|one| !one.is_array()).try_for_each(|one| self.enter(one))
            }
            ("properties", Value::Object(all)) => {
                all.iter().try_for_each(|(name, one)| self.within(Member(name), one))
            }
            ("patternProperties", Value::Object(all)) => {
                all.values().try_for_each(|one| self.within(AnyMember, one))
            }
            ("additionalProperties" | "unevaluatedProperties" | "propertyNames", one) => {
                self.within(AnyMember, one)
            }
            ("prefixItems" | "items", Value::Array(all)) => {
                all.iter().enumerate().try_for_each(|(index, one)| self.within(Element(index), one))
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", one) => {
                self.within(AnyElement, one)
            }
            _ => Ok(()),
        }
    }

    fn within(&mut self, step: Step<'a>, schema: &'a Value) -> Result<(), String> {
        self.place.push(step);
        let walked = self.enter(schema);
        self.place.pop();
        walked
    }

    /// What a reference names: a place in this document.
    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        let pointer = reference.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let pointer = pointer.ok_or_else(|| {
            format!("`$ref` is `#` or `#/` and a JSON pointer within the document, not `{reference:.100}`")
        })?;
        let found = self.document.pointer(pointer);
        found.ok_or_else(|| format!("`{reference:.100}` is not in the document"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Subschemas that each refer twice to the next.
    fn doubling(levels: usize) -> Value {
        let mut all = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            all.insert(format!("d{level}"), json!({ "anyOf": [next, next] }));
        }
        all.insert(format!("d{levels}"), json!({ "type": "object" }));
        json!({ "$ref": "#/$defs/d0", "$defs": all })
    }

    #[test]
    fn what_people_write_is_taken() {
        for schema in [
            json!(true),
            json!({ "type": "object", "required": ["user"], "properties": { "tags": { "items": { "type": "string" } } } }),
            // A tree, a list, any JSON value.
            json!({ "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } }),
            json!({ "$ref": "#/$defs/node", "$defs": { "node": { "properties": { "next": { "$ref": "#/$defs/node" } } } } }),
            json!({ "anyOf": [{ "items": { "$ref": "#" } }, { "additionalProperties": { "$ref": "#" } }, { "type": "null" }] }),
            doubling(8),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn what_takes_time_without_end_is_refused() {
        let fibonacci = json!({
            "$ref": "#/$defs/a",
            "$defs": {
                "a": { "items": { "$ref": "#/$defs/b" } },
                "b": { "anyOf": [{ "items": { "$ref": "#/$defs/b" } }, { "items": { "$ref": "#/$defs/a" } }] },
            },
        });
        for schema in [
            doubling(16),
            fibonacci,
            json!({ "anyOf": [{ "items": { "$ref": "#" } }, { "items": { "$ref": "#" } }] }),
            json!({ "properties": { "a": { "$ref": "#" } }, "patternProperties": { ".": { "$ref": "#" } } }),
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$ref": "http://127.0.0.1/" }),
            json!({ "$ref": "#/nowhere" }),
            json!({ "$dynamicRef": "#x" }),
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }
}
