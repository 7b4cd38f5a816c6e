//! `angarium token mint` and `angarium secrets new-key`: what is needed to try a server, made here. In production an
//! issuer of one's own signs tokens.

use super::{
    config,
    failure::{Failure, Result},
    keys::{duration, instant_after},
    output::say,
};
use crate::{
    config::{Config, Store},
    open::{LOCAL_ADMIN, local_token},
    private_file::LocalIssuer,
};
use angarium_base::{Clock, Secret, clock::Millis};
use angarium_identity::{Identity, Issuer, Keys, SigningKey, mint};
use angarium_kit::secrets::Secrets;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(clap::Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print a token: of the data directory's own issuer, or signed with a key of yours
    Mint(MintArgs),
}

#[derive(clap::Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    action: SecretsAction,
}

#[derive(clap::Subcommand)]
enum SecretsAction {
    /// Print a new key: 32 random bytes in base64
    NewKey,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("signer").args(["secret_file", "private_key"]))]
struct MintArgs {
    /// The configuration file, TOML
    #[arg(long, env = "ANGARIUM_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory whose issuer signs; a server may run on it [default: data]
    #[arg(long, conflicts_with = "signer")]
    data_dir: Option<PathBuf>,
    /// Sign with the secret in this file
    #[arg(long, value_name = "FILE", requires = "issuer")]
    secret_file: Option<PathBuf>,
    /// Sign with the private key in this file (PEM)
    #[arg(long, value_name = "FILE", requires = "issuer")]
    private_key: Option<PathBuf>,
    /// Who vouches (`iss`), with --secret-file or --private-key; one that the configuration has lends its claims' names
    #[arg(long, requires = "signer")]
    issuer: Option<String>,
    /// For whom it speaks (`sub`)
    #[arg(long, default_value = LOCAL_ADMIN)]
    subject: String,
    /// The tenant within the issuer
    #[arg(long)]
    tenant: Option<String>,
    /// The address of e-mail
    #[arg(long)]
    email: Option<String>,
    /// How long it is good
    #[arg(long, default_value = "12h", value_parser = duration)]
    expires: Duration,
    /// For which deployment (`aud`) [default: auth.audience of the configuration]
    #[arg(long)]
    audience: Option<String>,
    /// HS256, RS256, ES256, EdDSA, … [default: the one that fits the key]
    #[arg(long, requires = "signer")]
    algorithm: Option<String>,
    /// Which key of the issuer's set it is (`kid`)
    #[arg(long, requires = "signer")]
    key_id: Option<String>,
}

/// Tried in this order where none is named: a key fits those of its own type only.
const OF_PRIVATE_KEYS: [&str; 4] = ["EdDSA", "ES256", "ES384", "RS256"];

pub fn run(args: TokenArgs) -> Result {
    let Action::Mint(args) = args.action;
    let mut config = config::load(args.config.as_deref())?;
    let now = Clock::system().now();
    let token = match &args.issuer {
        Some(issuer) => signed(&args, issuer, &config, now)?,
        None => {
            config.data_dir = args.data_dir.clone().unwrap_or(config.data_dir);
            let local = local_issuer(&config)?;
            let identity = args.identity(&local.issuer, now)?;
            local_token(&local, args.audience(&config), &identity, now)?
        }
    };
    Ok(say(&token)?)
}

/// `angarium secrets new-key`
pub fn secrets(args: SecretsArgs) -> Result {
    let SecretsAction::NewKey = args.action;
    Ok(say(&Secrets::new_key()?)?)
}

fn local_issuer(config: &Config) -> Result<LocalIssuer> {
    let or_a_key =
        "sign with a key of an issuer in auth.issuers (--issuer and --secret-file or --private-key)";
    if !config.auth.local_issuer || !matches!(config.store()?, Store::Folder) {
        return Err(Failure::usage(format!(
            "with this configuration a data directory has no issuer of its own (auth.local_issuer, and only with db = \"sqlite\"): {or_a_key}"
        )));
    }
    let dir = &config.data_dir;
    LocalIssuer::load(dir)?.ok_or_else(|| {
        let dir = dir.display();
        Failure::new(format!("{dir} has no issuer of its own: start a server on it once, or {or_a_key}"))
    })
}

fn signed(args: &MintArgs, issuer: &str, config: &Config, now: Millis) -> Result<String> {
    let (key, algorithms) = match (&args.secret_file, &args.private_key) {
        (Some(file), _) => (SigningKey::Secret(Secret::new(read(file)?.trim_end())), &["HS256"][..]),
        (None, Some(file)) => (SigningKey::Pem(Secret::new(read(file)?)), &OF_PRIVATE_KEYS[..]),
        (None, None) => return Err(Failure::usage("--issuer takes --secret-file or --private-key")),
    };
    let known = config.identity_settings(None)?.issuers.into_iter().find(|known| known.issuer == issuer);
    // Nothing is verified with the keys of this one.
    let known = known.unwrap_or_else(|| Issuer::new(issuer, Keys::Pem(String::new())));
    let (identity, audience) = (args.identity(issuer, now)?, args.audience(config));
    let mut claims = known.claims(&identity, audience, now);
    if let Some(audience) = &args.audience {
        claims.insert("aud".into(), audience.as_str().into());
    }
    let sign = |algorithm: &str| mint(&key, algorithm, args.key_id.as_deref(), &claims);
    if let Some(algorithm) = &args.algorithm {
        return Ok(sign(algorithm)?);
    }
    let (last, others) = algorithms.split_last().ok_or_else(|| Failure::new("no algorithm is known"))?;
    match others.iter().find_map(|algorithm| sign(algorithm).ok()) {
        Some(token) => Ok(token),
        None => Ok(sign(last)?),
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))
}

impl MintArgs {
    fn identity(&self, issuer: &str, now: Millis) -> Result<Identity> {
        Ok(Identity {
            issuer: issuer.to_owned(),
            tenant: self.tenant.clone(),
            subject: self.subject.clone(),
            email: self.email.clone(),
            expires_at: instant_after(now, self.expires)?,
        })
    }

    fn audience<'a>(&'a self, config: &'a Config) -> &'a str {
        self.audience.as_deref().unwrap_or(&config.auth.audience)
    }
}
