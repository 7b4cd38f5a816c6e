//! What may be asked of dead letters, and how fast a redrive goes. Pure.

use angarium_base::{Result, clock::Millis, error::INVALID_PARAMETER, time};
use angarium_kit::http::Whole;
use std::time::Duration;

angarium_base::codes! {
    /// Nothing in this server runs work of this kind again. Read the letter's body and send it as new, or delete the letter.
    NOT_REDRIVABLE = "not_redrivable": Conflict;
    /// The app has as many redrives running as it may. Wait for one to end, or stop one.
    TOO_MANY_REDRIVES = "too_many_redrives": Conflict;
}

/// Redrives that an app may have running.
pub const RUNNING_MAX: i64 = 10;
/// Letters a second, if nothing is said.
pub const RATE: i64 = 100;
pub const RATE_MAX: i64 = 10_000;
pub const LETTERS_MAX: i64 = 1_000_000_000;
/// Letters that one request deletes at most.
pub const DELETED_MAX: usize = 10_000;
/// Characters of a filter's text.
const TEXT_MAX: usize = 255;

/// Which letters are meant; an empty text asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub kind: String,
    pub code: String,
    pub source: String,
    /// Given up at this instant or later.
    pub from: Millis,
    /// Given up before this instant.
    pub to: Millis,
}

impl Default for Filter {
    fn default() -> Filter {
        let text = String::new;
        Filter { kind: text(), code: text(), source: text(), from: Millis::MIN, to: Millis::MAX }
    }
}

impl Filter {
    /// # Errors
    /// `invalid_parameter` for a text that no letter can have, which PostgreSQL could not even be asked for.
    pub fn new([kind, code, source]: [Option<&str>; 3], [from, to]: [Option<Millis>; 2]) -> Result<Filter> {
        let text = |name: &str, given: Option<&str>| {
            let given = given.unwrap_or_default();
            let is_good = given.chars().count() <= TEXT_MAX && !given.bytes().any(|b| b.is_ascii_control());
            is_good.then(|| given.to_owned()).ok_or_else(|| {
                INVALID_PARAMETER
                    .err(format!("`{name}` has at most {TEXT_MAX} characters and no control characters"))
            })
        };
        Ok(Filter {
            kind: text("kind", kind)?,
            code: text("code", code)?,
            source: text("source", source)?,
            from: from.unwrap_or(Millis::MIN),
            to: to.unwrap_or(Millis::MAX),
        })
    }

    /// Whether it lets every letter through.
    pub fn is_open(&self) -> bool {
        *self == Filter::default()
    }
}

/// An instant of a body.
pub fn instant(name: &str, text: Option<&str>) -> Result<Option<Millis>> {
    let Some(text) = text else { return Ok(None) };
    let at = time::parse(text).ok_or_else(|| {
        INVALID_PARAMETER.err(format!("`{name}` is an RFC 3339 instant such as 2026-01-31T12:00:00Z"))
    })?;
    Ok(Some(at))
}

/// A number of a body from 1 to `most`.
pub fn within(name: &str, number: Option<Whole>, most: i64) -> Result<Option<i64>> {
    let Some(Whole(number)) = number else { return Ok(None) };
    let number = i64::try_from(number).ok().filter(|n| (1..=most).contains(n));
    let too_much = || INVALID_PARAMETER.err(format!("`{name}` is a whole number from 1 to {most}"));
    number.map(Some).ok_or_else(too_much)
}

/// How many letters are due at a rate. What could not be done in time is made good for a second, no longer: after
/// an outage nobody is flooded.
#[derive(Clone, Debug)]
pub struct Pace {
    per_second: f64,
    credit: f64,
}

impl Pace {
    /// One letter is due at once.
    pub fn new(per_second: i64) -> Pace {
        Pace { per_second: per_second as f64, credit: 1.0 }
    }

    /// So much time has passed. Returns how many letters may go.
    pub fn pass(&mut self, time: Duration) -> u64 {
        let most = self.per_second.max(1.0);
        self.credit = (self.credit + time.as_secs_f64() * self.per_second).min(most);
        self.credit as u64
    }

    /// So many have gone.
    pub fn spend(&mut self, letters: u64) {
        self.credit -= letters as f64;
    }

    /// When the next one may go.
    pub fn wait(&self) -> Duration {
        Duration::from_secs_f64(((1.0 - self.credit) / self.per_second).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_at_their_rate_and_an_outage_is_not_made_good() {
        let mut pace = Pace::new(4);
        assert_eq!(pace.pass(Duration::ZERO), 1);
        pace.spend(1);
        assert_eq!(pace.pass(Duration::ZERO), 0);
        assert_eq!(pace.wait(), Duration::from_millis(250));
        assert_eq!(pace.pass(Duration::from_millis(500)), 2);
        assert_eq!(pace.pass(Duration::from_secs(3_600)), 4);
    }

    #[test]
    fn a_filter_refuses_what_no_letter_has() {
        let of = |kind| Filter::new([Some(kind), None, None], [None, None]);
        assert!(of("").unwrap().is_open());
        assert!(!of("message").unwrap().is_open());
        for wrong in ["a\0b", "a\nb", &"x".repeat(256)] {
            assert_eq!(of(wrong).unwrap_err().code().name, "invalid_parameter");
        }
    }

    #[test]
    fn numbers_are_within_their_bounds() {
        let of = |number| within("rate", Some(Whole(number)), 10);
        assert_eq!((of(1).unwrap(), of(10).unwrap()), (Some(1), Some(10)));
        for wrong in [0, 11, u64::MAX] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
