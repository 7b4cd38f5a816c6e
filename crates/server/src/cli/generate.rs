//! `angarium generate`: the documentation that is made from the code. `--check` only compares.

use super::{
    compat,
    failure::{Failure, Result},
    output::say,
};
use crate::{api, config::Config, slices};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
pub struct GenerateArgs {
    /// The repository's root
    #[arg(long)]
    dir: PathBuf,
    /// Fail if a file is not what would be written
    #[arg(long)]
    check: bool,
}

pub fn run(args: GenerateArgs) -> Result {
    let mut stale = Vec::new();
    let described = api::openapi(slices::all(&Config::default())?);
    let document = serde_json::to_string_pretty(&described).map_err(|e| Failure::new(e.to_string()))? + "\n";
    let files = [("docs/errors.md", errors()), ("docs/config.md", config()?), ("api/openapi.json", document)];
    for (name, text) in files {
        let path = args.dir.join(name);
        if std::fs::read_to_string(&path).ok().as_deref() == Some(&text) {
            continue;
        }
        if args.check {
            stale.push(name);
        } else {
            std::fs::write(&path, text)?;
            say(&format!("wrote {name}"))?;
        }
    }
    if stale.is_empty() {
        return breaks_nobody(&args.dir, &described);
    }
    Err(Failure::new(format!("{} is not what the code says; run `cargo xtask codegen`", stale.join(", "))))
}

/// The API of the last release, as its clients know it.
const RELEASED: &str = "api/released.json";

fn breaks_nobody(dir: &Path, described: &serde_json::Value) -> Result {
    let unreadable = |why: String| Failure::new(format!("{RELEASED} cannot be read: {why}"));
    let released = std::fs::read_to_string(dir.join(RELEASED)).map_err(|e| unreadable(e.to_string()))?;
    let released = serde_json::from_str(&released).map_err(|e| unreadable(e.to_string()))?;
    let found = compat::breaks(&released, described);
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the API breaks its clients:\n  {}\nkeep what was there, or, for a new major version, copy api/openapi.json to {RELEASED}",
        found.join("\n  ")
    )))
}

fn errors() -> String {
    let mut out = String::from(
        "# Errors\n\nMade by `cargo xtask codegen` from the code; do not edit.\n\nEvery refusal is an `application/problem+json` document (RFC 9457) with one of these codes in `code`.\n\n| Code | Status | What it means, and what to do |\n|---|---|---|\n",
    );
    for code in slices::codes() {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} |", code.name, code.kind.status(), code.doc.trim());
    }
    out.push_str("\n## What can be wrong with one event\n\nIn `errors` for a single event, in `rejected` for several; each with the place in `pointer`.\n\n| Code | What it means |\n|---|---|\n");
    for (code, meaning) in angarium_tracking::rules::FAULTS {
        let _ = writeln!(out, "| `{code}` | {meaning} |");
    }
    out
}

fn config() -> Result<String> {
    let shown = Config::default().show()?;
    Ok(format!(
        "# Configuration\n\nMade by `cargo xtask codegen` from the code; do not edit.\n\n\
         These are the keys with their defaults, as `angarium config show` prints them. A file with some of them is given with \
         `--config FILE` (or `ANGARIUM_CONFIG`); a variable `ANGARIUM_SECTION__KEY` wins over the file \
         (`ANGARIUM_HTTP__LISTEN=0.0.0.0:8080`, `ANGARIUM_DATA_DIR=/var/lib/angarium`), the command line over both. \
         Unknown keys are refused. Durations are `500ms`, `20s`, `5m`, `2h`, `1d`.\n\n```toml\n{shown}```\n\n\
         Not shown, because they have no default:\n\n```toml\n{WITHOUT_DEFAULT}```\n\n\
         Of `[[auth.issuers]]` there are as many as there are issuers; what they and `[auth.proxy]` are for is in [security.md](security.md#tokens).\n"
    ))
}

/// What `config show` leaves out, as an example.
const WITHOUT_DEFAULT: &str = r#"[tracking]
geoip = "GeoLite2-City.mmdb"   # a MaxMind-format file; reloaded when it changes

[retention.events]          # or [retention."*"] for streams that are not named
age = "90d"                 # older records are removed
bytes = 50000000000         # and the oldest, while the stream takes more than this on disk

[auth.proxy]                # a proxy in front that signs people in; both or neither
header = "x-forwarded-email"   # in which it names the person, by address of e-mail
addresses = ["10.0.0.5", "10.1.0.0/16"]   # its own: nobody else's header is believed; `loopback` and `private` are understood

[[auth.issuers]]            # who signs tokens; it has one of jwks_url, public_key and secret
issuer = "https://id.acme.com"   # `iss` of its tokens, exactly
jwks_url = "https://id.acme.com/.well-known/jwks.json"   # its public keys (JWKS): https, or http to this machine
algorithms = ["RS256", "ES256"]   # [default: all that fit its keys]
audience = "angarium"       # what `aud` of its tokens has to be [default: auth.audience]
subject_claim = "sub"       # the claim that says who it is [default: sub]
tenant_claim = "tenantId"   # and in which tenant of the issuer [default: tenantId]
email_claim = "email"       # and by which address [default: email]

[[auth.issuers]]
issuer = "https://build.acme.com"
public_key = "/etc/angarium/build.pem"   # one public key or several, PEM: RSA of 2048 bits or more, P-256, P-384, Ed25519

[[auth.issuers]]
issuer = "https://shop.acme.com"
secret = "at least 32 bytes that both of you know, and nobody else"   # HS256; 48 bytes for HS384, 64 for HS512
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manual_shows_is_a_configuration() {
        let config: Config = toml::from_str(WITHOUT_DEFAULT).unwrap();
        assert_eq!(config.auth.issuers.len(), 3);
        assert!(config.proxy().unwrap().is_some());
    }
}
