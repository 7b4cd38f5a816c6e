//! Every operation of the server's own document × everybody who may come: each is answered with exactly what the
//! document says. An operation that nobody has written a request for is a failure.

use crate::{
    surface::{Guard, Operation, Sent},
    tenants::{Identity, Issuers, Tenant, new_email},
};
use angarium_suite::{Reply, World, eventually, note, tokens::now_s};
use serde_json::json;
use std::collections::BTreeMap;

/// Somebody who comes.
struct Comer {
    name: String,
    identity: Identity,
    is: Is,
}

/// What the server is to know of them.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    /// 401, wherever an identity is asked for.
    Unknown,
    Key(Place),
    User(Place),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    /// This role in the app of the matrix.
    Role(&'static str),
    /// Admin of the default app, which is the operator's.
    Operators,
    /// Admin of another app.
    Elsewhere,
    /// No role anywhere.
    Nowhere,
}

/// An app, and all who come to it.
struct Cast {
    tenant: Tenant,
    comers: Vec<Comer>,
    /// It, asked for with keys that are over soon.
    replaced: Vec<Tenant>,
}

impl Cast {
    async fn new(world: &World, issuers: &Issuers) -> Cast {
        let founder = new_email();
        let tenant = Tenant::found(world, &issuers.rsa.token(&founder)).await;
        let mut comers = unknown(issuers, &founder);
        let mut add = |name: &str, identity, is| comers.push(Comer { name: name.into(), identity, is });
        for role in ["ingest", "viewer", "sender", "operator", "admin"] {
            let key = tenant.key(role).await.secret;
            let is = Is::Key(Place::Role(role));
            add(&format!("key of role {role}, by basic"), Identity::Basic(key.clone()), is);
            add(&format!("key of role {role}"), Identity::Bearer(key), is);
        }
        for role in ["viewer", "sender", "operator", "admin"] {
            let subject = new_email();
            let holder = json!({ "subject": subject, "issuer": issuers.rsa.issuer, "role": role });
            tenant.grant(&holder).await;
            let token = issuers.rsa.token(&subject);
            add(&format!("user of role {role}"), Identity::Bearer(token), Is::User(Place::Role(role)));
        }
        let mut admins_email = String::new();
        for signer in [&issuers.p256, &issuers.secret] {
            let email = new_email();
            tenant.grant(&json!({ "email": email, "role": "admin" })).await;
            let token = signer.token_but("somebody", &json!({ "email": email }));
            let name = format!("admin by e-mail, of {}", signer.issuer);
            add(&name, Identity::Bearer(token), Is::User(Place::Role("admin")));
            admins_email = email;
        }
        let other = Tenant::found(world, &issuers.rsa.token(&new_email())).await;
        let key = other.key("admin").await.secret;
        add("key of another app's admin", Identity::Bearer(key), Is::Key(Place::Elsewhere));
        add("another app's admin", Identity::Bearer(other.token), Is::User(Place::Elsewhere));
        let operator = Identity::Bearer(world.secret_key().to_owned());
        add("key of the default app's admin", operator, Is::Key(Place::Operators));
        let unverified = json!({ "email": admins_email, "email_verified": false });
        for (name, token) in [
            ("user without any role", issuers.rsa.token(&new_email())),
            ("admin's subject, of another issuer", issuers.p256.token(&founder)),
            (
                "admin's subject, of another tenant",
                issuers.rsa.token_but(&founder, &json!({ "tenantId": "t" })),
            ),
            ("admin's e-mail, not verified", issuers.rsa.token_but(&new_email(), &unverified)),
        ] {
            add(name, Identity::Bearer(token), Is::User(Place::Nowhere));
        }

        let revoked = tenant.key("admin").await;
        assert_eq!(tenant.delete(&format!("/keys/{}", revoked.id)).await.status, 204);
        add("revoked key", Identity::Bearer(revoked.secret), Is::Unknown);
        let mut replaced = Vec::new();
        for (name, overlap) in [("replaced key", "0s"), ("expired key", "1s")] {
            let key = tenant.key("admin").await;
            let path = format!("/keys/{}/rotate", key.id);
            assert_eq!(tenant.post(&path, &json!({ "overlap": overlap })).await.status, 201);
            add(name, Identity::Bearer(key.secret.clone()), Is::Unknown);
            replaced.push(key.secret);
        }
        Cast { replaced: replaced.iter().map(|key| tenant.with(key)).collect(), tenant, comers }
    }

    /// Returns when the keys that are to have expired have.
    async fn is_complete(&self) {
        for key in &self.replaced {
            let what = "a key expires";
            eventually(what, async || (key.get("").await.status == 401).then_some(())).await;
        }
    }
}

