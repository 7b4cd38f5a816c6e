//! Typed ids: a prefix that says what it names, then 26 letters and digits that sort by time.
//!
//! The second part is 48 bits of milliseconds and 80 random bits in Crockford's base 32, lower case
//! (the layout of a ULID, <https://github.com/ulid/spec>).

use crate::clock::Millis;
use std::fmt;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $prefix:literal;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id that sorts after those made in earlier milliseconds.
            pub fn new(now: Millis) -> Self {
                let mut text = String::with_capacity($prefix.len() + 26);
                text.push_str($prefix);
                push_ulid(&mut text, now);
                Self(text.into())
            }

            /// Reads an id; `None` if it does not have this type's shape.
            pub fn parse(text: &str) -> Option<Self> {
                let rest = text.strip_prefix($prefix)?;
                (rest.len() == 26 && rest.bytes().all(|b| DIGITS.contains(&b))).then(|| Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The millisecond in which it was made, by the clock of whoever made it.
            pub fn made_at(&self) -> Millis {
                let digits = self.0.bytes().skip($prefix.len()).take(10);
                digits.fold(0, |bits, digit| {
                    let value = DIGITS.iter().position(|known| *known == digit).unwrap_or(0);
                    bits << 5 | value as Millis
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// Names an app, the tenant.
    AppId = "app_";
    /// Names an API key; not the key itself.
    KeyId = "key_";
    /// Names a grant.
    GrantId = "grt_";
    /// Names an entry of an app's audit.
    AuditId = "aud_";
    /// Names an event that came without an id of its own.
    EventId = "evt_";
    /// Names a message.
    MessageId = "msg_";
    /// Names a dead letter.
    DeadLetterId = "dead_";
    /// Names a redrive of dead letters by a filter.
    RedriveId = "rdr_";
    /// Names one HTTP request, in its answer and in the log.
    RequestId = "req_";
    /// Names one run of a process; a restart is another.
    ProcessId = "proc_";
}

/// Appends 26 digits: 48 bits of `now`, 80 random bits.
pub fn push_ulid(out: &mut String, now: Millis) {
    let time = (now.max(0) as u128 & 0xffff_ffff_ffff) << 80;
    let random = fastrand::u128(..) >> 48;
    let bits = time | random;
    for shift in (0..26).rev() {
        out.push(DIGITS[(bits >> (shift * 5)) as usize & 31] as char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_know_their_own_kind() {
        let (early, late) = (EventId::new(1_000), EventId::new(2_000));
        assert!(early < late);
        assert_eq!(EventId::parse(early.as_str()), Some(early.clone()));
        assert_eq!(AppId::parse(early.as_str()), None);
        assert_eq!(EventId::parse("evt_short"), None);
        assert_ne!(EventId::new(1), EventId::new(1));
        assert_eq!(EventId::new(1_763_000_000_123).made_at(), 1_763_000_000_123);
    }
}
