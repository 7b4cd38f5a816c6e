//! The parameters of an event that came as a call of another system, written as one JSON object:
//!
//! ```text
//! {"event": "Order Completed", "userId": …, "context": …,  "total": 9.5, "properties.userId": …}
//!  └ members of the call, under their names ────────────┘  └ members of its `properties` ───────┘
//! ```
//!
//! Invariant: no name comes twice. Where both have one, the call's keeps it, for that one means the same in every call;
//! the other one is named after where it comes from, or left out if it says the same.

use super::MEMBER_LIMITS;
use crate::rules::{self, JSON_LIMITS};
use angarium_base::{
    error::Fault,
    json::{Kind, Raw, Reader, escape_into},
};
use std::{borrow::Cow, collections::HashMap};

/// Writes parameters; the text is complete after [`Params::close`].
pub struct Params<'o, 'a> {
    out: &'o mut String,
    /// The names so far, and the JSON text of each.
    taken: HashMap<Cow<'a, str>, &'a str>,
}

/// What a call's `properties` say to us.
#[derive(Debug, Default, PartialEq)]
pub struct Asks {
    /// `"$geoip_disable": true`, as PostHog's libraries ask for.
    pub no_geoip: bool,
}

impl<'o, 'a> Params<'o, 'a> {
    /// Begins an object in `out`, which is emptied.
    pub fn open(out: &'o mut String) -> Params<'o, 'a> {
        out.clear();
        out.push('{');
        Params { out, taken: HashMap::with_capacity(16) }
    }

    /// Adds a member of the call, whose names are distinct.
    pub fn add(&mut self, name: Cow<'a, str>, json: &'a str) {
        self.push_name(&name);
        self.out.push_str(json);
        self.taken.insert(name, json);
    }

    /// Adds the members of the object `holder` of the call.
    ///
    /// # Errors
    /// `wrong_type` when it is no object. Its JSON was checked before.
    pub fn add_all_of(&mut self, holder: &str, value: &Raw<'a>, key: &str) -> Result<Asks, Fault> {
        let mut asks = Asks::default();
        if is_empty_list(value) {
            return Ok(asks);
        }
        if value.kind != Kind::Object {
            return Err(rules::fault(
                &format!("/{holder}"),
                "wrong_type",
                format!("`{holder}` is an object"),
            ));
        }
        // Checked when the call was read: neither syntax nor flaws can come up.
        let _ = Reader::new(value.text, MEMBER_LIMITS).object(|name, value| {
            asks.no_geoip |= name == "$geoip_disable" && value.truth() == Some(true);
            let is_key = matches!(&*name, "token" | "api_key") && value.string().is_some_and(|v| v == key);
            if !is_key {
                self.add_or_rename(holder, name, value.text);
            }
        });
        Ok(asks)
    }

    fn add_or_rename(&mut self, holder: &str, name: Cow<'a, str>, json: &'a str) {
        match self.taken.get(&name) {
            None => self.add(name, json),
            Some(same) if *same == json => {}
            Some(_) => self.add_or_rename(holder, Cow::Owned(format!("{holder}.{name}")), json),
        }
    }

    /// # Errors
    /// `too_many_members` when there are more than an event may have.
    pub fn close(self) -> Result<(), Fault> {
        self.out.push('}');
        let most = JSON_LIMITS.members;
        if self.taken.len() <= most {
            return Ok(());
        }
        let detail = format!("the call and its properties together have more than {most} members");
        Err(rules::fault("", "too_many_members", detail))
    }

    fn push_name(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        escape_into(self.out, name);
        self.out.push(':');
    }
}

/// PHP writes an empty object like this.
fn is_empty_list(value: &Raw<'_>) -> bool {
    value.kind == Kind::Array && value.text[1..value.text.len() - 1].trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(members: &[(&'static str, &'static str)], properties: &str) -> Result<(String, Asks), String> {
        let mut out = "before".to_owned();
        let mut params = Params::open(&mut out);
        for (name, json) in members {
            params.add(Cow::Borrowed(name), json);
        }
        let value = Reader::new(properties, JSON_LIMITS).value().unwrap();
        let asks = params.add_all_of("properties", &value, "k").map_err(|fault| fault.code)?;
        params.close().map_err(|fault| fault.code)?;
        Ok((out, asks))
    }

    #[test]
    fn no_name_comes_twice_and_nothing_is_lost() {
        for (members, properties, expected) in [
            (&[][..], "{}", "{}"),
            (&[("userId", "\"u\"")][..], r#"{"total": 9.50}"#, r#"{"userId":"u","total":9.50}"#),
            (&[("name", "\"a\"")], r#"{"name":"b","x":1}"#, r#"{"name":"a","properties.name":"b","x":1}"#),
            (&[("category", "\"Docs\"")], r#"{"category":"Docs"}"#, r#"{"category":"Docs"}"#),
            (
                &[("a", "1")],
                r#"{"properties.a":2,"a":3}"#,
                r#"{"a":1,"properties.a":2,"properties.properties.a":3}"#,
            ),
            (&[("a", "1")], " [ ] ", r#"{"a":1}"#),
            (&[], r#"{"q\"\n":"\u00e9"}"#, r#"{"q\"\n":"\u00e9"}"#),
            (&[], r#"{"token":"k","api_key":"other"}"#, r#"{"api_key":"other"}"#),
        ] {
            assert_eq!(params(members, properties).unwrap().0, expected);
        }
    }

    #[test]
    fn what_asks_for_no_place_is_seen_at_the_top_only() {
        for (properties, no_geoip) in [
            (r#"{"$geoip_disable":true}"#, true),
            (r#"{"$geoip_disable":false}"#, false),
            (r#"{"a":{"$geoip_disable":true}}"#, false),
        ] {
            assert_eq!(params(&[], properties).unwrap().1, Asks { no_geoip }, "{properties}");
        }
    }

    #[test]
    fn properties_are_an_object_with_no_more_members_than_an_event_may_have() {
        assert_eq!(params(&[], "7"), Err("wrong_type".into()));
        assert_eq!(params(&[], "[1]"), Err("wrong_type".into()));
        let many: Vec<String> = (0..1_000).map(|n| format!("\"k{n}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        assert!(params(&[], &many).is_ok());
        assert_eq!(params(&[("a", "1")], &many), Err("too_many_members".into()));
    }
}
