//! What a transaction of the store appends: it is there if and only if the transaction is.

use crate::{Batch, Journal, Stream, frame};
use angarium_db::Tx;

impl Journal {
    /// Appends one record within a transaction: it is there if and only if the transaction is.
    pub fn append_in(&self, tx: &mut Tx<'_>, stream: &Stream, kind: &str, data: &[u8]) {
        let mut frame = Vec::new();
        frame::push(&mut frame, kind, data);
        tx.stage(stream.id, frame);
    }

    /// Appends a batch within a transaction, all of it whatever ids its records have.
    pub fn append_batch_in(&self, tx: &mut Tx<'_>, stream: &Stream, batch: &Batch) {
        for frame in frame::each(&batch.frames) {
            tx.stage(stream.id, frame.to_vec());
        }
    }
}
