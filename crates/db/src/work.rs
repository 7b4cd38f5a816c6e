//! A closure on its way to the store, and whoever waits for it.

use crate::Tx;
use angarium_base::{Result, error::INTERNAL};
use tokio::sync::oneshot;

/// A queued closure and whoever waits for it.
pub trait Work: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()>;
    fn answer(self: Box<Self>, outcome: Result<()>);
}

pub struct Closure<T, F> {
    f: F,
    value: Option<T>,
    to: oneshot::Sender<Result<T>>,
}

impl<T: Send + 'static, F: Fn(&mut Tx<'_>) -> Result<T> + Send + 'static> Closure<T, F> {
    pub fn boxed(f: F, to: oneshot::Sender<Result<T>>) -> Box<dyn Work> {
        Box::new(Closure { f, value: None, to })
    }
}

impl<T: Send, F: Fn(&mut Tx<'_>) -> Result<T> + Send> Work for Closure<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        self.value = Some((self.f)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let Closure { f, value, to } = *self;
        // What it holds, perhaps a handle on this store, is gone before its caller goes on.
        drop(f);
        // The caller may have gone away; its work is done all the same.
        let _ = to.send(outcome.and_then(|()| value.ok_or_else(|| INTERNAL.err("a write has no answer"))));
    }
}
