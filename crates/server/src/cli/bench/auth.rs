//! What it costs to know who calls: the same tracking call for the default app by nobody, by a key and by a token,
//! round by round in turns.

use super::{
    Bench, During, Result,
    child::Server,
    ingest::{Subject, durably},
    load::Until,
    note,
    payload::Caller,
    report::Scenario,
};
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(1);

/// `POST /t/page_view?…`: the one path that takes all three.
pub async fn measure(bench: &Bench, server: &Server, connections: usize) -> Result<Scenario> {
    note("auth");
    let title =
        format!("Single events (POST /t/…) by nobody, by a key, by a token; {connections} connections");
    let mut scenario = Scenario::new("auth", title);
    let token = token_of(server)?;
    let callers = [("nobody", ""), ("key", &*server.write_key), ("token", &*token)];
    let mut subjects = callers.map(|_| Subject::default());
    for round in 0..=bench.rounds {
        let until = Until::After(if round == 0 { WARM_UP } else { bench.round });
        for (subject, (_, key)) in subjects.iter_mut().zip(callers) {
            let scripts = Caller { app: "", key }.tracking_calls_by("POST", connections);
            let done = durably(server, scripts, until, 204, "auth").await?;
            if round > 0 {
                subject.add(done);
            }
        }
    }
    let [nobody, key, token] = &subjects;
    for ((name, _), subject) in callers.iter().zip(&subjects) {
        scenario.add(*name, subject.figures());
    }
    scenario.add("key ÷ nobody", key.ratio_to(nobody));
    scenario.add("token ÷ nobody", token.ratio_to(nobody));
    Ok(scenario)
}

/// The token of the first start; those are its user's words too.
fn token_of(server: &Server) -> Result<String> {
    let text = std::fs::read_to_string(server.data_dir.join("first-start.json")).during("auth")?;
    let first: serde_json::Value = serde_json::from_str(&text).during("auth")?;
    first["token"].as_str().map(str::to_owned).ok_or("the first start made no token").during("auth")
}