/// Whom the server is to know nothing of, though they call themselves the app's admin.
fn unknown(issuers: &Issuers, admin: &str) -> Vec<Comer> {
    let rsa = &issuers.rsa;
    let (name, past, future) = (&*rsa.issuer, now_s() - 3_600, now_s() + 3_600);
    let strange = angarium_suite::Signer::strange_rsa(name);
    let (good, other) = (rsa.token(admin), rsa.token("somebody else"));
    let (said, _) = good.rsplit_once('.').expect("a token has three parts");
    let (_, signature) = other.rsplit_once('.').expect("a token has three parts");
    let without = |claim: &str| {
        let mut claims = rsa.claims(admin);
        claims.as_object_mut().expect("an object").remove(claim);
        rsa.sign(&claims)
    };
    let bearers = [
        ("signature of another key", strange.token(admin)),
        ("signature of another token", format!("{said}.{signature}")),
        ("no signature", format!("{said}.")),
        ("expired token", rsa.token_but(admin, &json!({ "exp": past }))),
        ("token that never expires", without("exp")),
        ("wrong audience", rsa.token_but(admin, &json!({ "aud": "another server" }))),
        ("no audience", without("aud")),
        ("alg: none", rsa.unsigned(admin)),
        ("HS256 with the public key", rsa.signed_with_the_public_key(admin)),
        ("not valid yet", rsa.token_but(admin, &json!({ "nbf": future }))),
        ("unknown issuer", angarium_suite::Signer::rsa("https://nobody.test").token(admin)),
        ("issuer whose key it is not", issuers.p256.token_but(admin, &json!({ "iss": name }))),
        ("no issuer", without("iss")),
        ("no subject", without("sub")),
        ("key that nobody has", format!("ang_sk_{}", "0".repeat(43))),
        ("neither key nor token", "admin".to_owned()),
    ];
    let comers = bearers.map(|(name, text)| (name, Identity::Bearer(text)));
    let others = [("nobody", Identity::Nobody), ("basic of a token", Identity::Basic(good.clone() + "x"))];
    let all = comers.into_iter().chain(others);
    all.map(|(name, identity)| Comer { name: name.into(), identity, is: Is::Unknown }).collect()
}

/// What the document and the rules of single operations say of somebody.
fn expected(operation: &Operation, comer: &Comer, success: u16) -> u16 {
    let is_basic = matches!(comer.identity, Identity::Basic(_));
    let is_unknown = comer.is == Is::Unknown || (is_basic && !operation.takes_basic);
    match &operation.guard {
        Guard::Public => success,
        // On loopback these are open to anybody who does not claim to be somebody.
        Guard::ByKey(_) if matches!(comer.identity, Identity::Nobody) && operation.is_open_on_loopback() => {
            success
        }
        _ if is_unknown => 401,
        Guard::Known => of_known(operation, comer, success),
        Guard::InApp(roles) => match comer.is {
            // It is somebody else's grant, which only an admin takes back.
            Is::Key(Place::Role(role)) | Is::User(Place::Role(role))
                if operation.same_as == "delete_grant" && role != "admin" =>
            {
                403
            }
            Is::Key(Place::Role(role)) | Is::User(Place::Role(role)) => of_role(roles, role, success),
            _ => 404,
        },
        Guard::ByKey(roles) => match comer.is {
            Is::Key(Place::Role(role)) | Is::User(Place::Role(role)) => of_role(roles, role, success),
            Is::Unknown | Is::Key(Place::Nowhere) | Is::User(Place::Nowhere) => 404,
            // It is about their own app then.
            Is::Key(_) | Is::User(_) => of_role(roles, "admin", success),
        },
    }
}

fn of_role(roles: &[String], role: &str, success: u16) -> u16 {
    if roles.iter().any(|one| one == role) { success } else { 403 }
}

