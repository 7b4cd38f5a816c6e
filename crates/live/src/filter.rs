//! Which records a reader wants: those of a kind, and those whose fields are as its conditions say. Pure.
//!
//! A condition is `path op value`: `params.country=DE`, `params.level>=5`. The path leads through objects by their
//! members' names and through arrays by numbers, with dots between. A value that is JSON (a number, `true`, `null`,
//! `"5"`) is that, anything else is text. Numbers are compared with numbers, text with text, by its characters; between
//! unlike ones nothing holds but `!=`, which also holds where there is no such field.

use angarium_base::{Result, error::INVALID_PARAMETER};
use angarium_journal::Record;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, cmp::Ordering, fmt};

/// Conditions of one reader.
const MAX_CONDITIONS: usize = 8;
/// Steps of a path, and bytes of a condition.
const MAX_STEPS: usize = 16;
const MAX_BYTES: usize = 512;

/// What a reader wants; by default everything.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only records of this kind; for events, their type.
    kind: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq)]
struct Condition {
    path: Vec<String>,
    op: Op,
    value: Value<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Longer ones first: `<=` begins like `<`.
const OPS: [(&str, Op); 6] = [
    ("!=", Op::Unequal),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("=", Op::Equal),
    ("<", Op::Less),
    (">", Op::More),
];

#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    Null,
    Bool(bool),
    /// A whole number, which a double may not hold exactly.
    Whole(i128),
    Number(f64),
    Text(Cow<'a, str>),
    /// An object or an array, which equals nothing.
    Other,
}

impl Filter {
    /// # Errors
    /// `invalid_parameter`, naming the condition and the place in it.
    pub fn parse(kind: Option<&str>, conditions: &[String]) -> Result<Filter> {
        if conditions.len() > MAX_CONDITIONS {
            return Err(INVALID_PARAMETER.err(format!("`where` may be there {MAX_CONDITIONS} times at most")));
        }
        let conditions = conditions.iter().map(|text| Condition::parse(text)).collect::<Result<_>>()?;
        Ok(Filter { kind: kind.map(str::to_owned), conditions })
    }

    /// Whether every record is wanted.
    pub fn takes_all(&self) -> bool {
        self.kind.is_none() && self.conditions.is_empty()
    }

    pub fn takes(&self, record: &Record<'_>) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == record.kind)
            && self.conditions.iter().all(|condition| condition.holds(record.data))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Condition> {
        let shown: String = text.chars().take(80).collect();
        let bad = |what: &str| INVALID_PARAMETER.err(format!("`where={shown}`: {what}"));
        if text.len() > MAX_BYTES {
            return Err(bad("a condition is at most 512 bytes long"));
        }
        let place = text.find(['!', '=', '<', '>']);
        let Some((path, rest)) = place.map(|place| text.split_at(place)) else {
            return Err(bad("a comparison is missing; write path, then =, !=, <, <=, > or >=, then a value"));
        };
        let found = OPS.iter().find_map(|(sign, op)| Some((sign.len(), *op, rest.strip_prefix(sign)?)));
        let Some((sign_bytes, op, value)) = found else {
            return Err(bad(&format!("at character {} stands `!` without `=`", path.chars().count() + 1)));
        };
        let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
        if let Some(empty) = steps.iter().position(String::is_empty) {
            let before: usize = steps[..empty].iter().map(|step| step.chars().count() + 1).sum();
            return Err(bad(&format!("at character {} a name of a field is missing", before + 1)));
        }
        if steps.len() > MAX_STEPS {
            return Err(bad(&format!("a path has at most {MAX_STEPS} names")));
        }
        let is_ordering = matches!(op, Op::Less | Op::AtMost | Op::More | Op::AtLeast);
        let parsed = Value::parse(value);
        if is_ordering && matches!(parsed, Value::Null | Value::Bool(_) | Value::Other) {
            let at = path.chars().count() + sign_bytes + 1;
            return Err(bad(&format!(
                "at character {at} a number or a text is needed after this comparison"
            )));
        }
        if parsed == Value::Other {
            let at = path.chars().count() + sign_bytes + 1;
            return Err(bad(&format!("at character {at} a number, a text, true, false or null is needed")));
        }
        Ok(Condition { path: steps, op, value: parsed })
    }

    fn holds(&self, data: &[u8]) -> bool {
        let mut found = None;
        let mut deserializer = serde_json::Deserializer::from_slice(data);
        // It is left as soon as the field is found, with an error: the rest need not be read.
        let _ = Walk { path: &self.path, found: &mut found }.deserialize(&mut deserializer);
        let Some(found) = found else { return self.op == Op::Unequal };
        let order = found.compare(&self.value);
        match self.op {
            Op::Equal => order == Some(Ordering::Equal),
            Op::Unequal => order != Some(Ordering::Equal),
            Op::Less => order == Some(Ordering::Less),
            Op::AtMost => order.is_some_and(Ordering::is_le),
            Op::More => order == Some(Ordering::Greater),
            Op::AtLeast => order.is_some_and(Ordering::is_ge),
        }
    }
}

impl Value<'_> {
    /// What a condition compares with.
    fn parse(text: &str) -> Value<'static> {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Null) => Value::Null,
            Ok(serde_json::Value::Bool(value)) => Value::Bool(value),
            Ok(serde_json::Value::Number(number)) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Value::Whole(whole),
                (None, Some(number)) => Value::Number(number),
                (None, None) => Value::Other,
            },
            Ok(serde_json::Value::String(text)) => Value::Text(text.into()),
            Ok(_) => Value::Other,
            Err(_) => Value::Text(text.to_owned().into()),
        }
    }

    /// How it stands to another; `None` where that makes no sense.
    fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Null, Value::Null) => Some(Ordering::Equal),
            // True and false are equal or not, and none of them is less.
            (Value::Bool(one), Value::Bool(other)) => (one == other).then_some(Ordering::Equal),
            (Value::Text(one), Value::Text(other)) => Some(one.as_ref().cmp(other.as_ref())),
            (Value::Whole(one), Value::Whole(other)) => Some(one.cmp(other)),
            (one, other) => one.number()?.partial_cmp(&other.number()?),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Value::Whole(whole) => Some(*whole as f64),
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Follows a path through a document, and takes what is at its end; nothing else is built.
struct Walk<'p, 'f, 'd> {
    path: &'p [String],
    found: &'f mut Option<Value<'d>>,
}

