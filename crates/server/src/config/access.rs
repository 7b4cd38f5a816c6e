//! Configuration of who is believed, how much they may do, and what secrets are kept with.

use super::{Config, Span, invalid, seconds};
use angarium_base::{Result, Secret};
use angarium_feed::limits::Rule;
use angarium_identity::{Issuer as Trusted, Keys, Settings};
use angarium_kit::{
    access::{PROXY_ISSUER, Proxy},
    gate::Rates,
    http::{TrustedProxies, parse_duration},
};
use http::{HeaderName, header};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Headers that a proxy passes on as callers send them.
const OF_CALLERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::ORIGIN,
    header::REFERER,
    header::USER_AGENT,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::FORWARDED,
];

/// Whose tokens are believed. Keys of apps need none of this.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// What the `aud` of tokens has to name: this deployment, and no other.
    pub audience: String,
    /// By how much the clocks of issuers may differ.
    pub leeway: Span,
    /// Whether the data directory has an issuer of its own, for development (`angarium token mint`); only with `db = "sqlite"`.
    pub local_issuer: bool,
    /// Whether the first start on an empty store makes an app, its keys and, with the local issuer, a token.
    pub first_start: bool,
    pub proxy: TrustedProxy,
    pub issuers: Vec<Issuer>,
}

/// A proxy in front that has signed people in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct TrustedProxy {
    /// The header in which it names the user, by address of e-mail, such as `x-forwarded-email`; none, if empty.
    pub header: String,
    /// Its addresses: nobody else's header is believed.
    pub addresses: Vec<String>,
}

/// Somebody who signs tokens.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// `iss` of its tokens, exactly.
    pub issuer: String,
    /// Where its public keys are (JWKS); or
    pub jwks_url: Option<String>,
    /// a file with its public key or keys, PEM; or
    pub public_key: Option<PathBuf>,
    /// the secret that it shares with this server.
    pub secret: Option<String>,
    /// Which algorithms; those that fit the keys, if none are named.
    pub algorithms: Vec<String>,
    /// `aud`, where it is not `auth.audience`.
    pub audience: Option<String>,
    pub subject_claim: Option<String>,
    pub tenant_claim: Option<String>,
    pub email_claim: Option<String>,
}

/// How many requests are let in. Each is a number per time, such as `100/s`, `5000/m` or `10/2s`, with a larger or
/// smaller bucket if `burst 200` follows; empty: no limit. Changed in the file, they hold within seconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of one key or one user.
    pub per_key: String,
    /// In one app.
    pub per_app: String,
    /// From one client address.
    pub per_address: String,
}

/// What secrets are kept with.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SecretKeys {
    /// Keys of 32 bytes in base64 (`openssl rand -base64 32`), the same for all processes; the first one seals, all
    /// open. With `db = "sqlite"` and none here, the data directory has one of its own.
    pub keys: Vec<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            audience: "angarium".into(),
            leeway: seconds(30),
            local_issuer: true,
            first_start: true,
            proxy: TrustedProxy::default(),
            issuers: Vec::new(),
        }
    }
}

impl Issuer {
    fn trusted(&self) -> Result<Trusted> {
        let keys = match (&self.jwks_url, &self.public_key, &self.secret) {
            (Some(url), None, None) => Keys::Jwks(url.clone()),
            (None, Some(file), None) => Keys::Pem(std::fs::read_to_string(file).map_err(|e| {
                invalid(format!(
                    "auth.issuers {}: the public key {} cannot be read: {e}",
                    self.issuer,
                    file.display()
                ))
            })?),
            (None, None, Some(secret)) => Keys::Secret(Secret::new(secret)),
            _ => {
                return Err(invalid(format!(
                    "auth.issuers {}: an issuer has one of jwks_url, public_key and secret",
                    self.issuer
                )));
            }
        };
        let mut trusted = Trusted::new(&self.issuer, keys);
        trusted.algorithms = self.algorithms.clone();
        trusted.audience = self.audience.clone();
        let claims = [
            (&mut trusted.subject_claim, &self.subject_claim),
            (&mut trusted.tenant_claim, &self.tenant_claim),
            (&mut trusted.email_claim, &self.email_claim),
        ];
        for (claim, given) in claims {
            if let Some(given) = given {
                *claim = given.clone();
            }
        }
        Ok(trusted)
    }
}

impl Config {
    /// Whose tokens are believed; `local` is the data directory's own issuer.
    ///
    /// # Errors
    /// `invalid_config`, naming the issuer.
    pub fn identity_settings(&self, local: Option<Trusted>) -> Result<Settings> {
        let mut issuers = self.auth.issuers.iter().map(Issuer::trusted).collect::<Result<Vec<_>>>()?;
        issuers.extend(local);
        Ok(Settings {
            issuers,
            audience: self.auth.audience.clone(),
            leeway: self.auth.leeway.0,
            fetching: Default::default(),
        })
    }