/// Operations that are about no app have rules of their own.
fn of_known(operation: &Operation, comer: &Comer, success: u16) -> u16 {
    let is_refused = match &*operation.same_as {
        "create_app" => matches!(comer.is, Is::Key(_)),
        "list_apps" => comer.is == Is::Key(Place::Role("ingest")),
        "list_processes" => comer.is != Is::Key(Place::Operators),
        "show_identity" => false,
        other => panic!("{other} asks for no role, and nothing is said here of whom it refuses"),
    };
    if is_refused { 403 } else { success }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_everybody_as_the_document_says() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let mut operations = Operation::all(&world).await;
    // Who has made an app has two, and has to say which; and of a deleted one nothing can be asked.
    operations.sort_by_key(|operation| match &*operation.same_as {
        "create_app" => 1,
        "delete_app" => 2,
        _ => 0,
    });
    let cast = Cast::new(&world, &issuers).await;
    cast.is_complete().await;
    let mut matrix = Matrix { world: &world, faults: Vec::new(), answers: BTreeMap::new() };
    for operation in &operations {
        let Some(refusable) = operation.good(&cast.tenant).await else {
            matrix.faults.push(format!("{}: there is no request for it in the matrix", operation.id));
            continue;
        };
        matrix.refuse(operation, &cast, &refusable).await;
        for (at, sent) in refusable.iter().enumerate() {
            for comer in &cast.comers {
                if is_let_in(operation, comer, sent) {
                    matrix.let_in(operation, &issuers, &cast, comer, at).await;
                }
            }
        }
    }
    let Matrix { faults, answers, .. } = matrix;
    note(&format!("{} operations × {} callers: {answers:?}", operations.len(), cast.comers.len()));
    assert!(faults.is_empty(), "{} of the answers are wrong:\n{}", faults.len(), faults.join("\n"));
}

fn is_let_in(operation: &Operation, comer: &Comer, sent: &Sent) -> bool {
    expected(operation, comer, operation.success(sent)) < 400
}

struct Matrix<'a> {
    world: &'a World,
    faults: Vec<String>,
    /// How often each status came.
    answers: BTreeMap<u16, usize>,
}

impl Matrix<'_> {
    /// All who are to be refused, by the app's id and by its bundle id; nothing has changed then.
    async fn refuse(&mut self, operation: &Operation, cast: &Cast, good: &[Sent]) {
        // Other paths of an operation are the same handler's.
        let compares = !operation.is_read() && operation.same_as == operation.id;
        let before = if compares { Some(cast.tenant.settled_state().await) } else { None };
        for sent in good {
            let success = operation.success(sent);
            for comer in cast.comers.iter().filter(|comer| !is_let_in(operation, comer, sent)) {
                for app in [&cast.tenant.id, &cast.tenant.bundle_id] {
                    let answer = operation.send(self.world, app, sent, &comer.identity).await;
                    self.check(operation, comer, expected(operation, comer, success), &answer);
                }
            }
        }
        if let Some(before) = before
            && without_uses(before) != without_uses(cast.tenant.state().await)
        {
            self.faults.push(format!("{}: a refused request has changed something", operation.id));
        }
    }

    /// Somebody who is to be let in, each time with things of their own; of an app that is deleted, with a whole cast.
    async fn let_in(
        &mut self,
        operation: &Operation,
        issuers: &Issuers,
        cast: &Cast,
        comer: &Comer,
        at: usize,
    ) {
        for by_bundle_id in [false, true] {
            let (own, name) = match &*operation.same_as {
                "delete_app" => (Some(Cast::new(self.world, issuers).await), &comer.name),
                _ => (None, &comer.name),
            };
            let cast = own.as_ref().unwrap_or(cast);
            let comer = cast.comers.iter().find(|one| one.name == *name).expect("every cast has everybody");
            let tenant = &cast.tenant;
            let good = operation.good(tenant).await.expect("there was one before");
            let app = if by_bundle_id { &tenant.bundle_id } else { &tenant.id };
            let answer = operation.send(self.world, app, &good[at], &comer.identity).await;
            self.check(operation, comer, operation.success(&good[at]), &answer);
        }
    }

    fn check(&mut self, operation: &Operation, comer: &Comer, wanted: u16, answer: &Reply) {
        *self.answers.entry(answer.status).or_default() += 1;
        let (id, who, status) = (&operation.id, &comer.name, answer.status);
        if status != wanted {
            self.faults.push(format!("{id} × {who}: {status} and not {wanted}: {}", answer.text()));
        }
        let Some(types) = operation.answers.get(&status) else {
            self.faults.push(format!("{id} × {who}: the document knows no {status}"));
            return;
        };
        let content_type = answer.header("content-type").split(';').next().unwrap_or_default();
        let is_documented = match types.is_empty() {
            true => content_type.is_empty() && answer.body.is_empty(),
            false => types.iter().any(|one| one == content_type || one == "*/*"),
        };
        if !is_documented {
            self.faults.push(format!("{id} × {who}: {status} comes as {content_type:?}, not as {types:?}"));
        }
        // An image says by its status alone what is wrong.
        if status >= 400 && content_type != "image/gif" && answer.code().is_empty() {
            self.faults.push(format!("{id} × {who}: {status} has no code"));
        }
    }
}

/// When a key was last used changes by being used.
fn without_uses(mut state: serde_json::Value) -> serde_json::Value {
    for key in state["/keys"].as_array_mut().into_iter().flatten() {
        key["last_used_at"] = serde_json::Value::Null;
    }
    state
}
