//! What the API shows and takes, and what the store keeps.

use angarium_base::{AppId, GrantId, KeyId, clock::Millis, time};
use angarium_kit::access::{App, Holder, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An app, the tenant that owns everything else.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "App")]
pub struct AppView {
    pub id: String,
    pub name: String,
    pub bundle_id: String,
    /// Client addresses are kept without their last part.
    pub truncate_addresses: bool,
    /// Origins of the pages that may call from a browser.
    pub cors_origins: Vec<String>,
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
}

impl From<&App> for AppView {
    fn from(app: &App) -> Self {
        AppView {
            id: app.id.to_string(),
            name: app.name.clone(),
            bundle_id: app.bundle_id.clone(),
            truncate_addresses: app.truncate_addresses,
            cors_origins: app.cors_origins.clone(),
            created_at: time::format(app.created_at),
        }
    }
}

/// A page of a list. `next` is a cursor for `after`, or null at the end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct List<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// What a new app is made of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[^\\u0000]*$"))]
    pub name: String,
    /// Three or more parts of lower-case letters and digits, between dots: `com.acme.shop`. Nobody else's.
    #[schemars(length(max = 255), regex(pattern = "^[a-z0-9]+(\\.[a-z0-9]+){2,}$"))]
    pub bundle_id: String,
}

/// What of an app is to be another. Members that are not there, or null, stay as they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AppChange")]
pub struct AppPatch {
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[^\\u0000]*$"))]
    pub name: Option<String>,
    #[schemars(length(max = 255), regex(pattern = "^[a-z0-9]+(\\.[a-z0-9]+){2,}$"))]
    pub bundle_id: Option<String>,
    pub truncate_addresses: Option<bool>,
    /// Such as `https://shop.example`, or `*` for all; without a path.
    #[schemars(
        length(max = 50),
        inner(
            length(max = 255),
            regex(
                pattern = "^(\\*|https?://[a-z0-9.-]+(:([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?)$"
            )
        )
    )]
    pub cors_origins: Option<Vec<String>>,
}

/// A role of somebody in an app.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Grant")]
pub struct GrantView {
    pub id: String,
    /// Who has it: this address …
    pub email: Option<String>,
    /// … or this subject (`sub`), of this issuer and tenant.
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub tenant: Option<String>,
    #[schemars(with = "GrantRole")]
    pub role: String,
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// Who gave it.
    pub created_by: String,
}

/// A grant as it is kept.
#[derive(Clone, Debug)]
pub struct GrantRow {
    pub id: GrantId,
    pub app: AppId,
    pub holder: Holder,
    pub role: Role,
    pub created_at: Millis,
    pub created_by: String,
}

impl From<&GrantRow> for GrantView {
    fn from(row: &GrantRow) -> Self {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let (email, subject, issuer, tenant) = match &row.holder {
            Holder::Email(email) => (Some(email.clone()), None, None, None),
            Holder::Subject { issuer, tenant, subject } => (None, text(subject), text(issuer), text(tenant)),
        };
        GrantView {
            id: row.id.to_string(),
            email,
            subject,
            issuer,
            tenant,
            role: row.role.as_str().to_owned(),
            created_at: time::format(row.created_at),
            created_by: row.created_by.clone(),
        }
    }
}

/// A role that people can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantRole {
    Admin,
    Operator,
    Sender,
    Viewer,
}

impl From<GrantRole> for Role {
    fn from(role: GrantRole) -> Role {
        match role {
            GrantRole::Admin => Role::Admin,
            GrantRole::Operator => Role::Operator,
            GrantRole::Sender => Role::Sender,
            GrantRole::Viewer => Role::Viewer,
        }
    }
}

/// Who is to have which role: `email`, or `subject`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    pub email: Option<String>,
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub tenant: Option<String>,
    pub role: GrantRole,
}

/// Who is to have which role, by the one or by the other. A schema only: what is read is [`NewGrant`], so that a
/// fault can be named.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "NewGrant")]
pub enum NewGrantOf {
    Email(EmailGrant),
    Subject(SubjectGrant),
}

/// A role for an address.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewEmailGrant")]
#[expect(dead_code, reason = "a schema only")]
pub struct EmailGrant {
    /// Whoever has this address by an issuer's word; it may be given before they ever came.
    #[schemars(length(min = 3, max = 254), regex(pattern = EMAIL_PATTERN))]
    email: String,
    role: GrantRole,
}

/// A role for a subject.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewSubjectGrant")]
#[expect(dead_code, reason = "a schema only")]
pub struct SubjectGrant {
    /// The `sub` of their tokens.
    #[schemars(length(min = 1, max = 255), regex(pattern = NO_CONTROL_PATTERN))]
    subject: String,
    /// The issuer of their tokens; the only one, if not given.
    #[schemars(length(min = 1, max = 255), regex(pattern = NO_CONTROL_PATTERN))]
    issuer: Option<String>,
    /// The tenant within the issuer, if it has some.
    #[schemars(length(min = 1, max = 255), regex(pattern = NO_CONTROL_PATTERN))]
    tenant: Option<String>,
    role: GrantRole,
}

