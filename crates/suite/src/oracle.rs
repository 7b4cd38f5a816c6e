//! What the server owes: acknowledged ⇒ there once; there ⇒ sent; intact.
//!
//! Every event of an oracle has a key of its own in its parameters, so that those without an id can be told apart too.

use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Mutex,
};

/// The parameter that holds the key.
pub const KEY: &str = "oracle";

/// What was sent, and what was said of it. Shared by writers.
#[derive(Default)]
pub struct Oracle {
    sent: Mutex<HashMap<String, Sent>>,
}

struct Sent {
    event_type: String,
    params: Value,
    acknowledged: bool,
}

/// What was acknowledged at one moment.
pub struct Owed(HashSet<String>);

/// What an account found; empty lists when nothing is owed.
#[derive(Debug, Default)]
pub struct Account {
    pub acknowledged: usize,
    pub unknown: usize,
    /// Of those whose answer was lost or was a refusal.
    pub unknown_there: usize,
    /// Records of the oracle's, and how many of them are there once more.
    pub delivered: usize,
    pub duplicates: usize,
    pub faults: Vec<String>,
}

impl fmt::Display for Account {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { acknowledged, unknown, unknown_there, delivered, duplicates, .. } = self;
        write!(
            to,
            "acknowledged {acknowledged}, delivered {delivered}, duplicates {duplicates} \
             (of {unknown} without a yes, {unknown_there} are there)"
        )
    }
}

impl Oracle {
    /// Notes an event before it is sent. Its parameters must have the key.
    pub fn sent(&self, event_type: &str, params: &Value) {
        let sent = Sent { event_type: event_type.into(), params: params.clone(), acknowledged: false };
        let before = self.lock().insert(key_of(params), sent);
        assert!(before.is_none(), "a key is used once");
    }

    /// Notes that the server said yes.
    pub fn acknowledged(&self, params: &Value) {
        self.lock().get_mut(&key_of(params)).expect("it was sent before it was acknowledged").acknowledged =
            true;
    }

    pub fn count_acknowledged(&self) -> usize {
        self.lock().values().filter(|sent| sent.acknowledged).count()
    }

    /// What is acknowledged by now: records that are read after this have all of it.
    pub fn owed(&self) -> Owed {
        Owed(self.lock().iter().filter(|(_, sent)| sent.acknowledged).map(|(key, _)| key.clone()).collect())
    }

    /// Compares with all records of the stream. Records without a key are not the oracle's.
    pub fn account(&self, owed: &Owed, records: &[Value]) -> Account {
        let sent = self.lock();
        let mut times: HashMap<String, u32> = HashMap::new();
        let mut account = Account::default();
        let mut cursors = HashSet::new();
        for record in records {
            if !cursors.insert(record["cursor"].as_str().unwrap_or_default()) {
                account.faults.push(format!("a cursor twice: {record}"));
            }
            let data = &record["data"];
            let Some(key) = data["params"][KEY].as_str() else { continue };
            account.delivered += 1;
            *times.entry(key.to_owned()).or_default() += 1;
            match sent.get(key) {
                None => account.faults.push(format!("nobody sent it: {record}")),
                Some(it) if data["params"] != it.params || data["type"] != it.event_type.as_str() => {
                    account.faults.push(format!("not as it was sent: {record}"));
                }
                Some(_) => {}
            }
        }
        for key in sent.keys() {
            let there = times.get(key).copied().unwrap_or_default();
            let is_owed = owed.0.contains(key);
            if is_owed {
                account.acknowledged += 1;
            } else {
                account.unknown += 1;
                account.unknown_there += usize::from(there > 0);
            }
            if is_owed && there == 0 {
                account.faults.push(format!("acknowledged and not there: {key}"));
            }
            if there > 1 {
                account.duplicates += there as usize - 1;
                // In Kafka, what a client sends again to another process is there twice, with one id.
                if !crate::on_kafka() {
                    account.faults.push(format!("{there} times there: {key}"));
                }
            }
        }
        account
    }

    /// Holds the records, read after `owed` was taken, against what was sent.
    ///
    /// # Panics
    /// When something is missing, doubled, changed, or there without having been sent.
    pub fn check(&self, owed: &Owed, records: &[Value]) -> Account {
        let account = self.account(owed, records);
        let shown: Vec<_> = account.faults.iter().take(10).collect();
        assert!(account.faults.is_empty(), "{} faults, such as {shown:#?}", account.faults.len());
        account
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Sent>> {
        self.sent.lock().expect("nobody panics while holding it")
    }
}

fn key_of(params: &Value) -> String {
    params[KEY].as_str().expect("an oracle's event has a key in its parameters").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(n: usize, params: &Value) -> Value {
        json!({"cursor": format!("c{n}"), "data": {"type": "t", "params": params}})
    }

    #[test]
    fn every_breach_is_found() {
        let oracle = Oracle::default();
        let [a, b, c] = ["a", "b", "c"].map(|key| json!({KEY: key, "n": 1}));
        for params in [&a, &b, &c] {
            oracle.sent("t", params);
        }
        oracle.acknowledged(&a);
        let faults = |records: &[Value]| oracle.account(&oracle.owed(), records).faults;
        assert!(faults(&[record(1, &a)]).is_empty(), "what was not acknowledged may be missing");
        assert!(faults(&[record(1, &a), record(2, &b)]).is_empty(), "and may be there");
        assert!(faults(&[record(1, &b)])[0].starts_with("acknowledged and not there"));
        assert!(faults(&[record(1, &a), record(2, &b), record(3, &b)])[0].starts_with("2 times there"));
        assert!(faults(&[record(1, &a), record(1, &b)])[0].starts_with("a cursor twice"));
        assert!(faults(&[record(1, &a), record(2, &json!({KEY: "z"}))])[0].starts_with("nobody sent it"));
        assert!(faults(&[record(1, &json!({KEY: "a", "n": 2}))])[0].starts_with("not as it was sent"));
        assert!(faults(&[record(1, &a), json!({"cursor": "c2", "data": {"params": {}}})]).is_empty());
    }

    #[test]
    fn what_is_acknowledged_later_is_not_owed_yet() {
        let (oracle, params) = (Oracle::default(), json!({KEY: "a"}));
        oracle.sent("t", &params);
        let owed = oracle.owed();
        oracle.acknowledged(&params);
        assert!(oracle.account(&owed, &[]).faults.is_empty());
        assert_eq!(oracle.account(&oracle.owed(), &[]).faults.len(), 1);
    }
}
