//! An issuer whose keys are at a URL: a new key is taken over within the floor between two fetches, one that has gone
//! is good no more, and tokens that name keys nobody has do not have the set fetched again and again.

use crate::{
    fault::Clock,
    tenants::{Tenant, new_email},
};
use angarium_suite::{Setup, Signer, World, eventually, note};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The least time between two fetches, as it is by default.
const FLOOR_S: i64 = 30;
const ISSUER: &str = "https://sets.test";

/// A little HTTP server that shows a key set.
struct KeySets {
    address: SocketAddr,
    shown: Arc<Mutex<Value>>,
    fetches: Arc<AtomicUsize>,
}

impl KeySets {
    async fn start() -> KeySets {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let address = listener.local_addr().expect("it listens");
        let sets = KeySets { address, shown: Arc::default(), fetches: Arc::default() };
        let (shown, fetches) = (sets.shown.clone(), sets.fetches.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                fetches.fetch_add(1, Relaxed);
                let body = shown.lock().expect("nobody panics with it").to_string();
                tokio::spawn(answer(socket, body));
            }
        });
        sets
    }

    fn show(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        *self.shown.lock().expect("nobody panics with it") = json!({ "keys": keys });
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn config(&self) -> String {
        format!("[[auth.issuers]]\nissuer = \"{ISSUER}\"\njwks_url = \"http://{}/keys\"\n", self.address)
    }
}

async fn answer(mut socket: TcpStream, body: String) {
    let (mut asked, mut buffer) = (Vec::new(), [0; 4_096]);
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(n) if n > 0 => asked.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
    // Whoever has gone needs no answer.
    let _ = socket.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_of_an_issuer_is_taken_over_and_an_old_one_is_good_no_more() {
    let Some((clock, environment)) = Clock::right() else { return };
    let (sets, [one, two, three]) =
        (KeySets::start().await, ["one", "two", "three"].map(|id| Signer::ed25519(ISSUER, id)));
    sets.show(&[&one]);
    let world = World::start_as(Setup { config: sets.config(), environment, ..Setup::default() }).await;
    let subject = new_email();
    let tenant = Tenant::found(&world, &one.token(&subject)).await;
    let status = async |signer: &Signer| {
        // A new token each time: of one that is known, nothing has to be looked up.
        let token = signer.token_but(&subject, &json!({ "jti": new_email() }));
        let answer = tenant.with(&token).get("").await;
        (answer.status, answer.code())
    };
    let (good, refused) = ((200, String::new()), (401, "invalid_token".to_owned()));
    assert_eq!(status(&one).await, good);
    assert_eq!(status(&two).await, refused, "nobody has told of this key");

    // Whatever is asked, the set is fetched once until the floor is over.
    let before = sets.fetches();
    sets.show(&[&one, &two]);
    for _ in 0..50 {
        assert_eq!(status(&three).await, refused);
        assert_eq!(status(&two).await, refused, "the floor is not over");
    }
    assert_eq!(sets.fetches(), before, "tokens that name unknown keys do not have the set fetched again");
    clock.jump_to(FLOOR_S + 1);
    eventually("the new key is taken over", async || (status(&two).await == good).then_some(())).await;
    assert_eq!(status(&one).await, good, "both are in the set");

    sets.show(&[&two]);
    clock.jump_to(2 * (FLOOR_S + 1));
    eventually("the old key is good no more", async || {
        // An unknown key has the set fetched, if it may be.
        assert_eq!(status(&three).await, refused);
        (status(&one).await == refused).then_some(())
    })
    .await;
    assert_eq!(status(&two).await, good);
    // One that is known is good no more either when its key has gone.
    assert_eq!(tenant.get("").await.status, 401);
    note(&format!("the set was fetched {} times", sets.fetches()));
    // Twice the floor was over; threads that see a jump of the clock at different moments may ask once more.
    assert!(sets.fetches() <= before + 4, "{}", sets.fetches());
}