const EMAIL_PATTERN: &str = r"^[^@\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]+@[^@\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]+$";
const NO_CONTROL_PATTERN: &str = r"^[^\u0000-\u001F\u007F-\u009F]+$";

/// Another role for a grant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GrantChange")]
pub struct GrantPatch {
    pub role: GrantRole,
}

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub struct KeyView {
    pub id: String,
    pub name: String,
    #[schemars(with = "KeyRole")]
    pub role: String,
    /// How its secret begins.
    pub hint: String,
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// Within a minute; null if never.
    #[schemars(extend("format" = "date-time"))]
    pub last_used_at: Option<String>,
}

/// A new API key. `key` is shown here and never again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MadeKey")]
pub struct KeyMade {
    #[serde(flatten)]
    pub view: KeyView,
    pub key: String,
}

/// A key as it is kept.
#[derive(Clone, Debug)]
pub struct KeyRow {
    pub id: KeyId,
    pub app: AppId,
    pub name: String,
    pub role: Role,
    pub hint: String,
    pub created_at: Millis,
    pub expires_at: Option<Millis>,
    pub last_used_at: Millis,
}

impl From<&KeyRow> for KeyView {
    fn from(row: &KeyRow) -> Self {
        KeyView {
            id: row.id.to_string(),
            name: row.name.clone(),
            role: row.role.as_str().to_owned(),
            hint: row.hint.clone(),
            created_at: time::format(row.created_at),
            expires_at: row.expires_at.map(time::format),
            last_used_at: (row.last_used_at > 0).then(|| time::format(row.last_used_at)),
        }
    }
}

/// A role that keys can have. `ingest` only sends events: such a key may be inside an app or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    Admin,
    Operator,
    Sender,
    Viewer,
    Ingest,
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Role {
        match role {
            KeyRole::Admin => Role::Admin,
            KeyRole::Operator => Role::Operator,
            KeyRole::Sender => Role::Sender,
            KeyRole::Viewer => Role::Viewer,
            KeyRole::Ingest => Role::Ingest,
        }
    }
}

/// What a new key is made of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[^\\u0000]*$"))]
    pub name: String,
    pub role: KeyRole,
    /// When it stops to be good; never, if not given.
    #[schemars(with = "Option<Instant>")]
    pub expires_at: Option<String>,
}

/// How a key is to be replaced.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "KeyRotation")]
pub struct Rotation {
    /// How long the old key is good beside the new one: `0s` ends it at once, `24h` if not given, `30d` at most.
    #[schemars(with = "Option<Span>")]
    pub overlap: Option<String>,
}

/// An RFC 3339 instant.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only")]
struct Instant(#[schemars(extend("format" = "date-time"))] String);

/// A duration: `90s`, `30m`, `24h`, `7d`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only")]
#[schemars(rename = "Overlap")]
struct Span(#[schemars(regex(pattern = SPAN))] String);

/// Up to 30 days.
const SPAN: &str = "^0*([0-9]{1,6}(ms|s)?|([0-9]{1,4}|[1-3][0-9]{4}|4[0-2][0-9]{3}|43[01][0-9]{2}|43200)m|([0-9]{1,2}|[1-6][0-9]{2}|7[01][0-9]|720)h|([0-2]?[0-9]|30)d)$";

/// Who the caller is, and in which apps it has which roles.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Identity")]
pub struct Me {
    /// `key` or `user`.
    pub kind: String,
    /// The key's id, or the user's subject.
    pub id: String,
    pub name: Option<String>,
    pub issuer: Option<String>,
    pub tenant: Option<String>,
    pub email: Option<String>,
    pub apps: Vec<MyApp>,
}

/// An app of the caller's, and its roles there.
#[derive(Serialize, JsonSchema)]
pub struct MyApp {
    pub id: String,
    pub bundle_id: String,
    pub name: String,
    #[schemars(with = "Vec<KeyRole>")]
    pub roles: Vec<String>,
}

/// A change in an app, by whom and from where.
#[derive(JsonSchema)]
pub struct AuditEntry {
    pub id: String,
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// `kind` is `key`, `user` or `console`; and what identifies it.
    pub actor: serde_json::Map<String, serde_json::Value>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// Such as `keys.create`.
    pub action: String,
    pub target: AuditTarget,
    /// What is new. Secrets are never in it.
    pub changes: serde_json::Map<String, serde_json::Value>,
}

/// What was changed.
#[derive(JsonSchema)]
pub struct AuditTarget {
    pub kind: String,
    pub id: String,
}