impl<'d> DeserializeSeed<'d> for Walk<'_, '_, 'd> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Walk<'_, '_, 'd> {
    /// Takes a value at the end of the path.
    fn take<E: serde::de::Error>(self, value: Value<'d>) -> Result<(), E> {
        if !self.path.is_empty() {
            // The path leads into what has no fields.
            return Ok(());
        }
        *self.found = Some(value);
        Err(E::custom("found"))
    }
}

impl<'d> Visitor<'d> for Walk<'_, '_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return self.take(Value::Other) };
        while let Some(name) = map.next_key_seed(Name)? {
            if name != step.as_str() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Walk { path: rest, found: self.found })?;
            return Err(A::Error::custom("there is no second field of this name"));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return self.take(Value::Other) };
        let Ok(index) = step.parse::<usize>() else {
            return Err(A::Error::custom("an array has no such field"));
        };
        for _ in 0..index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { path: rest, found: self.found })?;
        Err(A::Error::custom("there is no second element of this number"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.take(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.take(Value::Whole(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.take(Value::Whole(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.take(Value::Number(value))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'d str) -> Result<(), E> {
        self.take(Value::Text(text.into()))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(Value::Text(text.to_owned().into()))
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'d> DeserializeSeed<'d> for Name {
    type Value = Cow<'d, str>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Cow<'d, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'d> Visitor<'d> for Name {
    type Value = Cow<'d, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'d str) -> Result<Cow<'d, str>, E> {
        Ok(name.into())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Cow<'d, str>, E> {
        Ok(name.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"{"type":"level_up","params":{"country":"DE","level":7,"ratio":0.5,"big":9007199254740993,
        "who":{"name":"gr\u00fcn","tags":["a",{"x":1}]},"paid":true,"note":null,"code":"5"},"last":1}"#;

    fn takes(condition: &str) -> bool {
        let filter =
            Filter::parse(None, &[condition.to_owned()]).unwrap_or_else(|e| panic!("{}", e.message()));
        filter.takes(&Record { offset: 0, at: 0, kind: "level_up", data: DATA.as_bytes() })
    }

    #[test]
    fn conditions_hold_for_the_fields_they_name() {
        for (condition, holds) in [
            ("params.country=DE", true),
            ("params.country=\"DE\"", true),
            ("params.country=D", false),
            ("params.country!=DE", false),
            ("params.country<DF", true),
            ("params.level>=7", true),
            ("params.level>7", false),
            ("params.level<=7.0", true),
            ("params.level<10", true),
            ("params.level=7.0", true),
            ("params.level=\"7\"", false),
            ("params.level=seven", false),
            ("params.level<seven", false),
            ("params.level!=seven", true),
            ("params.ratio<1", true),
            ("params.big=9007199254740993", true),
            ("params.big=9007199254740992", false),
            ("params.who.name=gr\u{fc}n", true),
            ("params.who.tags.0=a", true),
            ("params.who.tags.1.x=1", true),
            ("params.who.tags.2=a", false),
            ("params.who.tags.x=a", false),
            ("params.who!=x", true),
            ("params.who.name.more=x", false),
            ("params.paid=true", true),
            ("params.paid!=false", true),
            ("params.note=null", true),
            ("params.none=null", false),
            ("params.none!=1", true),
            ("params.code=5", false),
            ("params.code=\"5\"", true),
            ("last=1", true),
            ("params.country=", false),
        ] {
            assert_eq!(takes(condition), holds, "{condition}");
        }
    }

    #[test]
    fn all_conditions_must_hold_and_the_kind_too() {
        let record = Record { offset: 0, at: 0, kind: "level_up", data: DATA.as_bytes() };
        let takes = |kind, conditions: &[&str]| {
            let conditions: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
            Filter::parse(kind, &conditions).unwrap().takes(&record)
        };
        assert!(takes(Some("level_up"), &["last=1", "params.level>5"]));
        assert!(!takes(Some("level_up"), &["last=1", "params.level>8"]));
        assert!(!takes(Some("other"), &["last=1"]));
        assert!(Filter::default().takes_all());
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_place() {
        for (text, said) in [
            ("", "a comparison is missing"),
            ("params.level", "a comparison is missing"),
            ("params.level!5", "at character 13 stands `!`"),
            ("=5", "at character 1 a name"),
            ("params..x=5", "at character 8 a name"),
            ("params.level>=true", "at character 15 a number or a text"),
            ("params.level=[1]", "at character 14 a number, a text"),
        ] {
            let error = Filter::parse(None, &[text.to_owned()]).unwrap_err();
            assert_eq!(error.code().name, "invalid_parameter");
            assert!(error.message().contains(said), "{text}: {}", error.message());
        }
        let long = format!("a={}", "x".repeat(600));
        for refused in [vec![long], vec!["a=1".to_owned(); 9], vec!["a.".repeat(20) + "b=1"]] {
            assert!(Filter::parse(None, &refused).is_err());
        }
    }
}
