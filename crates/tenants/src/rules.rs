//! What names, bundle ids, origins and holders may be. Pure.

use crate::model::NewGrant;
use angarium_base::error::Fault;
use angarium_kit::access::{Holder, is_email};

angarium_base::codes! {
    /// What the body asks for cannot be. `errors` names each place.
    INVALID_BODY = "invalid_body": Invalid;
    /// Another app has this bundle id. Choose another one; of a deleted app it is free at once.
    BUNDLE_ID_TAKEN = "bundle_id_taken": Conflict;
    /// An app keeps at least one admin: a grant, or a key that does not expire. Give somebody else the role first.
    LAST_ADMIN = "last_admin": Conflict;
    /// This principal has a grant on the app already. Change its role (`PATCH`).
    GRANT_EXISTS = "grant_exists": Conflict;
    /// Another key is being made in this one's place already, or its time is over. Rotate the one that the detail names, or make a new key.
    KEY_REPLACED = "key_replaced": Conflict;
    /// There are as many of these as there may be. Delete some that are not used.
    TOO_MANY = "too_many": Conflict;
}

/// Keys of one app.
pub const KEYS_MAX: i64 = 1_000;
/// Grants of one app.
pub const GRANTS_MAX: i64 = 10_000;
/// Apps that one user has made and that are there. What others give somebody a role in is not counted.
pub const APPS_MAX: i64 = 1_000;
/// Origins of one app.
pub const ORIGINS_MAX: usize = 50;
const TEXT_MAX: usize = 255;

pub fn fault(pointer: &str, code: &'static str, detail: impl Into<String>) -> Fault {
    Fault { pointer: pointer.into(), code, detail: detail.into() }
}

/// A name: 1 to 255 characters.
pub fn check_name(name: &str) -> Option<Fault> {
    let is_good = (1..=TEXT_MAX).contains(&name.chars().count()) && !name.contains('\0');
    (!is_good).then(|| fault("/name", "invalid_name", "a name has 1 to 255 characters, and no NUL"))
}

/// A bundle id: `com.acme.shop`.
pub fn check_bundle_id(text: &str) -> Option<Fault> {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_good = text.len() <= TEXT_MAX && text.split('.').count() >= 3 && text.split('.').all(is_part);
    let detail = "a bundle id has three or more parts of lower-case letters and digits between dots, such as com.acme.shop; 255 characters at most";
    (!is_good).then(|| fault("/bundle_id", "invalid_bundle_id", detail))
}

/// Origins as browsers write them: scheme, host, port if it is not the scheme's own.
pub fn check_origins(origins: &[String]) -> Vec<Fault> {
    if origins.len() > ORIGINS_MAX {
        let detail = format!("an app may have {ORIGINS_MAX} origins");
        return vec![fault("/cors_origins", "too_many", detail)];
    }
    let bad = origins.iter().enumerate().filter(|(_, origin)| !is_origin(origin));
    let detail = "an origin is `*`, or a scheme and a host in lower case, such as https://shop.example or http://localhost:3000";
    bad.map(|(at, _)| fault(&format!("/cors_origins/{at}"), "invalid_origin", detail)).collect()
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest.filter(|_| text.len() <= TEXT_MAX) else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_host = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    let is_port = |port: &str| {
        (1..=5).contains(&port.len())
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    is_host && port.is_none_or(is_port)
}

/// Who a grant is for. `issuers` are those whose tokens are believed.
pub fn holder(new: &NewGrant, issuers: &[String]) -> Result<Holder, Vec<Fault>> {
    let one = |found: Fault| Err(vec![found]);
    let is_text =
        |text: &String| (1..=TEXT_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    match (&new.email, &new.subject) {
        (Some(email), None) => {
            if new.issuer.is_some() || new.tenant.is_some() {
                return one(fault(
                    "/email",
                    "not_with_email",
                    "an address stands alone: without `issuer` and `tenant`",
                ));
            }
            let email = email.trim().to_lowercase();
            if !is_email(&email) {
                return one(fault("/email", "invalid_email", "this is not an e-mail address"));
            }
            Ok(Holder::Email(email))
        }
        (None, Some(subject)) => {
            let texts = [
                ("/subject", Some(subject)),
                ("/issuer", new.issuer.as_ref()),
                ("/tenant", new.tenant.as_ref()),
            ];
            let bad = texts.into_iter().filter(|(_, text)| text.is_some_and(|text| !is_text(text)));
            let faults: Vec<Fault> = bad
                .map(|(place, _)| fault(place, "invalid_text", "1 to 255 characters, no control characters"))
                .collect();
            if !faults.is_empty() {
                return Err(faults);
            }
            let issuer = match (&new.issuer, issuers) {
                (Some(issuer), _) => issuer.clone(),
                (None, [only]) => only.clone(),
                (None, _) => {
                    return one(fault(
                        "/issuer",
                        "missing",
                        "say which issuer's subject this is (`iss` of its tokens)",
                    ));
                }
            };
            let tenant = new.tenant.clone().unwrap_or_default();
            Ok(Holder::Subject { issuer, tenant, subject: subject.clone() })
        }
        _ => one(fault("", "missing", "a grant is for an `email` or for a `subject`, one of the two")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GrantRole;

    #[test]
    fn bundle_ids_are_as_the_old_system_took_them() {
        for good in ["com.acme.shop", "a.b.c", "0.1.2.3", "com.acme.shop2.beta"] {
            assert_eq!(check_bundle_id(good), None, "{good}");
        }
        for bad in [
            "",
            "com.acme",
            "com..shop",
            ".com.acme.shop",
            "com.Acme.shop",
            "com.acme-x.shop",
            "com.acme.shop.",
        ] {
            assert!(check_bundle_id(bad).is_some(), "{bad}");
        }
        assert!(check_bundle_id(&format!("a.b.{}", "c".repeat(252))).is_some());
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        for good in ["*", "https://shop.example", "http://localhost:3000", "http://127.0.0.1"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "shop.example",
            "https://",
            "https://a/",
            "https://A.example",
            "https://a:",
            "https://a:99999",
            "ftp://a",
            "null",
            "https://*.a",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn a_grant_names_one_holder() {
        let grant = |email: Option<&str>, subject: Option<&str>, issuer: Option<&str>| NewGrant {
            email: email.map(Into::into),
            subject: subject.map(Into::into),
            issuer: issuer.map(Into::into),
            tenant: None,
            role: GrantRole::Viewer,
        };
        let one = ["https://id.example".to_owned()];
        let email = holder(&grant(Some(" Ana@Acme.com "), None, None), &[]).unwrap();
        assert_eq!(email, Holder::Email("ana@acme.com".into()));
        let subject = holder(&grant(None, Some("u1"), None), &one).unwrap();
        let expected =
            Holder::Subject { issuer: one[0].clone(), tenant: String::new(), subject: "u1".into() };
        assert_eq!(subject, expected);
        for bad in [
            grant(None, None, None),
            grant(Some("a@b"), Some("u1"), None),
            grant(Some("no address"), None, None),
            grant(Some("a@b.c"), None, Some("https://id.example")),
            grant(None, Some("a\nb"), None),
        ] {
            assert!(holder(&bad, &one).is_err());
        }
        assert!(holder(&grant(None, Some("u1"), None), &[]).is_err(), "no issuer is believed");
    }
}