    /// The proxy whose word on who calls is taken.
    pub fn proxy(&self) -> Result<Option<Proxy>> {
        let TrustedProxy { header, addresses } = &self.auth.proxy;
        match (header.is_empty(), addresses.is_empty()) {
            (true, true) => return Ok(None),
            (false, false) => {}
            _ => {
                return Err(invalid(
                    "auth.proxy: `header` and `addresses` come together: a header is believed from these addresses only",
                ));
            }
        }
        let name: HeaderName = header
            .to_lowercase()
            .parse()
            .map_err(|_| invalid("auth.proxy.header is not the name of a header"))?;
        if OF_CALLERS.contains(&name) || name == "x-forwarded-for" || name.as_str().starts_with("sec-") {
            return Err(invalid(format!(
                "auth.proxy.header is not `{name}`, which callers send themselves: name one that the proxy sets, such as X-Forwarded-User"
            )));
        }
        Ok(Some(Proxy {
            header: name,
            addresses: TrustedProxies::parse(addresses)
                .map_err(|e| invalid(format!("auth.proxy.addresses: {}", e.message())))?,
        }))
    }

    /// The rate limits.
    pub fn rates(&self) -> Result<Rates> {
        let RateLimits { per_key, per_app, per_address } = &self.limits;
        Ok(Rates {
            per_key: rate("per_key", per_key)?,
            per_app: rate("per_app", per_app)?,
            per_address: rate("per_address", per_address)?,
        })
    }

    /// What types cannot say of these sections.
    pub(super) fn check_access(&self) -> Result<()> {
        self.proxy()?;
        self.rates()?;
        if self.auth.audience.is_empty() {
            return Err(invalid("auth.audience names this deployment; it is not empty"));
        }
        let settings = self.identity_settings(None)?;
        if settings.issuers.iter().any(|issuer| issuer.issuer == PROXY_ISSUER) {
            return Err(invalid(format!(
                "auth.issuers: the name {PROXY_ISSUER:?} is taken: the users that auth.proxy names are of it"
            )));
        }
        angarium_identity::Verifier::new(settings, angarium_base::Clock::system())
            .map_err(|e| invalid(format!("auth: {}", e.message())))?;
        angarium_kit::secrets::Secrets::new(&self.secrets.keys)
            .map_err(|e| invalid(format!("secrets.keys: {}", e.message())))?;
        Ok(())
    }

    /// Hides what is secret in these sections.
    pub(super) fn hide_access(&mut self, hidden: &str) {
        for issuer in &mut self.auth.issuers {
            issuer.secret = issuer.secret.take().map(|_| hidden.to_owned());
        }
        for key in &mut self.secrets.keys {
            *key = hidden.to_owned();
        }
    }
}

fn rate(name: &str, text: &str) -> Result<Option<Rule>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let bad = || {
        invalid(format!(
            "limits.{name} is a number per time such as 100/s, 5000/m or 10/2s, with `burst 200` after it or without; or empty"
        ))
    };
    let (rate, burst) = match text.split_once("burst") {
        Some((rate, burst)) => (rate.trim(), Some(burst.trim().parse::<u64>().map_err(|_| bad())?)),
        None => (text.trim(), None),
    };
    let (limit, per) = rate.split_once('/').ok_or_else(bad)?;
    let limit: u64 = limit.trim().parse().map_err(|_| bad())?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    let per = parse_duration(name, &per).map_err(|_| bad())?;
    if limit == 0
        || per.is_zero()
        || burst == Some(0)
        || limit > 1_000_000
        || burst.is_some_and(|n| n > 1_000_000)
    {
        return Err(bad());
    }
    let rule = Rule::new(limit, per);
    Ok(Some(burst.map_or(rule, |burst| rule.burst(burst))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn nobody_signs_tokens_in_the_proxys_name() {
        let secret = Some("0".repeat(32));
        let named = |name: &str| {
            let mut config = Config::default();
            let issuer = name.to_owned();
            config.auth.issuers.push(Issuer { issuer, secret: secret.clone(), ..Issuer::default() });
            config.check_access()
        };
        assert!(named("https://id.example").is_ok());
        assert!(named("proxy").unwrap_err().message().contains("is taken"));
    }

    #[test]
    fn what_callers_send_is_not_the_proxys_word() {
        let named = |header: &str| {
            let mut config = Config::default();
            config.auth.proxy = TrustedProxy { header: header.into(), addresses: vec!["127.0.0.1".into()] };
            config.proxy().map(|proxy| proxy.is_some())
        };
        assert!(named("X-Forwarded-Email").unwrap());
        for bad in ["Authorization", "cookie", "no name", "X-Forwarded-For", "Sec-Fetch-Site"] {
            assert!(named(bad).unwrap_err().message().contains("auth.proxy.header"), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_a_number_per_time() {
        let rule = |limit, s| Some(Rule::new(limit, Duration::from_secs(s)));
        assert_eq!(rate("per_key", "").unwrap(), None);
        assert_eq!(rate("per_key", "100/s").unwrap(), rule(100, 1));
        assert_eq!(rate("per_key", " 5000 / m ").unwrap(), rule(5000, 60));
        assert_eq!(rate("per_key", "10/2s burst 50").unwrap(), rule(10, 2).map(|rule| rule.burst(50)));
        for bad in ["100", "0/s", "x/s", "10/x", "10/0s", "10/s burst", "10/s burst 0", "-1/s"] {
            assert!(rate("per_key", bad).unwrap_err().message().contains("per_key"), "{bad}");
        }
    }
}
