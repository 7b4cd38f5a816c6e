//! `angarium grants …`: who has which role in an app.

use super::{
    apps::say_deleted,
    connection::{CallArgs, Connection},
    failure::Result,
    output::say_as,
    table::{aligned, printable, titled},
};
use angarium_client::{Grant, NewGrant, Page, Role};

#[derive(clap::Args)]
pub struct GrantsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show who has which role
    List(CallArgs),
    /// Give somebody a role, also before they ever came
    Create {
        #[command(flatten)]
        new: NewGrantArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Give a grant another role
    Change {
        /// The grant's id
        grant: String,
        #[command(flatten)]
        role: GrantRoleArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Take a grant back; whoever has one may give it up
    Delete {
        /// The grant's id, or `mine`: all that you have on the app
        grant: String,
        #[command(flatten)]
        call: CallArgs,
    },
}

#[derive(clap::Args)]
pub struct GrantRoleArgs {
    /// The role
    #[arg(long, value_parser = role_parser(&Role::ALL[..4]))]
    role: Role,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["email", "subject"]))]
pub struct NewGrantArgs {
    /// Whoever has this address by an issuer's word
    #[arg(long)]
    email: Option<String>,
    /// Whose tokens have this `sub`
    #[arg(long)]
    subject: Option<String>,
    /// The issuer of their tokens [default: the server's only one]
    #[arg(long, requires = "subject")]
    issuer: Option<String>,
    /// The tenant within the issuer
    #[arg(long, requires = "subject")]
    tenant: Option<String>,
    #[command(flatten)]
    role: GrantRoleArgs,
}

pub async fn run(args: GrantsArgs) -> Result {
    match args.action {
        Action::List(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            say_grants(call.json, client.list_grants(&app).await?)
        }
        Action::Create { new, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            say_grant(call.json, &client.create_grant(&app, &new.into(), None).await?)
        }
        Action::Change { grant, role, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            say_grant(call.json, &client.change_grant(&app, &grant, role.role).await?)
        }
        Action::Delete { grant, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            client.delete_grant(&app, &grant).await?;
            say_deleted(call.json, &grant)
        }
    }
}

/// Reads one of these roles; shells can complete it.
pub fn role_parser(roles: &[Role]) -> impl clap::builder::TypedValueParser<Value = Role> + use<> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let names: Vec<&'static str> = roles.iter().map(|role| role.as_str()).collect();
    PossibleValuesParser::new(names).try_map(|name| Role::parse(&name).ok_or("this is no role"))
}

impl From<NewGrantArgs> for NewGrant {
    fn from(args: NewGrantArgs) -> NewGrant {
        NewGrant {
            email: args.email,
            subject: args.subject,
            issuer: args.issuer,
            tenant: args.tenant,
            role: args.role.role,
        }
    }
}

pub fn say_grants(json: bool, grants: Vec<Grant>) -> Result {
    Ok(say_as(json, &Page { items: grants, next: None }, |page| {
        let row = |grant: &Grant| {
            let by = printable(&grant.created_by);
            [grant.id.clone(), grant.role.clone(), holder(grant), grant.created_at.clone(), by]
        };
        titled(["GRANT", "ROLE", "WHO", "SINCE", "BY"], page.items.iter().map(row))
    })?)
}

pub fn say_grant(json: bool, grant: &Grant) -> Result {
    Ok(say_as(json, grant, |grant| {
        aligned(&[
            ["grant".into(), grant.id.clone()],
            ["role".into(), grant.role.clone()],
            ["who".into(), holder(grant)],
            ["since".into(), grant.created_at.clone()],
            ["by".into(), printable(&grant.created_by)],
        ])
    })?)
}

/// An address, or `subject of issuer, tenant`.
fn holder(grant: &Grant) -> String {
    let subject = grant.email.as_deref().or(grant.subject.as_deref()).unwrap_or("-");
    let issuer = grant.issuer.as_ref().map(|issuer| format!(" of {issuer}")).unwrap_or_default();
    let tenant = grant.tenant.as_ref().map(|tenant| format!(", {tenant}")).unwrap_or_default();
    printable(&format!("{subject}{issuer}{tenant}"))
}
