//! What Larder promises over HTTP, wherever it runs. There is one list of it, and every kind of deployment is held to it.
//!
//! The promises are kept at the same time by one Larder, which may have other users: each has connections, integrations
//! and end users of its own.

mod account;
mod callers;
mod connecting;
mod managing;
mod refreshing;
mod storing;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use crate::Target;

/// How long one promise may take.
const PATIENCE: Duration = Duration::from_secs(90);

struct Promise {
    name: &'static str,
    check: for<'a> fn(&'a Target) -> BoxFuture<'a, ()>,
}

macro_rules! promises {
    ($($module:ident { $($name:ident,)* })*) => {
        &[$($(Promise { name: stringify!($name), check: |target| Box::pin($module::$name(target)) },)*)*]
    };
}

/// The list. Each promise is told by its name, and by the function of that name.
#[rustfmt::skip]
const PROMISES: &[Promise] = promises! {
    storing {
        any_json_value_comes_back_byte_for_byte,
        a_body_is_read_whatever_type_it_claims_to_be,
        a_put_replaces_wholly,
        what_is_deleted_is_gone_and_deleting_nothing_succeeds,
        what_was_never_stored_is_not_found,
        a_malformed_body_is_refused_with_what_is_wrong,
        the_connection_id_is_given_once_and_not_empty,
        other_query_parameters_are_ignored,
        every_id_is_a_name_of_its_own,
        every_id_can_be_in_a_path,
        what_is_too_large_is_refused_and_leaves_what_was_there,
        parallel_puts_leave_one_of_them_whole,
        other_methods_are_refused_and_change_nothing,
    }
    callers {
        every_bad_token_gets_the_same_answer,
        both_headers_and_all_three_algorithms_are_accepted,
        a_tenant_reaches_nothing_of_another,
        an_admin_sees_everything_and_takes_nothing,
        only_admins_manage_integrations,
    }
    connecting {
        a_connect_goes_to_the_provider_and_back,
        a_callback_works_once,
        only_the_browser_that_began_finishes,
        a_payload_in_a_form_says_the_same_as_a_query,
        the_result_reaches_an_allowed_redirect_uri,
        the_result_reaches_the_opener_as_a_message,
        who_denies_is_told_and_may_think_again,
        credentials_that_do_not_work_are_not_stored,
        connecting_again_renews_the_same_connection,
        what_needs_no_approval_is_connected_at_once,
        what_is_wrong_with_a_connect_is_told_on_a_page,
    }
    refreshing {
        a_reader_of_an_expired_token_gets_a_new_one,
        many_readers_of_an_expired_token_make_one_provider_call,
        a_refresh_that_is_asked_for_is_made_once_a_minute,
        an_expired_token_is_not_served_while_its_provider_is_down,
        a_dead_grant_asks_for_the_end_user_and_a_reconnect_heals_it,
        a_put_on_a_connection_replaces_its_tokens,
        new_credentials_of_a_connection_are_tested_before_they_are_stored,
    }
    managing {
        an_integration_is_made_read_changed_and_removed,
        an_integration_in_use_is_not_removed,
        parameters_that_do_not_fit_are_named,
        connectors_are_listed_with_their_schemas,
        pages_of_connections_come_one_after_another,
        a_connection_shows_its_state_and_no_secret,
        a_test_tells_whether_the_credentials_work,
        a_connection_is_removed,
    }
};

/// Holds a Larder to the list, with so many promises at a time.
///
/// # Panics
/// With the target, the name and the reason of each promise that is not kept.
pub async fn check(target: &Target, at_a_time: usize) {
    let outcomes = futures::stream::iter(PROMISES).map(async |promise| {
        let check = AssertUnwindSafe((promise.check)(target)).catch_unwind();
        match tokio::time::timeout(PATIENCE, check).await {
            Ok(Ok(())) => None,
            Ok(Err(panic)) => Some(format!("{}: {}: {}\n", target.name, promise.name, message(&*panic))),
            Err(_) => Some(format!("{}: {}: no end after {PATIENCE:?}\n", target.name, promise.name)),
        }
    });
    let broken: Vec<_> = outcomes.buffer_unordered(at_a_time).filter_map(std::future::ready).collect().await;
    assert!(broken.is_empty(), "{} of {} promises:\n{}", broken.len(), PROMISES.len(), broken.concat());
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// A value of a query, or a segment of a path.
fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
