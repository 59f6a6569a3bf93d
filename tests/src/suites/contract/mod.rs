//! The contract: the promises of Larder's HTTP interface. Every kind of deployment is checked against it.
//!
//! Promises are checked in parallel on one Larder, which may have other users. So each promise uses its own connections,
//! integrations and end users.

mod account;
mod callers;
mod connecting;
mod managing;
mod refreshing;
mod requests;
mod storing;

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use crate::{PATIENCE, Target, in_time};

struct Promise {
    name: &'static str,
    check: for<'a> fn(&'a Target) -> BoxFuture<'a, ()>,
}

macro_rules! promises {
    ($($module:ident { $($name:ident,)* })*) => {
        &[$($(Promise { name: stringify!($name), check: |target| Box::pin($module::$name(target)) },)*)*]
    };
}

/// All promises. Each is checked by the function of the same name.
#[rustfmt::skip]
const PROMISES: &[Promise] = promises! {
    storing {
        any_json_value_comes_back_byte_for_byte,
        a_body_is_read_whatever_its_content_type,
        a_put_replaces_the_whole_value,
        a_delete_removes_credentials_and_is_idempotent,
        unknown_credentials_are_not_found,
        a_malformed_body_is_rejected_with_the_reason,
        the_connection_id_is_required_exactly_once,
        other_query_parameters_are_ignored,
        similar_ids_are_distinct,
        ids_with_special_characters_work_in_paths,
        oversized_credentials_are_rejected_and_change_nothing,
        parallel_puts_leave_one_whole_value,
        other_methods_are_rejected_and_change_nothing,
    }
    callers {
        every_bad_token_gets_the_same_answer,
        both_headers_and_all_three_algorithms_are_accepted,
        a_tenant_cannot_reach_another_tenants_connections,
        a_token_does_only_what_its_claims_allow,
        admins_see_all_connections_without_taking_them_over,
        only_admins_manage_integrations,
        tenants_see_how_to_connect,
        scripts_of_other_origins_can_call_json_routes,
    }
    connecting {
        connecting_goes_to_the_provider_and_back,
        a_callback_works_once,
        only_the_browser_that_started_a_flow_can_finish_it,
        a_payload_form_is_equivalent_to_a_query,
        the_result_reaches_an_allowed_redirect_uri,
        the_result_reaches_the_opener_as_a_message,
        a_denial_is_shown_and_can_be_retried,
        credentials_that_do_not_work_are_not_stored,
        connecting_again_updates_the_same_connection,
        connections_that_need_no_approval_are_made_at_once,
        connect_errors_are_shown_on_a_page,
    }
    requests {
        a_link_connects_and_its_status_can_be_polled,
        only_a_navigation_or_a_button_takes_a_link,
        canceled_and_expired_links_connect_nothing,
        a_bound_connection_waits_for_its_confirmation,
    }
    refreshing {
        a_reader_of_an_expired_token_gets_a_new_one,
        many_readers_of_an_expired_token_make_one_provider_call,
        requested_refreshes_run_at_most_once_a_minute,
        an_expired_token_is_not_served_while_its_provider_is_down,
        a_dead_grant_needs_a_reconnect_which_repairs_it,
        a_put_on_a_connection_replaces_its_tokens,
        new_credentials_are_tested_before_they_are_stored,
    }
    managing {
        integrations_can_be_created_read_changed_and_removed,
        an_integration_in_use_cannot_be_removed,
        invalid_parameters_are_named,
        connectors_are_listed_and_shown,
        connections_are_listed_page_by_page,
        a_connection_shows_its_state_but_no_secrets,
        a_test_reports_whether_the_credentials_work,
        a_connection_can_be_removed,
        tokens_can_be_imported_replaced_and_disconnected,
    }
};

/// Checks a Larder against the contract, with up to `concurrency` promises at a time.
///
/// # Panics
/// If a promise is broken, with the target, the name and the reason of each.
pub async fn check(target: &Target, concurrency: usize) {
    let outcomes = futures::stream::iter(PROMISES).map(async |promise| {
        let check = AssertUnwindSafe((promise.check)(target)).catch_unwind();
        match in_time(check).await {
            Ok(Ok(())) => None,
            Ok(Err(panic)) => Some(format!("{}: {}: {}\n", target.name, promise.name, message(&*panic))),
            Err(_) => Some(format!("{}: {}: timed out after {PATIENCE:?}\n", target.name, promise.name)),
        }
    });
    let broken: Vec<_> = outcomes.buffer_unordered(concurrency).filter_map(std::future::ready).collect().await;
    assert!(broken.is_empty(), "{} of {} promises are broken:\n{}", broken.len(), PROMISES.len(), broken.concat());
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// Percent-encodes a query value or a path segment.
fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
