//! Routes, each declared with what it asks of its callers and what it answers: the router and the document
//! (`openapi.json`) are made from the same lines.
//!
//! A handler's first argument is its guard ([`Guarded`]); others are not taken. What follows from the guard and from
//! the request's shape (401, 403, 404, 413, …) is in the document without being written down again.

use super::Doc;
use crate::{
    Kit,
    access::{Guard, Guarded},
};
use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware::Next,
    response::Response,
    routing::{MethodFilter, on},
};
use http::Method;

/// The routes of a slice.
#[derive(Default)]
pub struct Routes {
    router: Router<Kit>,
    operations: Vec<Operation>,
}

/// One method of one path.
#[derive(Clone)]
pub struct Operation {
    pub method: Method,
    pub path: &'static str,
    pub guard: Guard,
    pub doc: Doc,
}

/// The arguments of a handler whose first one is a guard.
pub trait Arguments {
    const GUARD: Guard;
}

macro_rules! arguments {
    ($($name:ident)*) => {
        impl<M, G: Guarded, $($name),*> Arguments for (M, G, $($name,)*) {
            const GUARD: Guard = G::GUARD;
        }
    };
}

arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);

impl Routes {
    pub fn new() -> Routes {
        Routes::default()
    }

    pub fn get<H, T>(self, path: &'static str, handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.add((Method::GET, MethodFilter::GET), path, handler, doc)
    }

    pub fn post<H, T>(self, path: &'static str, handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.add((Method::POST, MethodFilter::POST), path, handler, doc)
    }

    /// The same at several paths: the first one is the operation, the others are its aliases.
    pub fn post_each<H, T>(self, paths: &[&'static str], handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        let docs = std::iter::once(doc.clone()).chain(std::iter::repeat(doc.alias()));
        paths.iter().zip(docs).fold(self, |routes, (path, doc)| routes.post(path, handler.clone(), doc))
    }

    pub fn put<H, T>(self, path: &'static str, handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.add((Method::PUT, MethodFilter::PUT), path, handler, doc)
    }

    pub fn patch<H, T>(self, path: &'static str, handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.add((Method::PATCH, MethodFilter::PATCH), path, handler, doc)
    }

    pub fn delete<H, T>(self, path: &'static str, handler: H, doc: Doc) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.add((Method::DELETE, MethodFilter::DELETE), path, handler, doc)
    }

    fn add<H, T>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Routes
    where
        H: Handler<T, Kit>,
        T: Arguments + 'static,
    {
        self.router = self.router.route(path, on(filter, handler));
        self.operations.push(Operation { method, path, guard: T::GUARD, doc });
        self
    }

    pub fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }

    /// Gives every handler so far a value, for `Extension`.
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Routes {
        self.router = self.router.layer(axum::Extension(value));
        self
    }

    /// Answers all of them with what `instead` says.
    pub fn refused<F, Fut>(mut self, instead: F) -> Routes
    where
        F: Fn(Request, Next) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        self.router = self.router.route_layer(axum::middleware::from_fn(instead));
        self
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn into_router(self) -> Router<Kit> {
        self.router
    }
}
