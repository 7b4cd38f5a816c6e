//! `angarium send`: one event from the command line.

use super::{
    connection::ConnectionArgs,
    failure::{Failure, Result},
    output::say,
};
use angarium_client::Event;
use serde_json::{json, value::RawValue};
use std::collections::BTreeMap;

#[derive(clap::Args)]
pub struct SendArgs {
    /// The type of the event
    #[arg(value_name = "TYPE")]
    pub event_type: String,
    /// Parameters: key=text, or key:=json for numbers, true, false, null, lists and objects
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub pairs: Vec<(String, Box<RawValue>)>,
    /// Parameters as a JSON object; pairs are added to it
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    pub params: Option<Box<RawValue>>,
    /// An id; a second event with the same one is not counted [default: a random one]
    #[arg(long)]
    pub id: Option<String>,
    /// The device it happened on
    #[arg(long)]
    pub device_id: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

pub async fn run(args: SendArgs) -> Result {
    let json = args.json;
    let connection = args.connection.connect().await?;
    let event = event(args)?;
    let tracked = connection.client.track_events(&connection.app, std::slice::from_ref(&event)).await?;
    if let Some(rejection) = tracked.rejected.first() {
        let place = rejection.pointer.as_deref().map(|at| format!("{at}: ")).unwrap_or_default();
        return Err(Failure::new(format!("{place}{} ({})", rejection.detail, rejection.code)));
    }
    let id = event.id.unwrap_or_default();
    let is_new = tracked.duplicates == 0;
    Ok(say(&match (json, is_new) {
        (true, _) => json!({"id": id, "type": event.event_type, "accepted": is_new}).to_string(),
        (false, true) => format!("accepted {} {id}", event.event_type),
        (false, false) => format!("{} {id} is already there", event.event_type),
    })?)
}

fn event(args: SendArgs) -> Result<Event> {
    let event = Event::new(args.event_type);
    let mut event = match args.params {
        // As it was written.
        Some(params) if args.pairs.is_empty() => event.with_params(&params)?,
        params => {
            let mut all = params.map(|params| members(&params)).transpose().map_err(Failure::usage)?;
            let all = all.get_or_insert_default();
            all.extend(args.pairs);
            event.with_params(all)?
        }
    };
    event.device_id = args.device_id;
    // With an id of its own, the request can be repeated when no answer comes.
    Ok(match args.id {
        Some(id) => event.with_id(id),
        None => event.with_new_id(),
    })
}

/// The members of an object, each as it was written.
fn members(object: &RawValue) -> Result<BTreeMap<String, Box<RawValue>>, String> {
    serde_json::from_str(object.get()).map_err(|error| format!("not a JSON object ({error})"))
}

fn parse_pair(text: &str) -> Result<(String, Box<RawValue>), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value, or key:=json")?;
    let (key, value) = match key.strip_suffix(':') {
        Some(key) => (
            key,
            RawValue::from_string(value.to_owned()).map_err(|error| format!("no JSON after := ({error})"))?,
        ),
        None => (key, serde_json::value::to_raw_value(value).map_err(|error| error.to_string())?),
    };
    if key.is_empty() {
        return Err("there is no key before the =".into());
    }
    Ok((key.to_owned(), value))
}

fn parse_object(text: &str) -> Result<Box<RawValue>, String> {
    let object =
        RawValue::from_string(text.to_owned()).map_err(|error| format!("not a JSON object ({error})"))?;
    members(&object)?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_text_unless_they_say_json() {
        let pair = |text: &str| parse_pair(text).map(|(key, value)| format!("{key} {value}"));
        assert_eq!(pair("plan=pro"), Ok("plan \"pro\"".into()));
        assert_eq!(pair("n=1"), Ok("n \"1\"".into()));
        assert_eq!(pair("q=a=b"), Ok("q \"a=b\"".into()));
        assert_eq!(pair("empty="), Ok("empty \"\"".into()));
        assert_eq!(pair("n:=1"), Ok("n 1".into()));
        assert_eq!(pair("n:=1.10"), Ok("n 1.10".into()), "as it was written");
        assert_eq!(pair("list:=[1,2]"), Ok("list [1,2]".into()));
        for wrong in ["plan", "=x", ":=1", "n:=one"] {
            assert!(pair(wrong).is_err(), "{wrong}");
        }
        assert!(parse_object("[1]").is_err());
    }
}
