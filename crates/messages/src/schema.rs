//! Schemas of messages: compiled once, held in memory, read anew when another process has changed one.

use crate::{
    Shared, bounds,
    rules::{INVALID_SCHEMA, MAX_FAULTS},
    store::{self, SchemaRow},
};
use angarium_base::{AppId, Result, error::Fault};
use angarium_kit::Kit;
use jsonschema::{PatternOptions, Validator};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The feed's topic on which processes tell each other that a schema has changed.
pub const CHANGED: &str = "message schemas";
/// How often a process looks all the same.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of a schema.
pub const MAX_BYTES: usize = 256 << 10;
/// What a regular expression of a schema may take compiled.
const PATTERN_BYTES: usize = 1 << 20;

/// What becomes of a message that its app's schema does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    /// The POST is refused.
    #[default]
    Refuse,
    /// It is taken in, and becomes a dead letter.
    SetAside,
}

impl OnMismatch {
    pub fn as_str(self) -> &'static str {
        match self {
            OnMismatch::Refuse => "refuse",
            OnMismatch::SetAside => "set_aside",
        }
    }

    pub fn parse(text: &str) -> OnMismatch {
        if text == "set_aside" { OnMismatch::SetAside } else { OnMismatch::Refuse }
    }
}

/// A schema that messages can be checked by.
pub struct Schema {
    version: i64,
    on_mismatch: OnMismatch,
    validator: Validator,
}

impl Schema {
    /// # Errors
    /// `invalid_schema`
    pub fn compile(document: &Value) -> Result<Validator> {
        bounds::check(document).map_err(|why| {
            INVALID_SCHEMA.err(format!("the document cannot be used as a JSON Schema: {why}"))
        })?;
        // This engine's time is linear in the text, whatever the pattern; and nothing is fetched for a `$ref`.
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
        jsonschema::options().with_pattern_options(patterns).build(document).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the document".to_owned() } else { format!("`{place}`") };
            INVALID_SCHEMA
                .err(format!("{place} cannot be used as a JSON Schema: {}", shortened(&error.to_string())))
        })
    }

    fn of(row: &SchemaRow) -> Result<Schema> {
        let document: Value = serde_json::from_str(&row.document)
            .map_err(|error| INVALID_SCHEMA.err("the schema is no JSON").with_source(error))?;
        let validator = Schema::compile(&document)?;
        Ok(Schema { version: row.version, on_mismatch: OnMismatch::parse(&row.on_mismatch), validator })
    }

    pub fn refuses(&self) -> bool {
        self.on_mismatch == OnMismatch::Refuse
    }

    pub fn sets_aside(&self) -> bool {
        self.on_mismatch == OnMismatch::SetAside
    }

    /// Checks a document that is JSON.
    ///
    /// # Errors
    /// What the schema says, at least one fault.
    pub fn check(&self, document: &str) -> Result<(), Vec<Fault>> {
        let fault = |pointer: String, detail: String| Fault { pointer, code: "schema_mismatch", detail };
        let value: Value = serde_json::from_str(document)
            .map_err(|error| vec![fault(String::new(), format!("it cannot be checked: {error}"))])?;
        let faults: Vec<Fault> = self
            .validator
            .iter_errors(&value)
            .take(MAX_FAULTS)
            .map(|error| fault(error.instance_path().to_string(), shortened(&error.masked().to_string())))
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Characters of what is said of one fault.
const SAID_MAX: usize = 300;

fn shortened(text: &str) -> String {
    text.chars().take(SAID_MAX).collect()
}

/// What several faults say, in one line.
pub fn sentence(faults: &[Fault]) -> String {
    let each = faults.iter().map(|fault| match fault.pointer.as_str() {
        "" => fault.detail.clone(),
        pointer => format!("{pointer}: {}", fault.detail),
    });
    let all: Vec<_> = each.collect();
    all.join("; ").chars().take(1_000).collect()
}

/// The schemas of all apps, as far as this process knows.
#[derive(Default)]
pub struct Schemas {
    loaded: OnceCell<()>,
    by_app: RwLock<HashMap<AppId, Arc<Schema>>>,
}

impl Schemas {
    /// The app's schema, if it has one.
    ///
    /// # Errors
    /// `unavailable` when they were never read yet, and cannot be.
    pub async fn of(&self, kit: &Kit, app: &AppId) -> Result<Option<Arc<Schema>>> {
        self.loaded.get_or_try_init(|| self.look(kit)).await?;
        Ok(self.by_app.read().get(app).cloned())
    }

    /// Reads what is new.
    pub async fn look(&self, kit: &Kit) -> Result<()> {
        let versions = kit.db.read(store::schema_versions).await?;
        let known: HashMap<AppId, i64> =
            self.by_app.read().iter().map(|(app, schema)| (app.clone(), schema.version)).collect();
        let mut changed = Vec::new();
        for (app, version) in &versions {
            let Some(id) = AppId::parse(app) else { continue };
            if known.get(&id) != Some(version)
                && let Some(row) = kit
                    .db
                    .read({
                        let app = app.clone();
                        move |tx| store::schema(tx, &app)
                    })
                    .await?
            {
                // What was kept was good once: a later version of this program may see it otherwise.
                match tokio::task::block_in_place(|| Schema::of(&row)) {
                    Ok(schema) => changed.push((id, Arc::new(schema))),
                    Err(error) => {
                        tracing::error!(?error, %id, "the schema of an app's messages cannot be used")
                    }
                }
            }
        }
        let mut by_app = self.by_app.write();
        by_app.retain(|app, _| versions.iter().any(|(name, _)| name == app.as_str()));
        by_app.extend(changed);
        Ok(())
    }
}

/// Keeps the schemas up with what other processes change.
pub async fn follow(kit: Kit, shared: Arc<Shared>, stop: CancellationToken) {
    if !kit.db.is_shared() {
        return;
    }
    let (mut changed, mut failing) = (kit.feed.subscribe(CHANGED), false);
    while stop.run_until_cancelled(tokio::time::timeout(LOOK, changed.next())).await.is_some() {
        match shared.schemas.look(&kit).await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "schemas of messages cannot be read at the moment; will try again");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(document: Value) -> Schema {
        Schema { version: 1, on_mismatch: OnMismatch::Refuse, validator: Schema::compile(&document).unwrap() }
    }

    #[test]
    fn a_mismatch_is_told_in_the_schemas_words_and_by_place() {
        let schema = schema(json!({
            "type": "object", "required": ["user"], "properties": { "level": { "type": "integer", "maximum": 9 } },
        }));
        assert!(schema.check("{\"user\":1,\"level\":9}").is_ok());
        let faults = schema.check("{\"level\":10}").unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(
            faults.iter().any(|fault| fault.pointer == "/level" && fault.detail.contains("maximum of 9")),
            "{faults:?}"
        );
        assert!(sentence(&faults).contains("\"user\" is a required property"), "{}", sentence(&faults));
    }

    #[test]
    fn what_is_no_schema_is_refused_and_nothing_is_fetched() {
        for document in [
            json!({ "type": "nothing" }),
            json!({ "$ref": "http://127.0.0.1:9/schema.json" }),
            json!({ "pattern": "(" }),
            json!({ "pattern": "(a{1000}){1000}" }),
        ] {
            assert_eq!(
                Schema::compile(&document).err().map(|e| e.code().name),
                Some("invalid_schema"),
                "{document}"
            );
        }
    }
}
