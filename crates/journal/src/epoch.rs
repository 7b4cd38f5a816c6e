//! What offsets belong to: who remembers one from before a restore is not to take other records for those it knew.

use crate::{Journal, Stream};
use angarium_base::secret;

impl Journal {
    /// What the offsets of a stream belong to, in 16 letters and digits: the same for as long as the stream goes on,
    /// in every process; another one when it begins anew, or when the store was restored from a backup.
    pub fn epoch(&self, stream: &Stream) -> String {
        let parts = [self.0.lineage.as_bytes(), stream.app.as_str().as_bytes(), &stream.id.to_be_bytes()];
        secret::hex(&secret::hash_all(&parts)[..8])
    }
}
