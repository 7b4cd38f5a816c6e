//! Who sends the calls of other systems' libraries: a key says it, and their requests have several places for one.

use super::SendEvents;
use angarium_base::{AppId, Result};
use angarium_kit::{
    Kit,
    access::{Allowed, Credential, UNAUTHENTICATED, presented},
};
use http::{HeaderMap, request::Parts};

/// Somebody who may send events to an app.
pub struct Speaker {
    pub app: AppId,
    pub truncates_addresses: bool,
    /// Whether an address and an agent in a call count as the speaker's.
    pub speaks_for_others: bool,
}

impl Speaker {
    async fn of(kit: &Kit, parts: &Parts, credential: &Credential) -> Result<Speaker> {
        let allowed: Allowed<SendEvents> = Allowed::for_own_app(kit, parts, credential).await?;
        Ok(Speaker {
            app: allowed.app_id().clone(),
            truncates_addresses: allowed.app.truncate_addresses,
            speaks_for_others: allowed.speaks_for_others(),
        })
    }
}

/// The key that a request presents, wherever it stands. Where it stands several times it must be the same: nobody is to
/// guess whose events they are.
#[derive(Default)]
pub struct Presented {
    key: Option<(&'static str, Credential)>,
}

impl Presented {
    /// The key of the `Authorization` header, if there is one: `Bearer <key>` or `Basic <key>:`.
    ///
    /// # Errors
    /// `unauthenticated` when the header cannot be read.
    pub fn in_headers(headers: &HeaderMap) -> Result<Presented> {
        let key = presented(headers, true)?.map(|credential| ("the Authorization header", credential));
        Ok(Presented { key })
    }

    /// Takes in what stands in one more place; an empty key is none.
    ///
    /// # Errors
    /// `unauthenticated`, naming both places, when it is another key than the one before.
    pub fn add(&mut self, place: &'static str, key: Option<String>) -> Result<()> {
        let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(()) };
        let key = Credential::read(&key)?;
        match &self.key {
            Some((first, known)) if *known != key => Err(UNAUTHENTICATED.err(format!(
                "{first} and {place} name different keys; send one of them, or the same in both"
            ))),
            Some(_) => Ok(()),
            None => {
                self.key = Some((place, key));
                Ok(())
            }
        }
    }

    /// Whom the key names, if one was found so far: an unknown one is refused before a body is read. It stays who it is,
    /// as no place that follows can name another key.
    ///
    /// # Errors
    /// `unauthenticated`, `forbidden`
    pub async fn known(&self, kit: &Kit, parts: &Parts) -> Result<Option<Speaker>> {
        match &self.key {
            Some((_, credential)) => Speaker::of(kit, parts, credential).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whom the key names: who was known before the body was read, or else whom the body names.
    ///
    /// # Errors
    /// As [`Presented::known`], and `unauthenticated` with what to send when there is no key at all.
    pub async fn speaker(
        &self,
        kit: &Kit,
        parts: &Parts,
        known: Option<Speaker>,
        what_to_send: &'static str,
    ) -> Result<Speaker> {
        match known {
            Some(known) => Ok(known),
            None => self.known(kit, parts).await?.ok_or_else(|| UNAUTHENTICATED.err(what_to_send)),
        }
    }

    /// The key; empty if there is none.
    pub fn key(&self) -> &str {
        match &self.key {
            Some((_, Credential::Key(text) | Credential::Token(text))) => text,
            None => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_in_several_places_if_it_is_the_same() {
        let mut presented = Presented::default();
        for key in [None, Some(""), Some("ang_wk_a"), None, Some("ang_wk_a")] {
            presented.add("the header", key.map(str::to_owned)).unwrap();
        }
        assert_eq!(presented.key(), "ang_wk_a");
        let error = presented.add("`writeKey` in the body", Some("ang_wk_b".into())).unwrap_err();
        assert_eq!(error.code().name, "unauthenticated");
        assert!(error.message().contains("the header and `writeKey` in the body"), "{}", error.message());
        assert!(!error.message().contains("ang_wk"));
    }
}
