//! What each route asks of its caller, told once: by the type of its handler's first argument. From
//! there it gets into the interface's description, as `x-access` of each operation.

use execution_ledger_domain::{Right, Role};
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::auth::{May, Needs};
use crate::state::App;

/// A handler that lets nobody pass who has not the right `RIGHT`.
pub(crate) trait AsksFor<Arguments> {
    /// The right.
    const RIGHT: Right;
}

macro_rules! asks_for {
    ($( ($($argument:ident),*) )*) => { $(
        impl<F, Answer, R, $($argument),*> AsksFor<(R, $($argument,)*)> for F
        where
            F: Fn(May<R>, $($argument),*) -> Answer,
            R: Needs,
        {
            const RIGHT: Right = R::RIGHT;
        }
    )* };
}

asks_for! {
    () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, G) (A, B, C, D, E, G, H)
}

/// The right that a handler asks for.
pub(crate) fn right_of<F: AsksFor<Arguments>, Arguments>(_: &F) -> Right {
    F::RIGHT
}

/// The route of a handler that begins with [`May`], with the right that it asks for.
macro_rules! guarded {
    ($($handler:tt)+) => {
        $crate::routes::rights::needing(
            $crate::routes::rights::right_of(&$($handler)+),
            utoipa_axum::routes!($($handler)+),
        )
    };
}
pub(crate) use guarded;

/// A route that asks for a right in its own way.
pub(crate) fn needing(right: Right, routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let roles = Role::ALL.into_iter().filter(|role| role.has(right)).map(Role::as_str);
    declared(right.as_str(), &json!(roles.collect::<Vec<_>>()), routes)
}

/// A route for whoever holds any key.
pub(crate) fn any_key(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    declared("any_key", &json!(Role::ALL.map(Role::as_str)), routes)
}

/// A route that needs no key.
pub(crate) fn open(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    declared("none", &json!(Role::ALL.map(Role::as_str)), routes)
}

fn declared(
    right: &str,
    roles: &Value,
    (schemas, mut paths, router): UtoipaMethodRouter<App>,
) -> UtoipaMethodRouter<App> {
    for item in paths.paths.values_mut() {
        for operation in operations(item) {
            // One extension, not two: they have no order, and the description should always be the same.
            let access = json!({"right": right, "roles": roles});
            let declared = Extensions::builder().add("x-access", access).build();
            operation.extensions.get_or_insert_default().merge(declared);
        }
    }
    (schemas, paths, router)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        item.get.as_mut(),
        item.put.as_mut(),
        item.post.as_mut(),
        item.delete.as_mut(),
        item.patch.as_mut(),
        item.head.as_mut(),
        item.options.as_mut(),
    ]
    .into_iter()
    .flatten()
}
